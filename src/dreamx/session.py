"""A session as data: the world's settings, the player's actions and their results; and its file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.bounds import MAX_PICTURE, NonNegativeFloat, Pixels
from dreamx.config import LATER, from_json, to_json
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Controls, Speed
from dreamx.geometry.reproject import View
from dreamx.lookahead import LookaheadConfig
from dreamx.memory import MemoryConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.packed_memory import PackedFrame
from dreamx.plaintext import parse_json, readable
from dreamx.rollout import Sampler
from dreamx.text_to_image import OpeningConfig


@dataclass(frozen=True)
class WorldConfig:
    """Settings of a world, from its checkpoint."""

    height: Pixels
    """Pixels of a picture."""
    width: Pixels
    """Pixels of a picture."""
    lens: tuple[float, float, float, float]
    """fx, fy, cx, cy as shares of width and height."""
    speed: Speed = Speed()
    """How fast held keys move and turn."""
    sampler: Sampler = Sampler()
    """Denoising at play."""
    upright: bool = True
    """The camera is a walker on level ground (``geometry.controls.walk`` with up); otherwise it flies."""
    memory: MemoryConfig | None = None
    """Views that are re-projected; None where the networks were not taught to use them."""
    foresight: LookaheadConfig | None = None
    """Views that are dreamt before they are walked to (needs memory); None where that was not taught."""
    places_alone: bool = field(default=False, metadata=LATER)
    """Show what is known by heart as it is, without denoising: for a transformer that was not trained on what the fields show."""
    event_guidance: NonNegativeFloat = field(default=0.0, metadata=LATER)
    """How strongly what is told is pushed away from the same chunk without it (``rollout.guided``); 0: not at all, and each pass
    is done once."""
    lasting_alone: bool = field(default=False, metadata=LATER)
    """In places known by heart make each chunk without a past and without guidance while events last: for a transformer that was
    trained on latents that stand alone, and whose own frames would drift."""
    opening: OpeningConfig = OpeningConfig()
    """How a picture is made from words alone."""
    past: CausalConfig | None = field(default=None, metadata=LATER)
    """The past that a transformer was trained to see, released or with packed memory; None: that of the sampler, in all
    lanes, seen from the opening."""

    def __post_init__(self) -> None:
        if self.height * self.width > MAX_PICTURE:
            raise ValueError(
                f"world.height and world.width make {self.height * self.width} pixels; at most {MAX_PICTURE} are made"
            )
        if self.past is not None and self.past.chunk != self.sampler.chunk:
            raise ValueError(f"world.sampler.chunk must be world.past.chunk, {self.past.chunk}, not {self.sampler.chunk}")
        if self.past is not None and self.past.packed is not None and self.past.window is None:
            raise ValueError("world.past.packed recalls what a window has given up; world.past.window is None: give it a number")
        if not all(f > 0 for f in self.lens[:2]):
            raise ValueError(f"world.lens must begin with two positive focal lengths, not {list(self.lens)}")

    @property
    def causal(self) -> CausalConfig:
        """Return what the transformer sees of the past, and from where."""
        s = self.sampler
        return self.past or CausalConfig(s.chunk, s.window, s.sinks, alone=(), from_before=False)

    @property
    def up(self) -> Tensor | None:
        """The world's up ``[3]`` for a walker, None for what flies."""
        return torch.tensor((0.0, -1.0, 0.0)) if self.upright else None


@dataclass(frozen=True)
class Switches:
    """Parts of the model that are on; a player turns either off to see its effect.

    memory: re-projected memory, views of the past moved by their depth to where the camera is now (``dreamx.memory``).
    packed: packed memory, latent frames of the past put before the window (``dreamx.packed_memory``).
    camera: the camera lane, in the form that the model was trained with (PRoPE or E-PRoPE, ``model.dit.ViewConfig``).
    walls: stop the camera at what memory's depth says is near (``geometry.walls``); needs a world with memory. On in play,
    off where cameras are commanded.
    """

    memory: bool = True
    camera: bool = True
    walls: bool = field(default=False, metadata=LATER)
    packed: bool = field(default=True, metadata=LATER)


@dataclass(frozen=True)
class Dream:
    """A chunk that was dreamt and not yet shown.

    frames: latents. ``path [n]``: the camera of each of its video frames. ``recalled [K]``: from where the remembered views were
    seen that memory used for it; ``hint [1, n]`` is what they show, None without memory. ``stopped``: a wall was in the way.
    ``packed``: the frames that packed memory recalled for it, with the chunk that each is from; ``packed_from [M]``: from where
    they were seen. ``told``: something is told, and the decoder is to get the detail of memory alone (``MemoryConfig.detail``).
    """

    frames: Frames
    path: Camera
    recalled: Camera
    hint: View | None = None
    stopped: bool = False
    packed: tuple[PackedFrame, ...] = ()
    packed_from: Camera | None = None
    told: bool = False


