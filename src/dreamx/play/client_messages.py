"""Messages from the page over the one socket; ``server_messages.py`` has the answers, ``docs/protocol.md`` the order.

The page sends JSON objects, told apart by ``type``; anything else is answered by one ``Error`` and changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dreamx.geometry.controls import check_keys
from dreamx.plaintext import brief, sentence
from dreamx.play.json_members import KEYS, Cursor, TooMany
from dreamx.replay import FILE_LIMIT, STEP_LIMIT
from dreamx.session import Switches

VERSION = 1
PROMPT_LIMIT = 4000  # characters; a world reads as many of its words as it can, and says how many
IMAGE_LIMIT = 8 * 2**20  # bytes of a picture file
PIXEL_LIMIT = 16_000_000  # of a picture, however small its file is
WORDS_LIMIT = 2**16  # characters of a start without picture and replay, or of an event: each letter may be written as \\uXXXX
MESSAGE_LIMIT = IMAGE_LIMIT * 4 // 3 + WORDS_LIMIT  # bytes of one message: such a picture in base64, and its words
PLAIN_LIMIT = 2**11  # characters of any other message
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Codec = Literal["jpeg", "h264"]
_Id = Annotated[str, Field(max_length=64)]
_Degrees = Annotated[float, Field(ge=-3600, le=3600)]
_Stick = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class StartMessage:
    """Begin a world: from a picture of the gallery (``start``), from one's own (``image``), from words alone, or from a replay.

    A replay brings its own picture, words and seed, and walks by itself to its end; then the player goes on.
    """

    type: Literal["start"]
    start: str | None = None
    image: str | None = None  # a picture file in base64 (PNG, JPEG, WebP, HEIC, AVIF, TIFF, GIF, BMP)
    prompt: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    codec: Codec = "jpeg"
    switches: Switches = field(default_factory=lambda: Switches(walls=True))
    replay: dict[str, Any] | None = None  # what api/sessions/ID/replay.json gave; its steps as members.Members

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
class SayEvent:
    """Something that is to happen, in words; ``""`` ends what was said before."""

    type: Literal["event"]
    text: str

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _check_words("text", self.text)
        if self.text and not self.text.strip():
            raise ValueError('text is empty; say what is to happen, or "" for an end of what was said before')


@dataclass(frozen=True)
class FramesShown:
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
    """Switch memory, camera lane, walls and packed memory on or off, from the next chunk on."""

    type: Literal["switch"]
    memory: bool
    camera: bool
    walls: bool = True
    packed: bool = True

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class RecordCommand:
    """Begin to record what is shown, or stop and get the video. ``crisp``: as true pixels, not smoothed."""

    type: Literal["record"]
    on: bool
    crisp: bool = False

    __pydantic_config__ = _STRICT


Request = StartMessage | ResumeSession | Keys | SayEvent | FramesShown | Command | Restore | Rewind | Switch | RecordCommand
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])
_KINDS: dict[str, type] = {word: kind for kind in get_args(Request) for word in get_args(get_type_hints(kind)["type"])}
_TYPES = "start, resume_session, keys, event, shown, pause, resume, save, restore, rewind, switch or record"
_LIMITS = {"start": WORDS_LIMIT, "event": WORDS_LIMIT}  # without a picture or replay
_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPE = re.compile(r'"type"\s*:\s*"(\w{1,20})"')
_PARTS = ",:[{"  # one before or in every value, but the first
_LOOSE = PROMPT_LIMIT + 100  # of them may stand in the words of a start and between its fields
_MEMBERS = 8  # that a list or an object has at most, but in a replay


def is_light(text: str | bytes) -> bool:
    """Whether a message may be parsed at once; a larger one can only begin a world, and takes a place first."""
    return len(text) <= WORDS_LIMIT


def check_size(text: str) -> None:
    """ValueError, one sentence, for a message that is too long for what it says it is, or holds too many values.

    Nothing is parsed for it, and its time is that of a search in the text.
    """
    if len(text) <= PLAIN_LIMIT:
        return
    found = _TYPE.search(text)
    if found is None or found[1] not in _KINDS:
        raise ValueError(f"a message of {len(text)} characters has no known type at its beginning; use {_TYPES}")
    replay = '"replay"' in text
    _check_length(found[1], len(text), heavy=replay or '"image"' in text)
    if replay and len(text) > FILE_LIMIT:
        raise ValueError(
            f"start: a replay may have {FILE_LIMIT // 2**20} MB and {STEP_LIMIT} steps, and this has {len(text)} characters"
        )
    values = sum(text.count(c) for c in _PARTS)
    if len(text) > WORDS_LIMIT and values > (20 * STEP_LIMIT if replay else _LOOSE):
        raise ValueError(f"{found[1]}: the message holds {values} values, which no message needs")


def parse(text: str | bytes) -> Request:
    """One message of the page; ValueError with one sentence, about the first thing that is wrong, when it is none."""
    if isinstance(text, bytes):
        raise ValueError("binary messages are not understood here; send JSON text")
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError("the message is not UTF-8; send JSON text in UTF-8")
    check_size(text)
    message = _read(text)
    _check_fields(message, len(text))
    replay = message.get("replay")
    try:
        if not isinstance(replay, dict):
            return _REQUEST.validate_json(text)
        start = cast(StartMessage, _REQUEST.validate_json(json.dumps(message | {"replay": {}})))
        return replace(start, replay=replay)  # which is large and was read already
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
    where = ".".join(sentence(x, 60) for x in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    raise ValueError(f"{where}: {reason[:1].lower()}{reason[1:]}")


def _read(text: str) -> dict[str, Any]:
    """The message as JSON, the steps of a replay as ``Members``; ValueError where it is no object."""
    cursor = Cursor(text)
    try:
        found = cursor.fields({"replay": lambda c: c.fields({"steps": lambda c: c.members(STEP_LIMIT)})})
        cursor.end()
    except TooMany:
        raise ValueError(f"replay: it has more steps than the {STEP_LIMIT} that are walked at most; cut it") from None
    except ValueError:
        raise ValueError(
            f"the message is not JSON, or an object of more than {KEYS} keys; send one JSON object with a type"
        ) from None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _check_fields(message: dict[str, Any], length: int) -> None:
    """ValueError for the first key that the type does not know, or for too many values: pydantic would name each of them."""
    name = message.get("type")
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(f"the message has no known type; use {_TYPES}")
    _check_length(name, length, heavy=bool(message.get("image") or message.get("replay")))
    known = {f.name for f in fields(_KINDS[name])}
    for key, value in message.items():
        if key not in known:
            raise ValueError(f"{name}.{sentence(key, 60)}: there is no such field; the fields are {', '.join(sorted(known))}")
        if key != "replay" and isinstance(value, dict | list) and len(cast("list[object]", value)) > _MEMBERS:
            raise ValueError(f"{name}.{key}: {brief(cast('object', value))} holds more values than there are")


def _check_length(name: str, length: int, heavy: bool) -> None:
    limit = MESSAGE_LIMIT if name == "start" and heavy else _LIMITS.get(name, PLAIN_LIMIT)
    if length > limit:
        raise ValueError(f"{name}: the message has {length} characters; at most {limit} are read")


def _check_words(name: str, text: str) -> None:
    if len(text) > PROMPT_LIMIT:
        raise ValueError(f"{name} has {len(text)} characters; at most {PROMPT_LIMIT} are read, so shorten it")
