"""Reading people's films: the pictures as a player shows them, and the time of each as the file says it.

THE reader of every film that dreamx did not write itself. Pictures are turned by the film's display matrix, their pixels made
square, interlaced ones woven out of their fields, high dynamic range brought down (``video_display``). Times are presentation
times: never a number times an average rate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import BlockingIOError as NotYet
from av.error import EOFError as Ended
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Disposition
from numpy.typing import NDArray
from torch import Tensor

from dreamx.picture_kinds import kind_of
from dreamx.video_display import DisplayTransform

#: Endings of films, small letters; the usual ones first.
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".3gp", ".wmv", ".flv",
                 ".ogv")  # fmt: skip
_REGULAR = 0.1  # of a frame: a film whose times lie nearer to even ones than this has a constant rate
_BACK = 1.0  # seconds that a clock may step back (frames are stored in another order than shown) before it is another clock
_ABSOLUTE = ("mov", "matroska")  # containers whose clock begins where the film does


@dataclass(frozen=True)
class Timeline:
    """times: seconds of each frame, rising, ``[F]``. fps: frames a second, of a variable film its mean. variable: whether they
    are uneven. size: width and height as shown. notes: what was done to the pictures, for people."""

    times: NDArray[np.float64]
    fps: float
    variable: bool
    size: tuple[int, int]
    notes: tuple[str, ...] = ()

    def frame_at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the frame shown at each time, with its fraction; beyond both ends as if the film went on at its rate."""
        t, last = self.times, len(self.times) - 1
        inside = np.interp(seconds, t, np.arange(len(t)))
        late = last + (seconds - t[-1]) * self.fps
        return np.where(seconds < t[0], (seconds - t[0]) * self.fps, np.where(seconds > t[-1], late, inside))

    def even(self, first: int, last: int, fps: float) -> list[int]:
        """The frames nearest to times ``1 / fps`` apart, from ``first`` on and none beyond ``last``."""
        at = np.arange(self.times[first], self.times[last] + 1e-6, 1 / fps)
        return [round(float(x)) for x in np.interp(at, self.times, np.arange(len(self.times)))]

    def steady_rate(self, first: int, last: int) -> float:
        """Frames a second that nearly all of a stretch has, by time: in a tenth of it frames may be rarer."""
        gaps = np.sort(np.diff(self.times[first : last + 1]))
        if not len(gaps):
            return self.fps
        share = np.cumsum(gaps) / gaps.sum()
        return 1 / float(gaps[int(np.searchsorted(share, 0.9))])


def timeline(video: Path) -> Timeline:
    """Return the time of each frame of a film. Goes through the file once, decoding one frame.

    ValueError, one sentence, for what is no film, has no pictures, or has a clock that jumps back.
    """
    about = video.stat() if video.is_file() else None
    if about is None:
        raise ValueError(f"there is no film {video.name}" if not video.is_dir() else f"{video.name} is a folder, not a film")
    return _timeline(video, about.st_mtime_ns, about.st_size)


