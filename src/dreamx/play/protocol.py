"""What page and server say to each other over the one socket. The only definition of it.

The page sends JSON objects, told apart by ``type``; anything else is answered by one ``Error`` and changes nothing.
The server sends JSON objects, too, and pictures as binary messages: a header of 24 bytes (``HEADER``), then a JPEG.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from struct import Struct
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dreamx.geometry.controls import check_keys

VERSION = 1
PROMPT_LIMIT = 500  # characters
IMAGE_LIMIT = 8 * 2**20  # bytes of a picture file
MESSAGE_LIMIT = IMAGE_LIMIT * 4 // 3 + 2**16  # bytes of one message: such a picture in base64, and its words
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

# ---- what the page says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """Begin a world: from a picture of the gallery (``start``), from one's own (``image``), or from words alone."""

    type: Literal["start"]
    start: str | None = None
    image: str | None = None  # a PNG, JPEG, WebP, GIF or BMP file in base64
    prompt: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _check_words("prompt", self.prompt)
        if self.start is not None and self.image is not None:
            raise ValueError("give start (a picture of the gallery) or image (your own), not both")

    def picture(self) -> bytes | None:
        """The bytes of the uploaded file, or None; ValueError when they are too many or not base64."""
        if self.image is None:
            return None
        if len(self.image) > IMAGE_LIMIT * 4 // 3 + 4:
            raise ValueError(f"the picture is larger than {IMAGE_LIMIT // 2**20} MB; send a smaller one")
        try:
            return base64.b64decode(self.image, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("start.image is not base64; send the bytes of the picture file in base64") from None


@dataclass(frozen=True)
class Keys:
    """All keys held from now on. ``seq`` grows with every message, and comes back in the frames that obey it."""

    type: Literal["keys"]
    held: Annotated[str, Field(max_length=32)]
    seq: Annotated[int, Field(ge=0, lt=2**32)]

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        check_keys(self.held)


@dataclass(frozen=True)
class Event:
    """Something that is to happen, in words."""

    type: Literal["event"]
    text: str

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _check_words("text", self.text)
        if not self.text.strip():
            raise ValueError("text is empty; say what is to happen")


@dataclass(frozen=True)
class Shown:
    """Sent for every painted frame; without it the server waits.

    ``spare``, with the first frame of a chunk: how many milliseconds before its time it arrived (negative: the picture stood
    still for so long), where that is known.
    """

    type: Literal["shown"]
    frame: Annotated[int, Field(ge=0, lt=2**32)]
    spare: Annotated[float, Field(ge=-60_000, le=60_000)] | None = None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Command:
    """A word that needs no more words. ``save`` keeps the moment in memory, ``restore`` goes back to it."""

    type: Literal["pause", "resume", "save", "restore"]

    __pydantic_config__ = _STRICT


Request = Start | Keys | Event | Shown | Command
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])


def parse(text: str | bytes) -> Request:
    """One message of the page; ValueError with one sentence when it is none."""
    if isinstance(text, bytes):
        raise ValueError("binary messages are not understood here; send JSON text")
    try:
        return _REQUEST.validate_json(text)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise ValueError("the message is not JSON; send one JSON object with a type")
    if not first["loc"]:
        raise ValueError("the message has no known type; use start, keys, event, shown, pause, resume, save or restore")
    where = ".".join(str(x) for x in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    raise ValueError(f"{where}: {reason[:1].lower()}{reason[1:]}")


def _check_words(name: str, text: str) -> None:
    if len(text) > PROMPT_LIMIT:
        raise ValueError(f"{name} has {len(text)} characters; at most {PROMPT_LIMIT} are read, so shorten it")


# ---- what the server says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message on every socket."""

    type: Literal["hello"] = "hello"
    protocol: int = VERSION
    world: str
    size: tuple[int, int]  # rows, columns
    fps: float


@dataclass(frozen=True, kw_only=True)
class Started:
    """A world was begun; its frames follow, counted from 0. ``note`` says what was done to an uploaded picture."""

    type: Literal["started"] = "started"
    seed: int
    prompt: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """A chunk was made, its frames follow: under which keys, and how many milliseconds each stage took."""

    type: Literal["made"] = "made"
    chunk: int
    frames: int
    held: str
    dream_ms: float
    show_ms: float
    encode_ms: float


@dataclass(frozen=True, kw_only=True)
class State:
    """Whether the world stands still, and whether there is a saved moment to restore."""

    type: Literal["state"] = "state"
    paused: bool
    saved: bool


@dataclass(frozen=True, kw_only=True)
class Error:
    """One sentence on what went wrong. ``over``: the world stopped; a new start is needed. ``busy``: the server is full."""

    type: Literal["error"] = "error"
    text: str
    over: bool = False
    busy: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame: number, chunk, the newest ``Keys.seq`` it obeys, seconds since the start, and the JPEG."""

    frame: int
    chunk: int
    seq: int
    time: float
    jpeg: bytes


Reply = Hello | Started | Made | State | Error

#: Little-endian: protocol version u8, kind of picture u8 (0 = JPEG), u16 zero, frame u32, chunk u32, seq u32, time f64.
HEADER = Struct("<BBHIIId")


def pack(reply: Reply | Picture) -> str | bytes:
    """The text or binary message for the socket."""
    if isinstance(reply, Picture):
        return HEADER.pack(VERSION, 0, 0, reply.frame, reply.chunk, reply.seq, reply.time) + reply.jpeg
    return json.dumps(asdict(reply))


def unpack(data: bytes) -> Picture:
    """The inverse of ``pack`` for pictures, for clients written in Python."""
    _, _, _, frame, chunk, seq, time = HEADER.unpack_from(data)
    return Picture(frame=frame, chunk=chunk, seq=seq, time=time, jpeg=data[HEADER.size :])
