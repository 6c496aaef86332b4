"""The file of latents that transformers train from: one tensor of all clips, their cameras and captions, and who encoded them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.config import LATER, from_json, to_json
from dreamx.events import Event
from dreamx.geometry.camera import Camera
from dreamx.plaintext import parse_json


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
        """As JSON; what is not there is not said, as in files of before."""
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
        try:
            with tensor_file.opened(path) as f:
                words = parse_json(f.metadata()["latents"])
                rows = tuple(from_json(LatentRow, row) for row in words["clips"])
                camera = Camera(f.get_tensor("pose"), f.get_tensor("lens"))
                more = [f.get_tensor(k) if k in f.keys() else None for k in ("hint", "ahead", "to")]  # noqa: SIM118 (not a dict)
                way = Camera(f.get_tensor("path_pose"), f.get_tensor("path_lens")) if "path_pose" in f.keys() else None  # noqa: SIM118
                made = tuple(words.get("made", ()))
                return Latents(f.get_tensor("z"), camera, rows, words["vae"], *more, made=made, path=way)
        except Exception as e:
            raise ValueError(f"{path}: not a readable file of latents ({type(e).__name__}: {e}); encode the clips again") from e