@lru_cache(16)
def _timeline(video: Path, changed: int, size: int) -> Timeline:
    try:
        with av.open(str(video)) as file:
            stream = _stream(file, video)
            times, told = _times(file, stream, video)
            rates = [float(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
        if not told:  # a bare stream without a clock
            times = np.arange(len(times)) / (rates[1] if len(rates) > 1 else rates[0] if rates else 25.0)
        with av.open(str(video)) as file:
            stream = _stream(file, video)
            frame = next(file.decode(stream), None)
            if frame is None or not len(times):
                raise ValueError(f"{video.name} has no frames; it may be cut short")
            look = DisplayTransform(frame, stream)
    except (OSError, FFmpegError, IndexError) as e:
        raise _unreadable(video, e) from None
    fps, variable = _rate(times, rates)
    if variable:
        look.notes.append("its rate is variable")
    return Timeline(times, fps, variable, look.size, tuple(look.notes))


def frames(video: Path, wanted: Collection[int] | None = None) -> Iterator[tuple[int, Tensor]]:
    """The frames of a film in the order in which they are shown: number in its ``Timeline``, and uint8 ``[3, H, W]``.

    ``wanted``: only these are made into pictures, and nothing after the last is read. ValueError where it cannot be decoded.
    """
    times = timeline(video).times
    last = max(wanted, default=-1) if wanted is not None else len(times)
    try:
        with av.open(str(video)) as file:
            stream = _stream(file, video)
            start, look = _origin(file, stream), None
            woven = _Weaver()
            for number, frame in woven.through(_numbered(file, stream, times, start)):
                look = look or DisplayTransform(frame, stream)
                if wanted is None or number in wanted:
                    yield number, look.shown(frame)
                if number >= last:
                    return
    except (OSError, FFmpegError, IndexError) as e:
        raise _unreadable(video, e) from None


def _unreadable(video: Path, why: Exception) -> ValueError:
    try:
        with video.open("rb") as file:
            kind = kind_of(file.read(4096))
    except OSError:
        kind = ""
    if kind and "film" not in kind:
        what = kind if kind.startswith(("a ", "an ")) else f"a {kind} picture"
        return ValueError(f"{video.name} is {what}, not a film; download or copy it again")
    # FFmpeg makes nothing of more than 2 GB, and says so in the words in which the system does.
    what = "it names a size that no film has" if isinstance(why, MemoryError) else type(why).__name__
    return ValueError(f"{video.name} is no video that can be read ({what}); it may be cut short")


def _stream(file: Any, video: Path) -> Any:
    """The stream of pictures; the cover of a piece of music is none."""
    found = [s for s in file.streams.video if not s.disposition & Disposition.attached_pic]
    if not found:
        what = "sound and no pictures" if file.streams.audio else "no pictures"
        raise ValueError(f"{video.name} holds {what}; give a film")
    return found[0]


# --- times ------------------------------------------------------------------------------------------------------------


def _origin(file: Any, stream: Any) -> float | None:
    """Seconds on the stream's clock at which the film begins; None: with its first frame."""
    name = file.format.name
    if any(n in name for n in _ABSOLUTE):
        return 0.0
    return file.start_time / 1e6 if "mpeg" in name and file.start_time is not None else None


def _times(file: Any, stream: Any, video: Path) -> tuple[NDArray[np.float64], bool]:
    """Presentation times by packets, sorted, seconds from the film's beginning; and whether the file tells them at all."""
    found: list[float] = []
    told, before, count = True, -1e300, 0
    for packet in file.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        count += 1
        at = packet.dts if packet.dts is not None else packet.pts
        if packet.pts is None or packet.time_base is None:
            told = False
            continue
        clock = float(at * packet.time_base)
        if clock < before - _BACK:
            raise ValueError(
                f"the clock of {video.name} jumps back from {before:.1f} s to {clock:.1f} s: it is several films in one;"
                " make each a file of its own"
            )
        before = max(before, clock)
        found.append(float(packet.pts * packet.time_base))
    if not told or not found:
        return np.zeros(count), False
    times = np.sort(np.array(found))
    start = _origin(file, stream)
    times = times - (times[0] if start is None else start) + np.arange(len(times)) * 1e-9
    return times.astype(np.float64), True  # of frames at one time the later is shown


def _rate(times: NDArray[np.float64], rates: list[float]) -> tuple[float, bool]:
    """Frames a second, and whether they are uneven. A rate that the file tells is taken where it is right."""
    span = float(times[-1] - times[0])
    if len(times) < 2 or span < 1e-6:
        return (rates[0] if rates else 25.0), False
    mean = (len(times) - 1) / span
    fps = next((r for r in rates if abs(r / mean - 1) < max(0.002, 0.002 / span)), mean)
    off = times - times[0] - np.arange(len(times)) / fps
    return fps, bool(np.abs(off - np.median(off)).max() > _REGULAR / fps + 1e-3)


def _numbered(file: Any, stream: Any, times: NDArray[np.float64], start: float | None) -> Iterator[tuple[int, Any]]:
    """Decoded frames with their numbers: by their times, and in their order where the container's times are those of storage."""
    known, last = times.tolist(), -1
    for frame in file.decode(stream):
        number = last + 1
        if start is not None and frame.time is not None:
            number = max(number, bisect_left(known, frame.time - start - 5e-4))
        last = min(number, max(len(known) - 1, last))
        yield number, frame


# --- pictures ---------------------------------------------------------------------------------------------------------


class _Weaver:
    """Interlaced frames through FFmpeg's deinterlacer, a picture for each frame; others as they are."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._numbers: deque[int] = deque()

    def through(self, numbered: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Frames with their numbers, in their order."""
        for number, frame in numbered:
            if self._graph is None and frame.interlaced_frame:
                self._graph = _deinterlacer(frame)
            if self._graph is None:
                yield number, frame
                continue
            self._numbers.append(number)
            frame.pts, frame.time_base = number, Fraction(1, 1000)
            self._graph.push(frame)
            yield from self._pulled()
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled()

    def _pulled(self) -> Iterator[tuple[int, Any]]:
        assert self._graph is not None
        while self._numbers:
            try:
                frame = self._graph.pull()
            except (NotYet, Ended):
                return
            yield self._numbers.popleft(), frame


def _deinterlacer(frame: Any) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    weave = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    return graph
