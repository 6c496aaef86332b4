"""The official ``eval.json`` and our own records as cases: what to begin from, what to say, where to go."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamx import released
from dreamx.config import from_json
from dreamx.generate.released_models import Sampling
from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.formats.actions import actions_of, entries
from dreamx.geometry.formats.motion import json_of
from dreamx.geometry.official import autoregressive, bidirectional
from dreamx.plaintext import cause, read_json
from dreamx.session import find

#: How the numbers of ``action_speed_list`` are read, by which kind of checkpoint, and what they are then.
DIALECTS = {
    "dreamx-ar": (autoregressive, "share out the frames, and speed is fixed"),
    "dreamx-cam": (bidirectional, "are speeds, and segments are of equal length"),
}
FORMAT = "dreamx-generated-1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Settings:
    """All that decides about the frames of a video, besides its case and the weights.

    frames: 4 k + 1. part: frames of a part of the video, after which the session is saved. colour: strength of the Lab colour
    correction; None: off. threads: of torch on the CPU, on which the last bits depend. sampling: of a released model; None: the
    world's own, which is in its config.
    """

    dialect: str
    frames: int
    seed: int
    part: int
    colour: float | None
    threads: int
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        near = max(5, (self.frames - 1) // 4 * 4 + 1)
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect: {self.dialect!r} is none of {', '.join(DIALECTS)}")
        if self.frames != near:
            raise ValueError(f"frames is {self.frames}; the models make 4 k + 1 of them, so give {near}")
        if self.part < 4:
            raise ValueError(f"part is {self.part}; a part has at least 4 frames")
        if self.colour is not None and not 0 < self.colour <= 1:
            raise ValueError(f"colour is {self.colour:g}; give a strength above 0, at most 1, or leave it out")


@dataclass(frozen=True)
class GenerateCase:
    """One entry. name: of its files. image: bytes of the picture's file, None: from the words alone."""

    name: str
    image_path: str
    caption: str
    action_seq: tuple[str, ...]
    action_speed_list: tuple[float, ...]
    image: bytes | None

    def path(self, settings: Settings) -> Camera:
        """Return the path of that dialect's official script, relative to its first camera: ``[frames]``, float64."""
        camera = DIALECTS[settings.dialect][0](self.action_seq, self.action_speed_list, settings.frames)
        return relative_to(camera, camera[0])


@dataclass(frozen=True)
class CaseRecord:
    """Beside a video: what it was made from. ``dreamx generate RECORD`` makes the same frames again on the same kind of machine.

    weights: ``World.identity``. image_base64: the opening picture's file. versions: of what takes part in making the numbers.
    """

    format: str
    world: str
    weights: str
    settings: Settings
    image_path: str
    caption: str
    action_seq: tuple[str, ...]
    action_speed_list: tuple[float, ...]
    image_sha256: str | None
    image_base64: str | None
    fps: float
    size: tuple[int, int]
    sampler: dict[str, Any]
    versions: dict[str, str]

    def case(self, name: str) -> GenerateCase:
        """The case that it was made from. ValueError where its picture is damaged, or its actions are none."""
        try:
            image = None if self.image_base64 is None else base64.b64decode(self.image_base64, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("image_base64 is not base64; the record is damaged") from None
        if image is not None and hashlib.sha256(image).hexdigest() != self.image_sha256:
            raise ValueError("the picture in it is not the one that it was made from; the record is damaged")
        actions_of({"action_seq": list(self.action_seq), "action_speed_list": list(self.action_speed_list)}, "record")
        return GenerateCase(name, self.image_path, self.caption, self.action_seq, self.action_speed_list, image)


def read_input(path: Path) -> tuple[list[GenerateCase], CaseRecord | None]:
    """The cases of an ``eval.json``, or the one of a record. ValueError, one sentence that names the file."""
    try:
        data = json_of({"": path.read_bytes()})
        if not (isinstance(data, dict) and "format" in data):
            return _cases(entries(data), path), None
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {str(data['format'])[:40]!r}, and this dreamx reads {FORMAT!r}")
        record = from_json(CaseRecord, data)
        return [record.case(path.stem)], record
    except OSError as e:
        raise ValueError(f"input: {path} cannot be read ({cause(e)}); name an eval.json") from None
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e


def _cases(items: list[dict[str, Any]], path: Path) -> list[GenerateCase]:
    cases: dict[str, GenerateCase] = {}
    for i, item in enumerate(items):
        keys, numbers = actions_of(item, where := f"entry {i}")
        caption, image = item.get("caption", item.get("prompt", "")), item.get("image_path", "")
        for key, value in (("caption", caption), ("image_path", image)):
            if not isinstance(value, str):
                raise ValueError(f"{where}.{key} must be text")
        name = str(item.get("task_id", ""))
        if not _NAME.fullmatch(name) or name.endswith((".mp4", ".part", ".")):
            name = f"{i:03d}"
        name = f"{name}-{i:03d}" if name in cases else name
        picture = _picture(image, path.parent, where) if image else None
        cases[name] = GenerateCase(name, image, caption, tuple(keys), tuple(numbers), picture)
    return list(cases.values())


def _picture(name: str, beside: Path, where: str) -> bytes:
    """The file of a picture: as the path says, from the list's folder or from where we are."""
    for path in (beside / name, Path(name)):
        try:
            return path.read_bytes()
        except (OSError, ValueError):
            continue
    raise ValueError(f"{where}.image_path: there is no readable picture {name!r}, neither beside the list nor here")


def dialect_of(world: str) -> tuple[str, str]:
    """The dialect of a world's kind, and why: the causal and the bidirectional release read the same list in two ways."""
    if released.is_released(world):
        both_ways = released.read(world).kind.past is None
    else:
        config = read_json(find(world) / "config.json")
        kind = config.get("kind") if isinstance(config, dict) else None
        if kind is not None and "world" not in config:
            raise ValueError(f"world: {world} is a transformer alone; put it into a folder as transformer, see docs/generate.md")
        both_ways = isinstance(kind, dict) and kind.get("past") is None
    return ("dreamx-cam", "it is bidirectional") if both_ways else ("dreamx-ar", "it is causal")