@dataclass(frozen=True)
class Action:
    """One step of a session, as it is kept for replay, without a tensor.

    Small tensors that stay would lie between large ones that come and go, where malloc then finds no room for the next large
    one: a process grew by 0.4 MB a second for as long as one walked.
    """

    motion: bytes
    """``controls`` as numbers, frame by frame."""
    dtype: torch.dtype
    """Of ``controls``."""
    event: str | None
    """What was said."""
    switches: Switches = Switches()
    """What of the model was on."""

    @staticmethod
    def of(controls: Controls, event: str | None, switches: Switches = Switches()) -> Action:
        """The step that these controls make."""
        motion = torch.cat([controls.move, controls.turn], 1)
        return Action(motion.cpu().numpy().tobytes(), motion.dtype, event, switches)

    @property
    def controls(self) -> Controls:
        """Return the controls that moved the camera."""
        move, turn = torch.frombuffer(bytearray(self.motion), dtype=self.dtype).view(-1, 5).split((3, 2), 1)
        return Controls(move.contiguous(), turn.contiguous())


def pack(actions: list[Action]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Actions as words and tensors of a session's file."""
    tensors: dict[str, Tensor] = {}
    for i, a in enumerate(actions):
        controls = a.controls
        tensors |= {f"action.{i}.move": controls.move, f"action.{i}.turn": controls.turn}
    return {"events": [a.event for a in actions], "switched": [to_json(a.switches) for a in actions]}, tensors


def unpack(words: dict[str, Any], tensors: dict[str, Tensor]) -> list[Action]:
    """Unpack what ``pack`` packed; KeyError or ValueError where it is not whole."""
    switched = [from_json(Switches, w) for w in words["switched"]]
    return [
        Action.of(Controls(tensors[f"action.{i}.move"], tensors[f"action.{i}.turn"]), event, switches)
        for i, (event, switches) in enumerate(zip(words["events"], switched, strict=True))
    ]


def check_opening(image: Tensor | None, size: tuple[int, int], seed: int) -> None:
    """ValueError, one sentence, for a picture that a world of ``size`` (rows, columns) cannot open with, or a wrong seed."""
    if image is not None and (image.dtype != torch.uint8 or tuple(image.shape) != (3, *size)):
        kind, want = type(image).__name__, [3, *size]
        raise ValueError(f"image: must be uint8 {want}, not {kind} {image.dtype} {list(image.shape)}; resize or crop it")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed: {seed} is out of range; choose 0 to {2**31 - 1}")


def write(path: Path, words: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """A session's words and tensors as one ``.safetensors`` file, whole or not at all."""
    with atomic.whole(path) as temporary:
        save_file({k: v.clone().contiguous() for k, v in tensors.items()}, temporary, {"session": json.dumps(words)})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what ``write`` wrote; ValueError where that is not readable."""
    with readable(path, "session", "save it again"), tensor_file.opened(path) as f:
        words, tensors = parse_json(f.metadata()["session"]), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
    if not isinstance(words, dict):
        raise ValueError(f"{path}: not a readable session (its words are no object); save it again")
    return words, tensors


def check(words: dict[str, Any], config: WorldConfig) -> WorldConfig:
    """The config of a saved session. ValueError or KeyError where its words are none of a world of this ``config``.

    Its tensors are looked at by ``session_shapes``.
    """
    kinds = {"prompt": str, "event": str, "seed": int, "chunk": int, "events": list}
    if bad := [k for k, kind in kinds.items() if not isinstance(words[k], kind)]:
        raise ValueError(f"{bad[0]} is {words[bad[0]]!r:.40}")
    if not (0 <= words["seed"] < 2**31 and 0 <= words["chunk"] < 2**31):
        raise ValueError("seed and chunk must be 0 or more, and below 2**31")
    if not all(event is None or isinstance(event, str) for event in words["events"]):
        raise ValueError("events are words or null")
    theirs = from_json(WorldConfig, words["config"])
    if (theirs.height, theirs.width) != (config.height, config.width):
        ours = f"{config.width}x{config.height}"
        raise ValueError(f"its pictures are {theirs.width}x{theirs.height}, and this world makes {ours}")
    return theirs


def find(name_or_path: str | Path) -> Path:
    """The folder of a world, also of a released checkpoint: a path that exists, or the name of a shipped one."""
    shipped = Path(str(resources.files("dreamx"))) / "worlds"
    for folder in (Path(name_or_path), shipped / str(name_or_path)):
        if (folder / "config.json").is_file() or (folder / "transformer").is_dir():
            return folder
    names = ", ".join(sorted(p.parent.name for p in shipped.glob("*/config.json"))) or "none yet"
    raise ValueError(f"world: {str(name_or_path)!r} is no world; give a folder with a config.json, or one of: {names}")
