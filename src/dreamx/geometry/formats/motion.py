"""The answer of every reader, and their shared tools: numbers out of text and JSON, strictly.

Text is somebody else's: a number is a plain finite decimal, a list has the length it must have, and whatever is not so is refused
in one sentence that says where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.plaintext import decode, parse_json, shown

#: Frames that one file may hold: 1.7 hours at 16 fps. More is a mistake, and would take minutes to walk.
LONGEST = 100_000
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Motion:
    """Motion of the camera, as a file of any dialect says it.

    camera: ``[T]`` float64, one for each video frame, in the file's own world (nothing is moved or scaled). As they stand in the
    file: that they are rotations is for ``refuse_broken`` and ``problems`` to say. fps: frames a second. notes: sentences about
    what was assumed and what was left out. every: of the frames, the file holds one of so many; those between were filled in.
    """

    camera: Camera
    fps: float
    notes: tuple[str, ...] = ()
    every: int = 1

    def __post_init__(self) -> None:
        if len(self.camera.shape) != 1 or len(self.camera) < 1:
            raise ValueError("there are no cameras in it; a trajectory has at least one")
        if len(self.camera) > LONGEST:
            raise ValueError(f"it has {len(self.camera)} frames; at most {LONGEST} are read, so cut it")
        if not 0 < self.fps < inf:
            raise ValueError(f"fps is {self.fps:g}; it must be a positive number")
        if not bool(torch.isfinite(self.camera.pose).all() and torch.isfinite(self.camera.lens).all()):
            raise ValueError("a camera holds NaN or infinity, or a number too large; every number must be finite")


@dataclass(frozen=True)
class MotionOptions:
    """Facts that a file does not say, and a person must: None where not said."""

    fps: float | None = None
    """Frames a second."""
    size: tuple[int, int] | None = None
    """Width and height in pixels of the pictures that a lens in pixels belongs to."""
    lens: tuple[float, float, float, float] | None = None
    """fx fy cx cy as shares of width and height, for files that have none."""
    frames: int | None = None
    """How many frames a list of actions makes; by default 81."""
    item: int = 0
    """Which entry of a list of actions, counted from 0."""
    image: str = ""
    """The image_path of an exported list of actions."""
    caption: str = ""
    """Its caption; or the address of exported realestate10k."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < inf:
            raise ValueError(f"fps is {self.fps:g}; give a positive number")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size is {self.size[0]} x {self.size[1]}; give width and height in pixels")
        if self.lens is not None and not (all(map(isfinite, self.lens)) and min(self.lens[:2]) > 0):
            raise ValueError("lens: give four finite numbers fx fy cx cy, the first two positive, as shares of width and height")
        if self.frames is not None and not 1 <= self.frames <= LONGEST:
            raise ValueError(f"frames is {self.frames}; give 1 to {LONGEST}")
        if self.item < 0:
            raise ValueError(f"item is {self.item}; the first entry is 0")


#: The content of a file, or of a folder, by name; a single file has the name "".
Files = Mapping[str, bytes]


def text_of(files: Files, name: str = "") -> str:
    """A file as text, of any coding. ValueError where it is missing or no text."""
    if name not in files:
        raise ValueError(f"there is no {name} in the folder")
    return decode(files[name], name)


def json_of(files: Files) -> Any:
    """A file as JSON, in which no key stands twice."""
    return parse_json(text_of(files), once=True)


def number(text: str, where: str) -> float:
    """A plain decimal number. ValueError says ``where`` it stands."""
    value = float(text) if _NUMBER.fullmatch(text) else inf
    if not isfinite(value):
        raise ValueError(f"{where}: {shown(text, 40)} is not a finite number")
    return value


def numbers(line: str, count: int, where: str, says: str) -> list[float]:
    """``count`` numbers, apart by blanks or commas; ``says`` is what they are, for the sentence."""
    words = line.replace(",", " ").split()
    if len(words) != count:
        raise ValueError(f"{where} has {len(words)} words where there must be {count}: {says}")
    return [number(w, where) for w in words]


def real(value: object, where: str) -> float:
    """A finite number from JSON; true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: {str(value)[:40]!r} is not a number")
    try:
        found = float(value)
    except OverflowError:
        found = inf
    if not isfinite(found):
        raise ValueError(f"{where} is not a finite number")
    return found


def grid(value: object, rows: int, cols: int, where: str) -> list[list[float]]:
    """A matrix from JSON: ``rows`` lists of ``cols`` numbers."""
    if not isinstance(value, list) or len(value) != rows or not all(isinstance(r, list) and len(r) == cols for r in value):
        raise ValueError(f"{where} must be a matrix of {rows} rows of {cols} numbers")
    return [[real(x, where) for x in row] for row in value]


def entry(value: object, key: str, where: str) -> Any:
    """Return the value of an object from JSON under a key. ValueError if it has none."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object with the key {key!r}")
    if key not in value:
        raise ValueError(f"{where} has no {key!r}")
    return value[key]


def rigid_rows(values: Sequence[Sequence[float]]) -> Tensor:
    """Rows of the upper 3x4 of a pose each, twelve numbers -> ``[T, 4, 4]``."""
    top = torch.tensor(values, dtype=torch.float64).reshape(-1, 3, 4)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(len(top), 1, 4)
    return torch.cat([top, last], 1)


def pose_rows(value: object, where: str) -> list[list[float]]:
    """A pose from JSON: 4 rows of 4 numbers, or the upper 3."""
    three = isinstance(value, list) and len(value) == 3
    rows = grid(value, 3 if three else 4, 4, where)
    return [*rows, [0.0, 0.0, 0.0, 1.0]] if three else rows


