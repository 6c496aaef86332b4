"""Frames to bytes that a page can paint: each by itself as JPEG, or as a stream of H.264.

An encoder is a function ``(frame [3, H, W] uint8, fresh) -> (kind, data)``; ``fresh`` says that the frame has nothing to do
with the one before it, as after a jump.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from av.codec.context import ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image
from torch import Tensor

from dreamx.play.server_messages import FrameKind

Encoder = Callable[[Tensor, bool], tuple[FrameKind, bytes]]

KEY_EVERY = 16  # frames: a decoder that lost its way finds it again within a second


def jpeg(image: Tensor, quality: int) -> bytes:
    """A uint8 picture ``[3, H, W]`` as JPEG. Colour is kept at full resolution: at 64 pixels one sees it halved."""
    out = io.BytesIO()
    Image.fromarray(_rows(image)).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def jpegs(quality: int) -> Encoder:
    """Return an encoder that makes a JPEG of every frame."""
    return lambda image, fresh: (FrameKind.JPEG, jpeg(image, quality))


def h264_fits(size: tuple[int, int]) -> bool:
    """Whether frames of these rows and columns can be H.264: its colours are halved, so both must be even."""
    return size[0] % 2 == size[1] % 2 == 0


def h264(size: tuple[int, int], fps: float) -> Encoder:
    """A stream of Annex-B access units, baseline profile. No frame waits in the encoder: what goes in comes out."""
    context = VideoCodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width = size
    context.pix_fmt = "yuv420p"  # the only one of the baseline profile
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.time_base = 1 / context.framerate
    context.gop_size = KEY_EVERY
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = _BT709
    # One thread: pictures this small gain nothing from more, and the cores are the world's.
    context.thread_count, context.thread_type = 1, ThreadType.NONE
    # Forced-idr: a frame asked to be I is a full restart.
    options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "crf": "18", "forced-idr": "1"}
    context.options = options
    colours = VideoReformatter()  # one, of one thread: `frame.reformat` starts a thread a core for every frame
    count = 0

    def encode(image: Tensor, fresh: bool) -> tuple[FrameKind, bytes]:
        nonlocal count
        frame = colours.reformat(
            av.VideoFrame.from_ndarray(_rows(image), "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts, frame.time_base = count, context.time_base
        frame.pict_type = PictureType.I if fresh else PictureType.NONE  # after a jump nothing before helps to predict it
        count += 1
        packets = context.encode(frame)  # one frame in, its packet out: zerolatency
        kind = FrameKind.H264_KEY if any(p.is_keyframe for p in packets) else FrameKind.H264
        return kind, b"".join(bytes(p) for p in packets)

    return encode


_BT709 = 1  # its number among the primaries and transfers of ISO/IEC 23091-4


def _rows(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).contiguous().cpu().numpy()  # [H, W, 3]
