"""Reading of what is asked for: an official ``eval.json`` and our own records as cases, held keys of a file or a line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from os.path import isdir, isfile  # unlike Path's, they are calm about names no file can have
from pathlib import Path
from typing import Any

import av

from dreamx import released
from dreamx.config import from_json
from dreamx.generate.sources import Bidirectional, Sampling, Walker
from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.formats.actions import actions_of, entries
from dreamx.geometry.formats.motion import json_of
from dreamx.geometry.official import autoregressive, bidirectional
from dreamx.geometry.path import parse_actions
from dreamx.plaintext import cause, folded, read_json, read_text, shown
from dreamx.session import find
from dreamx.version import __version__

#: How the numbers of ``action_speed_list`` are read, by which kind of checkpoint, and what they are then.
DIALECTS = {
    "dreamx-ar": (autoregressive, "share out the frames, and speed is fixed"),
    "dreamx-cam": (bidirectional, "are speeds, and segments are of equal length"),
}
FORMAT = "dreamx-generated-1"
_NUMBER = re.compile(r"[-+]?\d+\.?\d*")
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

    def record(self, settings: Settings, source: Walker | Bidirectional, world: str) -> CaseRecord:
        """Return the record of what the video is made from."""
        entry, data = (self.image_path, self.caption, self.action_seq, self.action_speed_list), self.image
        image = (None, None) if data is None else (hashlib.sha256(data).hexdigest(), base64.b64encode(data).decode())
        versions = {"python": platform.python_version(), "machine": platform.machine()}
        versions |= {"dreamx": __version__, "torch": version("torch"), "av": av.__version__}
        made_by = source.fps, source.size, source.sampler, versions
        return CaseRecord(FORMAT, world, source.identity, settings, *entry, *image, *made_by)


@dataclass(frozen=True)
class CaseRecord:
    """Record beside a video: what it was made from. ``dreamx generate RECORD`` makes the same frames on the same kind of machine.

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
        while name in cases:
            name = f"{name}-{i:03d}"
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


def read_actions(text: str) -> list[str]:
    """The held keys of every frame, from the action file that is named by ``text`` or from a line of actions itself.

    A file is text in any coding, a span ``KEYS FRAMES`` a line. ValueError in one sentence that names the line, or the span.
    """
    if not isfile(text):
        if "*" in folded(text) and not isdir(text):
            return parse_actions(text)
        there = f"{shown(text)} is a folder" if isdir(text) else f"there is no file {shown(text)}"
        raise ValueError(f'actions: {there}; name a file, or give the actions themselves, as "w*16,wj*32"')
    name = shown(text, 1000)[1:-1]
    keys: list[str] = []
    for number, line in enumerate(read_text(Path(text)).split("\n"), 1):
        try:
            if said := folded(line).split("#")[0].strip():
                keys += parse_actions(_span(said, line))
        except ValueError as e:
            raise ValueError(f"{name}, line {number}: {str(e).removeprefix('actions: ')}") from None
    if not keys:
        raise ValueError(f"{name}: there are no actions in it; write for example: wj 32")
    return keys


def _span(said: str, line: str) -> str:
    """``wj 32`` as ``wj*32``."""
    *held, frames = said.split()
    wrong = f"{shown(line.strip())} is not KEYS FRAMES"
    if len([w for w in (*held, frames) if _NUMBER.fullmatch(w)]) > 1:
        raise ValueError(f"{wrong}: it has more than one number, and no mouse is read; hold i j k l to look, for example: wj 32")
    if not held or "*" in said or "," in said:
        raise ValueError(f"{wrong}; write for example: wj 32")
    if not (frames.isascii() and frames.isdigit()) or int(frames[:9]) < 1:
        raise ValueError(f"{wrong}: {shown(frames)} is no whole number of frames from 1; write for example: wj 32")
    return f"{' '.join(held)}*{frames}"