def poses_of(values: Tensor, where: str) -> Tensor:
    """``[T, 4, 4]`` float64 whose last row is 0 0 0 1, as a pose's is; ``[T, 3, 4]`` gets it. ValueError names the frame."""
    p = values.double()
    while p.ndim > 3 and p.shape[0] == 1:  # a batch of one path
        p = p[0]
    p = p[None] if p.shape in ((4, 4), (3, 4)) else p
    if p.ndim != 3 or p.shape[1:] not in ((4, 4), (3, 4)):
        raise ValueError(f"{where} must be [frames, 4, 4] or [frames, 3, 4], not {list(values.shape)}")
    bad = ~torch.isfinite(p).flatten(1).all(-1)
    if bool(bad.any()):
        raise ValueError(f"{where}: frame {int(bad.nonzero()[0])} holds NaN or infinity; every number must be finite")
    last = p.new_tensor([0.0, 0.0, 0.0, 1.0])
    if p.shape[1] == 3:
        return torch.cat([p, last.expand(len(p), 1, 4)], 1)
    off = (p[:, 3] - last).abs().amax(-1) > 1e-6
    if bool(off.any()):
        at = int(off.nonzero()[0])
        other = ": its last column is, so transpose the matrices" if bool((p[at, :, 3] - last).abs().amax() < 1e-6) else ""
        raise ValueError(f"{where}: the last row of frame {at} is not 0 0 0 1, so it is no camera pose{other}")
    return p


def unit_quaternions(q: Tensor, rows: Sequence[str]) -> Tensor:
    """Quaternions ``[T, 4]`` made as long as 1. ValueError names the row of one that is far from it."""
    size = q.norm(dim=-1, keepdim=True)
    off = ((size[:, 0] - 1).abs() > 1e-2).nonzero()
    if len(off):
        raise ValueError(f"{rows[int(off[0])]}: its quaternion has the length {float(size[int(off[0]), 0]):.3g}, not 1")
    return q / size


def refuse_unturned(camera: Camera) -> None:
    """ValueError where a matrix is no rotation, or a left-handed one: nothing can be filled in between such."""
    r = camera.pose[:, :3, :3]
    off = (r @ r.mT - torch.eye(3, dtype=r.dtype)).abs().amax((-1, -2)) > 1e-3
    off = off | (torch.linalg.det(r) < 0)
    if bool(off.any()):
        at = int(off.nonzero()[0])
        raise ValueError(f"entry {at}: its matrix is no rotation (or a left-handed one), so nothing can be filled in between")


def inverted(poses: Tensor, where: str) -> Tensor:
    """World-to-camera to camera-to-world or back, also where a rotation is none (``problems`` tells); ValueError where flat."""
    det = torch.linalg.det(poses[:, :3, :3])
    flat = det.abs() < 1e-9
    if bool(flat.any()):
        raise ValueError(f"{where}: frame {int(flat.nonzero()[0])} has no inverse, so it is no camera pose")
    r = torch.linalg.inv(poses[:, :3, :3])
    rotation = (poses[:, :3, :3] @ poses[:, :3, :3].mT - torch.eye(3, dtype=poses.dtype)).abs().amax((-1, -2)) < 1e-9
    r = torch.where(rotation[:, None, None], poses[:, :3, :3].mT, r)  # the transpose is exact, and comes back exactly
    top = torch.cat([r, -r @ poses[:, :3, 3:]], -1)
    return torch.cat([top, poses[:, 3:]], 1)


def pixel_lens(k: Tensor, size: tuple[float, float], where: str) -> Tensor:
    """Lenses in pixels ``[..., 4]`` as shares of width and height. ValueError where a focal length is not positive."""
    if not bool(torch.isfinite(k).all()) or not bool((k[..., :2] > 0).all()):
        raise ValueError(f"{where}: focal lengths must be positive and every number finite")
    w, h = size
    return k.double() / torch.tensor([w, h, w, h], dtype=torch.float64)


def camera_of(poses: Tensor, lens: Tensor | Sequence[float]) -> Camera:
    """Cameras from poses ``[T, 4, 4]`` and one lens, or ``[T, 4]`` of them."""
    one = torch.as_tensor(lens, dtype=torch.float64)
    if not bool((one[..., :2] > 0).all()):
        raise ValueError("lens: the focal lengths fx and fy must be positive")
    return Camera(poses.double(), one.expand(len(poses), 4).clone())


def need_fps(asked: MotionOptions, dialect: str) -> float:
    """Frames a second where a file says nothing about time."""
    if asked.fps is None:
        raise ValueError(f"{dialect} says nothing about time; give fps, the frames a second of its video")
    return asked.fps


def need_size(asked: MotionOptions, dialect: str) -> tuple[int, int]:
    """Width and height where lenses are in pixels of a picture that the file does not hold."""
    if asked.size is None:
        raise ValueError(f"{dialect} has its lens in pixels; give size, the width and height of its pictures")
    return asked.size


def one_lens(camera: Camera, dialect: str) -> list[float]:
    """The lens, for a dialect that holds one for all frames. ValueError where it changes."""
    if float((camera.lens - camera.lens[:1]).abs().max()) > 1e-6:
        raise ValueError(f"{dialect} has one lens for all frames, and this one changes; use a dialect with a lens for each")
    return camera.lens[0].tolist()


def dump(data: object) -> bytes:
    """JSON as a file."""
    return (json.dumps(data, ensure_ascii=False) + "\n").encode()
