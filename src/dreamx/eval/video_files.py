"""Videos on disk: our own without loss, those of others as they come, and small ones for a page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from dreamx import atomic
from dreamx.plaintext import cause
from dreamx.video_reader import frames, timeline

_NO_LOSS = ("libx264rgb", "rgb24", {"qp": "0", "preset": "veryfast", "tune": "zerolatency", "threads": "1"})
#: Frames that wait in the encoder's look-ahead are damaged now and then (PyAV 18.1), and the same film came in 30 versions out of
#: 40: with zerolatency none wait. Several threads do not agree either.
_SMALL = ("libx264", "yuv420p", {"crf": "22", "preset": "veryfast", "tune": "animation,zerolatency", "threads": "1"})


@dataclass(frozen=True)
class VideoFile:
    """video: uint8 ``[F, 3, H, W]``; ``fps``: what the file says, 0 where it says nothing."""

    video: Tensor
    fps: float


def save_video(path: Path, video: Tensor, fps: float) -> None:
    """Write uint8 ``[F, 3, H, W]`` without loss, whole or not at all (Matroska)."""
    with atomic.whole(path) as temporary:
        temporary.write_bytes(_encode(video, fps, "matroska", *_NO_LOSS))


def encode_small(video: Tensor, fps: float) -> bytes:
    """An mp4 that every browser plays."""
    return _encode(video, fps, "mp4", *_SMALL)


def load_video(path: Path, fps: float | None = None) -> VideoFile:
    """Read any video file, as a player shows it. ``fps``: of a film of a variable rate, the frames shown at so many a second
    (None: at its mean rate). ValueError, one sentence, when it is not there or not readable."""
    if not path.is_file():
        raise ValueError(f"no video {path.name}")
    try:
        film = timeline(path)
        last = len(film.times) - 1
        rate = (fps or film.fps) if film.variable else film.fps
        picks = film.even(0, last, rate) if film.variable else list(range(last + 1))
        found = dict(frames(path, set(picks)))
        video = torch.stack([found[i] for i in picks if i in found])
    except Exception as e:  # a broken file breaks in many ways
        said = f": {e}" if isinstance(e, ValueError) else ""
        raise ValueError(f"{path.name} is not a readable video ({cause(e)}){said}") from e
    return VideoFile(video, rate)


def _encode(video: Tensor, fps: float, container: str, codec: str, pixels: str, options: dict[str, str]) -> bytes:
    if video.dtype != torch.uint8 or video.ndim != 4 or video.shape[1] != 3 or not len(video):
        raise ValueError(f"video must be uint8 [frames, 3, height, width], not {video.dtype} {tuple(video.shape)}")
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height = video.shape[3], video.shape[2]
        stream.pix_fmt = pixels
        if codec == "libx264":  # halved colours: sides must be even
            stream.width, stream.height = (n + n % 2 for n in (video.shape[3], video.shape[2]))
        for image in video:
            frame = av.VideoFrame.from_ndarray(image.permute(1, 2, 0).contiguous().numpy(), "rgb24")
            file.mux(stream.encode(frame.reformat(stream.width, stream.height, pixels, threads=1)))
        file.mux(stream.encode())
    return target.getvalue()
