"""The replay: a small JSON file that holds how a walk began and every step of it, so that anybody dreams the same frames again.

The world is not in it, only its name and a fingerprint of its weights: in other weights the same steps make other pictures.
``controls`` is the one place where held keys and a mouse become motion: the live server, ``play`` and ``dreamx generate`` all
call it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from dreamx import atomic
from dreamx.config import from_json, to_json
from dreamx.event_timeline import EventTimeline
from dreamx.geometry.controls import Controls, Speed, check_keys, from_keys
from dreamx.picture import read_picture
from dreamx.plaintext import brief, named, read_json
from dreamx.session import Switches, find
from dreamx.world import World

FORMAT = 1
FILE_LIMIT = 10 * 2**20  # bytes of a replay's file, or characters of it as a message
STEP_LIMIT = 50_000  # hours of walking, and about 5 MB
KEYS_LIMIT = 32  # letters of ``keys`` of one step
FRAME_LIMIT = 64  # of one step
WORDS_LIMIT = 4000  # characters of a prompt or an event
IMAGE_LIMIT = 8 * 2**20  # bytes of the opening picture's file
FASTEST_TURN = 12.0  # degrees a frame, however fast a mouse is: faster, a frame has nothing in common with the one before
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class ReplayStep:
    """One chunk: what was held for all of its frames, and what was said. ValueError, one sentence, for what no world can do.

    look: yaw (positive right) and pitch (positive up) in degrees that the view turns besides, over all frames together.
    """

    keys: str
    frames: int
    look: tuple[float, float] | None = None
    event: str | None = None
    switches: Switches = Switches()

    def __post_init__(self) -> None:
        if len(self.keys) > KEYS_LIMIT:
            raise ValueError(f"keys has {len(self.keys)} letters; at most {KEYS_LIMIT} are read, so name each key once")
        check_keys(self.keys)
        if not 1 <= self.frames <= FRAME_LIMIT:
            raise ValueError(f"frames is {self.frames}; a step has 1 to {FRAME_LIMIT}")
        if self.look is not None and not (len(self.look) == 2 and all(abs(x) < inf for x in self.look)):
            raise ValueError(f"look is {brief(list(self.look))}; give two finite numbers, degrees of yaw and pitch")
        if self.event is not None and len(self.event) > WORDS_LIMIT:
            raise ValueError(f"event has {len(self.event)} characters; at most {WORDS_LIMIT} are read, so shorten it")


@dataclass(frozen=True)
class Replay:
    """A walk. ValueError, one sentence, for what cannot be walked.

    dreamx: the version that wrote it. world, weights: name of the world and ``World.identity``. A walk begins from a picture of
    the world's gallery (``start``, its id), from one's own (``image``, a PNG file in base64), or from the prompt alone.
    """

    format: int
    dreamx: str
    world: str
    weights: str
    seed: int
    prompt: str
    start: str | None
    image: str | None
    steps: tuple[ReplayStep, ...]

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, and this dreamx reads {FORMAT}; use the dreamx that wrote it")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed is {self.seed}; it must be 0 to {2**31 - 1}")
        if len(self.prompt) > WORDS_LIMIT:
            raise ValueError(f"prompt has {len(self.prompt)} characters; at most {WORDS_LIMIT} are read, so shorten it")
        if self.start is not None and self.image is not None:
            raise ValueError("start and image are both given; a walk begins from one of them, so make the other null")
        if self.start is not None and not _ID.fullmatch(self.start):
            raise ValueError(f"start is {brief(self.start)}; an id is up to 64 letters, digits, - and _")
        check_count(len(self.steps), "")
        picture_bytes(self)


def controls(step: ReplayStep, speed: Speed) -> Controls:
    """The motion of a step, THE way from hands to controls: keys held on every frame, ``look`` spread evenly over them."""
    held = from_keys([step.keys] * step.frames, speed)
    if step.look is None:
        return held
    turn = held.turn + torch.tensor(step.look) / step.frames
    return Controls(held.move, turn.clamp(-FASTEST_TURN, FASTEST_TURN))


def parse(data: object) -> Replay:
    """A replay from what ``json.loads`` or ``dreamx.config.to_json`` gave. ValueError: one sentence that names the key.

    Steps are counted before any is looked at.
    """
    steps = cast("dict[str, object]", data).get("steps") if isinstance(data, dict) else None
    if isinstance(steps, list | tuple):
        check_count(len(cast("list[object]", steps)))
    try:
        return from_json(Replay, data)
    except ValueError as e:
        raise ValueError("replay" + str(e).removeprefix("config Replay")) from e


def read(path: Path) -> Replay:
    """A replay from its file. ValueError, one sentence that names the file."""
    try:
        size = path.stat().st_size
        data = read_json(path) if size <= FILE_LIMIT else None
    except OSError as e:
        raise ValueError(f"replay: {path} cannot be read ({e.strerror}); name a replay file") from None
    except ValueError:
        raise ValueError(f"replay: {path} is not JSON; name a file that the page shared or dreamx.replay.write wrote") from None
    if size > FILE_LIMIT:
        raise ValueError(f"replay: {path} is larger than {FILE_LIMIT // 2**20} MB, which no replay is; name another file")
    with named(path):
        return parse(data)


def check_count(steps: int, where: str = "replay: ") -> None:
    """ValueError, one sentence, for more steps than are walked."""
    if steps > STEP_LIMIT:
        raise ValueError(f"{where}steps are {steps}; at most {STEP_LIMIT} are walked, so cut the replay")


def write(path: Path, replay: Replay) -> None:
    """Write a replay file, whole or not at all."""
    atomic.write_text(path, json.dumps(to_json(replay)) + "\n")


def picture_bytes(replay: Replay) -> bytes | None:
    """The file of the replay's own picture, None where it has none; ValueError when it is too large or not base64."""
    if replay.image is None:
        return None
    if len(replay.image) > IMAGE_LIMIT * 4 // 3 + 4:
        raise ValueError(f"image is larger than {IMAGE_LIMIT // 2**20} MB; use a smaller picture")
    try:
        return base64.b64decode(replay.image, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("image is not base64; it must be a PNG file in base64") from None


def picture(replay: Replay, size: tuple[int, int], starts: Path | None = None) -> Tensor | None:
    """The picture that the walk begins from, uint8 ``[3, H, W]`` of ``size`` (rows, columns); None: it begins from words.

    starts: the folder of the gallery, by default that of the world that the replay names. ValueError where it is missing.
    """
    data = picture_bytes(replay)
    if replay.start is not None:
        file = (starts or find(replay.world) / "starts") / f"{replay.start}.png"
        try:
            data = file.read_bytes()
        except OSError:
            raise ValueError(f"replay.start: there is no picture {file}; take the world that the walk was made in") from None
    return None if data is None else read_picture(data, size)[0]


def warning(replay: Replay, weights: str) -> str:
    """A sentence for the player where the world's weights (``World.identity``) are not those of the replay, or ``""``."""
    if replay.weights == weights:
        return ""
    return "This replay was walked in other weights, so it will look different."


def play(world: World, replay: Replay, starts: Path | None = None, timeline: EventTimeline | None = None) -> Iterator[Tensor]:
    """Walk the replay: its opening picture ``[1, 3, H, W]``, then the frames of each step, uint8 ``[frames, 3, H, W]``.

    In the weights that it was made in these are the very frames, bit for bit (on the same kind of machine). The world goes on
    from its end. ValueError, before the world is touched, for a picture that is missing; and at a step of which this world makes
    another number of frames. timeline: what is said besides, and instead of what the replay says with the same chunk.
    """
    return _walk(world, replay, picture(replay, world.size, starts), timeline or EventTimeline(()))


def _walk(world: World, replay: Replay, image: Tensor | None, timeline: EventTimeline) -> Iterator[Tensor]:
    opening = world.reset(image, replay.prompt, replay.seed)
    yield opening
    heard = timeline.chunks(len(opening), lambda: world.frames_per_step, world.fps)
    for number, step in enumerate(replay.steps):
        if step.frames != world.frames_per_step:
            due = world.frames_per_step
            words = f"has {step.frames} frames, and this world makes {due} at a time; take the world that it was made in"
            raise ValueError(f"replay.steps.{number} {words}")
        world.switches = step.switches
        said = next(heard)
        yield world.step(controls(step, world.config.speed), step.event if said is None else said)
