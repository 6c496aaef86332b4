"""Messages from the server over the one socket; ``client_messages.py`` has the page's, ``docs/protocol.md`` the order.

The server sends JSON objects, told apart by ``type``, and pictures as binary messages: a header of 24 bytes (``HEADER``), then
the picture's data.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from struct import Struct
from typing import Literal

from dreamx.event_phases import Phase
from dreamx.plaintext import sentence
from dreamx.play.client_messages import VERSION
from dreamx.session import Switches


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message on every socket. ``size``: rows, columns."""

    type: Literal["hello"] = "hello"
    protocol: int = VERSION
    world: str
    size: tuple[int, int]
    fps: float


@dataclass(frozen=True, kw_only=True)
class Started:
    """A world was begun, or a session goes on; its frames follow, counted from 0. ``note`` is for the player to read.

    ``session``: its id, for ``resume_session`` and for api/sessions/ID. ``truth``: a truth picture will come beside each frame.
    ``happenings``: names of the events that the world was taught and that can happen here.
    """

    type: Literal["started"] = "started"
    session: str
    seed: int
    prompt: str
    note: str
    truth: bool
    happenings: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class EventProgress:
    """An event that is told with a chunk: it comes, lasts or goes, and has done so ``since`` so many seconds of walking."""

    name: str
    phase: Phase
    since: float


@dataclass(frozen=True, kw_only=True)
class ChunkReady:
    """A chunk was made, its frames follow: under which keys, and how many milliseconds each stage took.

    A jump (``restore``, ``rewind``, ``resume_session``) is a chunk of one frame, the picture where one landed.
    ``pose``: x, z in metres, heading and pitch in degrees, of the last frame; the first frame of a session is 0, 0, 0, 0; heading
    grows to the right. ``recalled``: x, z, heading of each remembered view that memory used for this chunk. ``packed``: x, z,
    heading and chunk of each latent frame that packed memory put before the window. ``event``: what was
    said and begins with it, or ``""``; ``note``: what of that the world does not read, or was not taught. ``stopped``: a wall was
    in the way. ``seconds``: of walking, when it began. ``happenings``: the taught events that are told with it.
    """

    type: Literal["made"] = "made"
    chunk: int
    frames: int
    held: str
    dream_ms: float
    show_ms: float
    encode_ms: float
    pose: tuple[float, float, float, float]
    recalled: list[tuple[float, float, float]]
    packed: list[tuple[float, float, float, int]] = field(default_factory=list[tuple[float, float, float, int]])
    event: str = ""
    note: str = ""
    stopped: bool = False
    seconds: float = 0.0
    happenings: list[EventProgress] = field(default_factory=list[EventProgress])


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A remembered moment: at which chunk, after how many seconds of walking."""

    id: str
    chunk: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class State:
    """State of the session; sent after ``started`` and whenever it changes.

    ``moments``: what ``restore`` can go back to, oldest first. ``rewindable``: seconds. ``replaying``: it walks along a replay.
    """

    type: Literal["state"] = "state"
    paused: bool
    moments: list[Moment]
    switches: Switches
    recording: bool
    rewindable: float
    replaying: bool


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A recording ended: where its video is, relative to the page, and of how many frames."""

    type: Literal["recorded"] = "recorded"
    url: str
    frames: int


@dataclass(frozen=True, kw_only=True)
class SessionSuspended:
    """The world stopped and its session is kept, because nobody painted for long or it goes on elsewhere: resume_session."""

    type: Literal["rested"] = "rested"
    session: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Busy:
    """All places are taken: nothing was begun. Ask again in so many seconds."""

    type: Literal["busy"] = "busy"
    text: str
    retry_seconds: float


@dataclass(frozen=True, kw_only=True)
class Queued:
    """All places of all replicas are taken: what was asked for begins by itself, after ``place`` - 1 others of ``waiting``."""

    type: Literal["queued"] = "queued"
    text: str
    place: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Error:
    """One sentence on what went wrong. ``over``: the world stopped; a new start is needed."""

    type: Literal["error"] = "error"
    text: str
    over: bool = False


class FrameKind(IntEnum):
    """Kind of a picture's data. TRUTH is a JPEG of the simulator, for the frame of the same number."""

    JPEG = 0
    H264 = 1  # an access unit in Annex-B form, that needs the ones before it
    H264_KEY = 2  # one that needs none
    TRUTH = 3


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame: number, chunk, the newest ``Keys.seq`` it obeys, seconds since the start, and its data."""

    kind: FrameKind = FrameKind.JPEG
    frame: int
    chunk: int
    seq: int
    time: float
    data: bytes


Reply = Hello | Started | ChunkReady | State | Recorded | SessionSuspended | Busy | Queued | Error

#: Little-endian: protocol version u8, kind of picture u8, u16 zero, frame u32, chunk u32, seq u32, time f64.
HEADER = Struct("<BBHIIId")


def reason(e: Exception) -> str:
    """Return the cause of an error for the player: in the system's words where it has some, never with our folders' names."""
    return (isinstance(e, OSError) and e.strerror) or type(e).__name__


def in_full(e: Exception) -> str:
    """The same for the log, on one line."""
    return sentence(f"{type(e).__name__}: {e.__cause__ or e}")


def pack(reply: Reply | Picture) -> str | bytes:
    """The text or binary message for the socket."""
    if isinstance(reply, Picture):
        return HEADER.pack(VERSION, reply.kind, 0, reply.frame, reply.chunk, reply.seq, reply.time) + reply.data
    if isinstance(reply, Error):
        reply = replace(reply, text=sentence(reply.text))
    return json.dumps(asdict(reply))


def unpack(data: bytes) -> Picture:
    """The inverse of ``pack`` for pictures, for clients written in Python."""
    _, kind, _, frame, chunk, seq, time = HEADER.unpack_from(data)
    return Picture(kind=FrameKind(kind), frame=frame, chunk=chunk, seq=seq, time=time, data=data[HEADER.size :])
