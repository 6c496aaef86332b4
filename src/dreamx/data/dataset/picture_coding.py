"""Pictures to bytes and back, frame-exact: mp4 of H.264 for what was seen, Matroska of FFV1 for depth and segments.

H.264: closed groups of at most ``gop`` frames, no B frames, one thread (the number of threads changes the bits) and no
look-ahead (frames that wait in it are damaged now and then, PyAV 18.1; docs/LOG.md). Every clip begins with a key frame, so that
clips are joined and cut out again without being encoded anew.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Pictures = NDArray[Any]


@dataclass(frozen=True)
class Coding:
    """Encoding of pictures."""

    crf: int | None = 14
    """Quality of H.264, 0 to 51, lower is better and larger; None keeps every bit (RGB, which few players show)."""
    gop: int = 16
    """Frames from one key frame to the next, 1 to 16."""

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise ValueError(f"coding.crf must lie between 0 and 51, or be None, not {self.crf}")
        if not 1 <= self.gop <= 16:
            raise ValueError(f"coding.gop must lie between 1 and 16 frames, not {self.gop}")


@dataclass(frozen=True)
class MediaKind:
    """A kind of stream: what its container is called, how its files end, and its pixels as they come out."""

    container: str
    suffix: str
    pixels: str
    options: tuple[tuple[str, str], ...] = (("fflags", "+bitexact"),)


#: The bit rate that mp4 likes to tell is that of the file a clip was cut from: left out, so that equal clips are equal files.
SEEN = MediaKind("mp4", ".mp4", "rgb24", (("fflags", "+bitexact"), ("write_btrt", "0")))
EXACT = MediaKind("matroska", ".mkv", "gray16le")
#: Matroska counts milliseconds: at 25 a second every frame falls on one, whatever the clip's own rate is.
EXACT_RATE = Fraction(25)


def rate_of(fps: float) -> Fraction:
    """Frames per second as a fraction; 30000/1001 and its like are found."""
    near = Fraction(round(fps * 1001), 1001)
    return near if near.denominator == 1001 and abs(float(near) - fps) < 1e-4 else Fraction(fps).limit_denominator(1000)


def encode_seen(video: Pictures, fps: float, coding: Coding) -> bytes:
    """``[F, H, W, 3]`` uint8 RGB -> an mp4. An odd side is filled up by repeating its last line; cut it off when reading."""
    h, w = video.shape[1:3]
    if coding.crf is None:
        codec, pixels, quality = "libx264rgb", "rgb24", {"qp": "0"}
    else:
        codec, pixels, quality = "libx264", "yuv420p", {"crf": str(coding.crf)}
        video = np.pad(video, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), "edge") if h % 2 or w % 2 else video
    groups = f"keyint={coding.gop}:min-keyint={coding.gop}:scenecut=0:bframes=0:open-gop=0"
    options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "x264-params": f"{groups}:threads=1:sliced-threads=0:rc-lookahead=0",
        **quality,
    }
    return _encode(video, SEEN, codec, pixels, rate_of(fps), options)


def encode_exact(maps: Pictures) -> bytes:
    """``[F, H, W]`` of two bytes an element, float16 or int16, bit for bit -> a Matroska file."""
    return _encode(np.ascontiguousarray(maps).view(np.uint16), EXACT, "ffv1", "gray16le", EXACT_RATE, {"level": "3", "g": "1"})


def _encode(frames: Pictures, kind: MediaKind, codec: str, pixels: str, rate: Fraction, options: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=kind.container, options=dict(kind.options)) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / rate
        colours = VideoReformatter()  # one for all frames, and of one thread: to make more takes longer than a small picture
        for n, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), kind.pixels)
            frame = colours.reformat(frame, format=pixels, threads=1) if pixels != kind.pixels else frame
            frame.pts, frame.time_base = n, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    # Copied once, so that a clip cut out of a joined file is bit for bit what it was before it was joined.
    return cut(io.BytesIO(out.getvalue()), kind, 0, len(frames), rate)


class Joiner:
    """Clips of one kind, encoded alike, into one file, by copying packets."""

    def __init__(self, file: Path | BinaryIO, kind: MediaKind, rate: Fraction) -> None:
        where = str(file) if isinstance(file, Path) else file
        self._container = av.open(where, "w", format=kind.container, options=dict(kind.options))
        self._tick = 1 / rate
        self._stream: Any = None
        self.frames = 0

    def add(self, packets: Iterable[Any], like: Any) -> None:
        """Packets of one clip, in order, from the stream ``like``."""
        if self._stream is None:
            self._stream = self._container.add_stream_from_template(like)
            self._stream.time_base = self._tick
        for packet in packets:
            packet.stream = self._stream
            packet.time_base = self._tick
            packet.pts = packet.dts = self.frames
            packet.duration = 1
            self._container.mux(packet)
            self.frames += 1

    def add_bytes(self, data: bytes) -> None:
        """A clip as ``encode_seen`` or ``encode_exact`` made it."""
        with opened(io.BytesIO(data)) as source:
            stream = source.streams.video[0]
            self.add((p for p in source.demux(stream) if p.size), stream)

    def close(self) -> None:
        """The file is whole."""
        self._container.close()


def opened(file: str | BinaryIO) -> AbstractContextManager[InputContainer]:
    """A media file to read; av.error.FFmpegError where it is none."""
    return av.open(file, "r")


def cut(file: str | BinaryIO, kind: MediaKind, start: int, count: int, rate: Fraction) -> bytes:
    """Frames ``start`` (a key frame) to ``start + count`` of a joined file as a file of their own, without decoding."""
    out = io.BytesIO()
    with opened(file) as source:
        stream = source.streams.video[0]
        joiner = Joiner(out, kind, rate)
        joiner.add((p for p in _from(source, stream, start, rate) if _number(p, rate) < start + count), stream)
        joiner.close()
    if joiner.frames != count:
        raise ValueError(f"has {joiner.frames} of the {count} frames from {start} on")
    return out.getvalue()


def _number(packet: Any, rate: Fraction) -> int:
    """Return the number of a packet or a frame within its file."""
    if packet.pts is None or packet.time_base is None:
        raise ValueError("has a frame without a time")
    return round(packet.pts * packet.time_base * rate)


def _from(source: InputContainer, stream: Any, start: int, rate: Fraction) -> Iterator[Any]:
    """Packets in order, from frame ``start``."""
    _seek(source, stream, start, rate)
    for packet in source.demux(stream):
        if packet.size and packet.pts is not None and _number(packet, rate) >= start:
            yield packet


def _seek(source: InputContainer, stream: Any, start: int, rate: Fraction) -> None:
    if start:
        # Half a frame late, so that rounding never lands on the group before; seeking goes back to a key frame.
        source.seek(int((start + Fraction(1, 2)) / rate / stream.time_base), stream=stream, backward=True)


def decode(file: str | BinaryIO, kind: MediaKind, start: int, count: int, rate: Fraction, size: tuple[int, int]) -> Pictures:
    """Frames ``start`` to ``start + count``: ``[count, H, W, 3]`` uint8 or ``[count, H, W]`` uint16, cut to ``size`` (H, W).

    ValueError, av.error.FFmpegError or EOFError where the file does not have them.
    """
    h, w = size
    out = np.empty((count, h, w, 3), np.uint8) if kind.pixels == "rgb24" else np.empty((count, h, w), np.uint16)
    filled = np.zeros(count, bool)
    with opened(file) as source:
        stream = source.streams.video[0]
        stream.codec_context.thread_count = 1
        _seek(source, stream, start, rate)
        colours = VideoReformatter()
        for frame in source.decode(stream):
            n = _number(frame, rate) - start
            if n >= count:
                break
            if n >= 0:
                if not (h <= frame.height <= h + 1 and w <= frame.width <= w + 1):
                    raise ValueError(f"has pictures of {frame.width}x{frame.height}, not {w}x{h}")
                out[n] = colours.reformat(frame, format=kind.pixels, threads=1).to_ndarray()[:h, :w]
                filled[n] = True
                if n == count - 1:
                    break
    if not filled.all():
        raise ValueError(f"lacks frame {start + int(np.flatnonzero(~filled)[0])}")
    return out


def decode_all(file: str | BinaryIO, most: int = 1 << 16) -> tuple[Pictures, float]:
    """All frames of any video, ``[F, H, W, 3]`` uint8 RGB, and its frames a second. ValueError for more than ``most`` frames."""
    frames: list[Pictures] = []
    with opened(file) as source:
        if not source.streams.video:
            raise ValueError("has no pictures")
        stream = source.streams.video[0]
        stream.codec_context.thread_count = 1
        colours = VideoReformatter()
        for frame in source.decode(stream):
            frames.append(colours.reformat(frame, format="rgb24", threads=1).to_ndarray())
            if frames[-1].shape != frames[0].shape:
                raise ValueError("changes its size in the middle")
            if len(frames) > most:
                raise ValueError(f"has more than {most} frames")
        fps = float(stream.average_rate or stream.guessed_rate or 0)
    if not frames:
        raise ValueError("has no frames")
    return np.stack(frames), fps
