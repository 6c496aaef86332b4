"""A clip: what was seen, from where, under which keys, and what was said to be there. What the data engine makes.

On disk a clip is one ``.safetensors`` file, written whole or not at all; the words (caption, source, licence, ...) are the
file's metadata.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dreamx.geometry.camera import Camera

#: Scene seeds from here on belong to evaluation alone; training refuses them.
FIRST_HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True)
class Clip:
    """One continuous shot.

    video:   ``[F, 3, H, W]`` uint8 RGB.
    camera:  ``[F]`` cameras, one a frame.
    actions: ``[F, 8]`` held keys (order ``wasdijkl``) that led to each frame; row 0 is zeros. Float, 0 to 1.
    depth:   ``[F, H, W]`` float16 metres along z, or None where nobody knows it.
    fps:     frames per second.
    caption: what there is to see; ``style`` one of photoreal, game, stylised; ``scene`` the kind of place.
    seed:    the scene's seed (-1 for real video); ``source`` and ``licence`` say where it comes from.
    """

    video: Tensor
    camera: Camera
    actions: Tensor
    depth: Tensor | None
    fps: float
    caption: str
    style: str = ""
    scene: str = ""
    seed: int = -1
    source: str = ""
    licence: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        f, _, h, w = self.video.shape
        for name, got, want in (
            ("camera", self.camera.shape, (f,)),
            ("actions", self.actions.shape, (f, 8)),
            ("depth", self.depth.shape if self.depth is not None else (f, h, w), (f, h, w)),
        ):
            if tuple(got) != want:
                raise ValueError(f"clip.{name} must be {want} to go with {f} frames of {w}x{h}, not {tuple(got)}")

    def save(self, path: Path) -> None:
        """Write to ``path`` (``.safetensors``), through a temporary name, so that no half a clip is ever seen."""
        tensors = {"video": self.video, "pose": self.camera.pose, "lens": self.camera.lens, "actions": self.actions}
        if self.depth is not None:
            tensors["depth"] = self.depth
        words = {k: getattr(self, k) for k in _WORDS}
        temporary = path.with_suffix(".tmp")
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"clip": json.dumps(words)})
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path) -> Clip:
        """Read what ``save`` wrote; ValueError with the file's name when it is not a clip."""
        try:
            with safe_open(path, "pt") as f:
                words = json.loads(f.metadata()["clip"])
                t: dict[str, Tensor] = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
        except Exception as e:
            raise ValueError(f"{path}: not a readable clip ({type(e).__name__}: {e}); render it again") from e
        return Clip(t["video"], Camera(t["pose"], t["lens"]), t["actions"], t.get("depth"), **words)


_WORDS = ("fps", "caption", "style", "scene", "seed", "source", "licence", "extra")


def refuse_held_out(seed: int) -> None:
    """ValueError when a scene seed is reserved for evaluation; every training loader calls this."""
    if seed >= FIRST_HELD_OUT_SEED:
        raise ValueError(f"scene seed {seed} is reserved for evaluation (>= {FIRST_HELD_OUT_SEED}); train on smaller seeds")


def latent_count(frames: int) -> int:
    """Video frames F -> latent frames T, ``F = 4 (T - 1) + 1``; ValueError where F is not of that form."""
    if frames < 1 or (frames - 1) % 4:
        raise ValueError(f"a video of {frames} frames has no whole number of latents; use 4 k + 1 frames")
    return (frames - 1) // 4 + 1


def latent_cameras(camera: Camera) -> Camera:
    """The cameras of the latent frames: of the *last* video frame of each group, 0, 4, 8, ... along the time axis."""
    axis = len(camera.shape) - 1
    index = torch.arange(0, camera.shape[-1], 4, device=camera.pose.device)
    return camera.map(lambda x: x.index_select(axis, index))
