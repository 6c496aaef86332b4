"""The file of latents that transformers train from: one tensor of all clips, their cameras and captions, and who encoded them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.config import LATER, from_json, to_json
from dreamx.events import Event
from dreamx.geometry.camera import Camera
from dreamx.plaintext import parse_json, readable


@dataclass(frozen=True)
class LatentRow:
    """Metadata of one row of latents. variant: empty, ``mirror``, ``reverse`` or ``mirror reverse``; events: what happens, at
    seconds of ``fps`` frames each, in which case the caption tells of the scene alone."""

    caption: str
    style: str
    scene: str
    seed: int
    variant: str = ""
    events: tuple[Event, ...] = field(default=(), metadata=LATER)
    fps: float = field(default=16.0, metadata=LATER)

    def said(self) -> dict[str, Any]:
        """Fields for JSON; what is not there is left out, as in files of before."""
        words = to_json(self)
        return words if self.events else {k: v for k, v in words.items() if k not in ("events", "fps")}


@dataclass(frozen=True)
class Latents:
    """Encoded clips. z: ``[N, T, C, h, w]`` float16; camera: ``[N, T]``; rows: N; vae: the autoencoder's fingerprint; hint:
    ``[N, T, C + 1, h, w]`` float16, what memory shows of each latent (``Frames.hint``), or None.

    ahead: the hint, given before each latent, of a later one, whose index is ``to [N, T]``; both or neither. made: hashes of the
    settings and of the clips' files; empty where they were not written down. path: the cameras of all video frames ``[N, F]``, of
    latents for the released transformers, which each pick others of them; else None."""

    z: Tensor
    camera: Camera
    rows: tuple[LatentRow, ...]
    vae: str
    hint: Tensor | None = None
    ahead: Tensor | None = None
    to: Tensor | None = None
    made: tuple[str, ...] = ()
    path: Camera | None = None

    def save(self, path: Path) -> None:
        """Write to ``path``, whole or not at all."""
        # One entry alone: safetensors writes several in another order every time.
        said = {"clips": [row.said() for row in self.rows], "vae": self.vae} | ({"made": self.made} if self.made else {})
        words = {"latents": json.dumps(said)}
        path.parent.mkdir(parents=True, exist_ok=True)
        more = {k: x for k, x in (("hint", self.hint), ("ahead", self.ahead), ("to", self.to)) if x is not None}
        if self.path is not None:
            more |= {"path_pose": self.path.pose, "path_lens": self.path.lens}
        with atomic.whole(path) as temporary:
            save_file({"z": self.z, "pose": self.camera.pose, "lens": self.camera.lens, **more}, temporary, words)

    @staticmethod
    def load(path: Path) -> Latents:
        """Read what ``save`` wrote; ValueError with the file's name when it is not that."""
        with readable(path, "file of latents", "encode the clips again"):
            with tensor_file.opened(path) as f:
                words = parse_json(f.metadata()["latents"])
                rows = tuple(from_json(LatentRow, row) for row in words["clips"])
                camera = Camera(f.get_tensor("pose"), f.get_tensor("lens"))
                more = [f.get_tensor(k) if k in f.keys() else None for k in ("hint", "ahead", "to")]  # noqa: SIM118 (not a dict)
                way = Camera(f.get_tensor("path_pose"), f.get_tensor("path_lens")) if "path_pose" in f.keys() else None  # noqa: SIM118
                made = tuple(words.get("made", ()))
                found = Latents(f.get_tensor("z"), camera, rows, words["vae"], *more, made=made, path=way)
            _check(found)
            return found


def joined(parts: Sequence[Latents], made: tuple[str, ...] = ()) -> Latents:
    """Latents of the same autoencoder and length as one; what not all of them hold is left out."""
    camera = Camera(torch.cat([m.camera.pose for m in parts]), torch.cat([m.camera.lens for m in parts]))
    every = zip(*((m.hint, m.ahead, m.to) for m in parts), strict=True)
    more = [torch.cat(there) if len(there := [x for x in each if x is not None]) == len(parts) else None for each in every]
    paths = [m.path for m in parts if m.path is not None]
    whole = len(paths) == len(parts)
    path = Camera(torch.cat([p.pose for p in paths]), torch.cat([p.lens for p in paths])) if whole else None
    rows = tuple(row for m in parts for row in m.rows)
    return Latents(torch.cat([m.z for m in parts]), camera, rows, parts[0].vae, *more, made=made, path=path)


def _check(found: Latents) -> None:
    """ValueError, which names the tensor, where one has not the shape or the kind of numbers that goes with ``z``."""
    if found.z.ndim != 5:
        raise ValueError(f"z is {list(found.z.shape)}, and latents are [N, T, C, h, w]")
    n, t, c, h, w = found.z.shape
    if len(found.rows) != n:
        raise ValueError(f"it has captions of {len(found.rows)} clips and latents of {n}")
    f = 0 if found.path is None or found.path.pose.ndim != 4 else found.path.pose.shape[1]
    cameras = {"pose": (found.camera.pose, (n, t, 4, 4)), "lens": (found.camera.lens, (n, t, 4))}
    if found.path is not None:
        cameras |= {"path_pose": (found.path.pose, (n, f, 4, 4)), "path_lens": (found.path.lens, (n, f, 4))}
    beside = {k: (x, (n, t, c + 1, h, w)) for k, x in (("hint", found.hint), ("ahead", found.ahead)) if x is not None}
    for name, (x, shape) in {**cameras, **beside, **({} if found.to is None else {"to": (found.to, (n, t))})}.items():
        if tuple(x.shape) != shape:
            raise ValueError(f"{name} is {list(x.shape)} where it must be {list(shape)}")
    for name, x in {"z": found.z, **{k: v for k, (v, _) in (cameras | beside).items()}}.items():
        if not x.is_floating_point():
            raise ValueError(f"{name} holds {str(x.dtype).removeprefix('torch.')}, no fractions")
        # One clip after another: a file may be larger than memory.
        if not all(bool(torch.isfinite(clip).all()) for clip in x):
            raise ValueError(f"{name} holds NaN or infinity")
    if (found.ahead is None) != (found.to is None):
        raise ValueError(f"it holds {'to' if found.ahead is None else 'ahead'} alone, and ahead and to go together")
    if found.to is not None and (found.to.is_floating_point() or not bool(((found.to >= 0) & (found.to < t)).all())):
        raise ValueError(f"to must hold indices of the {t} latents of a clip")
