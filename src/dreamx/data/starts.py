"""Pictures to begin from, for the gallery: one of every kind of place in every look, from scenes that nobody trains on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dreamx.clip import refuse_held_out
from dreamx.data.caption import caption
from dreamx.data.render import Renderer
from dreamx.data.scene import KINDS, STYLES, scene
from dreamx.geometry.camera import Camera, lens_from_fov

#: Training draws smaller seeds, evaluation larger ones.
FIRST_SEED = 500_000


@dataclass(frozen=True)
class StartsConfig:
    """``out`` gets ``NAME.png`` of ``width`` x ``height`` and its prompt in ``NAME.txt``; ``fov`` is vertical, degrees."""

    out: Path
    width: int = 64
    height: int = 64
    fov: float = 70.0
    first_seed: int = FIRST_SEED


def starts(cfg: StartsConfig) -> None:
    """Render and write the start pictures."""
    cfg.out.mkdir(parents=True, exist_ok=True)
    pairs = [(kind, style) for kind in KINDS for style in STYLES]
    refuse_held_out(cfg.first_seed + len(pairs) - 1)
    lens = torch.tensor(lens_from_fov(cfg.fov, cfg.width, cfg.height))
    for seed, (kind, style) in enumerate(pairs, cfg.first_seed):
        place = scene(seed, style, kind)
        start = Camera(place.start(0).pose, lens)
        with Renderer(place, cfg.width, cfg.height) as renderer:
            picture, _ = renderer.render(start)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(cfg.out / f"{kind}-{style}.png")
        (cfg.out / f"{kind}-{style}.txt").write_text(caption(place, start, np.random.default_rng(seed)) + "\n")
