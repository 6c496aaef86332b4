"""A chunk on its way through the pipeline, and out of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import asin, atan2, degrees
from threading import Event

from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.play.server_messages import ChunkReady, Error, EventProgress, Picture, Recorded
from dreamx.play.session_spec import Sinks
from dreamx.world import Dream


@dataclass
class Chunk:
    """``first``: number of its first frame. ``here``: the last of its cameras. ``fresh``: it follows from nothing shown.

    written: set once it is part of the world's past; until then it may be decoded, and no more. None: it is already.
    """

    number: int
    first: int
    held: str
    seq: int
    made: Dream | Tensor | None  # a dream; then its frames [n, 3, H, W] uint8; None when decoding failed
    here: Camera
    recalled: Camera | None = None
    packed: tuple[tuple[float, float, float, int], ...] = ()
    fresh: bool = False
    dream_ms: float = 0.0
    show_ms: float = 0.0
    event: str = ""
    note: str = ""
    stopped: bool = False
    seconds: float = 0.0
    happenings: tuple[EventProgress, ...] = ()
    written: Event | None = None


def send(chunk: Chunk, frames: Tensor, sinks: Sinks, began: float) -> Recorded | Error | None:
    """Encode and emit a chunk's frames ``[n, 3, H, W]``, and record them; ``began``: when the session was (``time.monotonic``).

    Returns what was recorded, or why not, where a recording ended with it.
    """
    started = time.perf_counter()
    coded = [sinks.encode(x, chunk.fresh and i == 0) for i, x in enumerate(frames)]
    made = ChunkReady(
        chunk=chunk.number,
        frames=len(coded),
        held=chunk.held,
        dream_ms=round(chunk.dream_ms, 1),
        show_ms=round(chunk.show_ms, 1),
        encode_ms=round(since(started), 1),
        pose=place(chunk.here),
        recalled=[]
        if chunk.recalled is None
        else [place(x)[:3] for x in map(chunk.recalled.__getitem__, range(len(chunk.recalled)))],
        packed=list(chunk.packed),
        event=chunk.event,
        note=chunk.note,
        stopped=chunk.stopped,
        seconds=round(chunk.seconds, 2),
        happenings=list(chunk.happenings),
    )
    sinks.emit(made)
    for i, (kind, data) in enumerate(coded):
        now = time.monotonic() - began
        sinks.emit(Picture(kind=kind, frame=chunk.first + i, chunk=chunk.number, seq=chunk.seq, time=now, data=data))
    return None if sinks.recorder is None else sinks.recorder.write(frames)


def packed_places(dream: Dream) -> tuple[tuple[float, float, float, int], ...]:
    """Return x, z, heading and chunk of each frame that packed memory recalled."""
    seen = dream.packed_from
    return () if seen is None else tuple((*place(seen[i])[:3], frame.chunk) for i, frame in enumerate(dream.packed))


def place(camera: Camera) -> tuple[float, float, float, float]:
    """Return position and direction of one camera: x and z in metres, heading (to the right) and pitch (up) in degrees."""
    pose = camera.pose.tolist()
    ahead = [row[2] for row in pose[:3]]
    heading, pitch = degrees(atan2(ahead[0], ahead[2])), degrees(asin(max(-1.0, min(1.0, -ahead[1]))))
    x, z, heading, pitch = (round(v, 3) + 0.0 for v in (pose[0][3], pose[2][3], heading, pitch))
    return x, z, heading, pitch


def since(start: float) -> float:
    """Milliseconds since a ``time.perf_counter()``."""
    return (time.perf_counter() - start) * 1000
