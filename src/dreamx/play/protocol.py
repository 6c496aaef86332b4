"""What the page says over the one socket; ``replies.py`` is what the server says, ``docs/protocol.md`` tells both in order.

The page sends JSON objects, told apart by ``type``; anything else is answered by one ``Error`` and changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dreamx.geometry.controls import check_keys
from dreamx.session import Switches

VERSION = 1
PROMPT_LIMIT = 4000  # characters; a world reads as many of its words as it can, and says how many
IMAGE_LIMIT = 8 * 2**20  # bytes of a picture file
MESSAGE_LIMIT = IMAGE_LIMIT * 4 // 3 + 2**16  # bytes of one message: such a picture in base64, and its words
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Codec = Literal["jpeg", "h264"]
_Id = Annotated[str, Field(max_length=64)]
_Degrees = Annotated[float, Field(ge=-3600, le=3600)]
_Stick = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class Start:
    """Begin a world: from a picture of the gallery (``start``), from one's own (``image``), from words alone, or from a replay.

    A replay brings its own picture, words and seed, and walks by itself to its end; then the player goes on.
    """

    type: Literal["start"]
    start: str | None = None
    image: str | None = None  # a picture file in base64 (PNG, JPEG, WebP, HEIC, AVIF, TIFF, GIF, BMP)
    prompt: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    codec: Codec = "jpeg"
    switches: Switches = field(default_factory=Switches)
    replay: dict[str, Any] | None = None  # what api/sessions/ID/replay.json gave

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _check_words("prompt", self.prompt)
        if sum(x is not None for x in (self.start, self.image, self.replay)) > 1:
            raise ValueError("give one of start (a picture of the gallery), image (your own) and replay, not both")

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
class ResumeSession:
    """Go on in a session that was begun before: after a lost connection, a rest, or a restart of the server."""

    type: Literal["resume_session"]
    session: _Id
    codec: Codec = "jpeg"

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Keys:
    """All keys held from now on. ``seq`` grows with every message, and comes back in the frames that obey it.

    ``look``: yaw (positive right) and pitch (positive up) in degrees, how far the mouse moved since the last ``keys``.
    ``turn``: yaw and pitch, -1 to 1, how far a stick is held from now on; without it none is held.
    """

    type: Literal["keys"]
    held: Annotated[str, Field(max_length=32)]
    seq: Annotated[int, Field(ge=0, lt=2**32)]
    look: tuple[_Degrees, _Degrees] | None = None
    turn: tuple[_Stick, _Stick] | None = None

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
    """Sent for every painted frame (not for truth pictures); without it the server waits.

    ``spare``, with the first frame of a chunk: how many milliseconds before its time it arrived (negative: the picture stood
    still for so long), where that is known.
    """

    type: Literal["shown"]
    frame: Annotated[int, Field(ge=0, lt=2**32)]
    spare: Annotated[float, Field(ge=-60_000, le=60_000)] | None = None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Command:
    """A word that needs no more words: stand still, go on, or remember this moment."""

    type: Literal["pause", "resume", "save"]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Restore:
    """Go back to a remembered moment, by its id, or to the newest. The moment stays: one may branch off it again."""

    type: Literal["restore"]
    moment: _Id | None = None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Rewind:
    """Go back by about so many seconds of walking, as far as ``State.rewindable`` allows."""

    type: Literal["rewind"]
    seconds: Annotated[float, Field(gt=0, le=3600)]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Switch:
    """What of the model is on, from the next chunk on."""

    type: Literal["switch"]
    memory: bool
    camera: bool

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Record:
    """Begin to record what is shown, or stop and get the video. ``crisp``: as true pixels, not smoothed."""

    type: Literal["record"]
    on: bool
    crisp: bool = False

    __pydantic_config__ = _STRICT


Request = Start | ResumeSession | Keys | Event | Shown | Command | Restore | Rewind | Switch | Record
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])
_TYPES = "start, resume_session, keys, event, shown, pause, resume, save, restore, rewind, switch or record"


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
        raise ValueError(f"the message has no known type; use {_TYPES}")
    where = ".".join(str(x) for x in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    raise ValueError(f"{where}: {reason[:1].lower()}{reason[1:]}")


def _check_words(name: str, text: str) -> None:
    if len(text) > PROMPT_LIMIT:
        raise ValueError(f"{name} has {len(text)} characters; at most {PROMPT_LIMIT} are read, so shorten it")
