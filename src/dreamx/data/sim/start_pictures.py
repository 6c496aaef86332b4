"""Pictures to begin from, for the gallery: every kind of place in every look, from scenes that nobody trains on."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from dreamx import atomic, manifest
from dreamx.bounds import FieldOfView, OutputFolder, Pixels, PositiveInt, Seed
from dreamx.clip import refuse_held_out
from dreamx.data.scene.caption import caption
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import KINDS, STYLES, scene
from dreamx.geometry.camera import Camera, lens_from_fov

#: Training draws smaller seeds, evaluation larger ones.
FIRST_SEED = 500_000


@dataclass(frozen=True)
class StartsConfig:
    """Render the pictures that a world's gallery shows."""

    out: OutputFolder
    """Folder that gets NAME.png, its prompt in NAME.txt and its scene in NAME.json."""
    width: Pixels = 64
    """Pixels."""
    height: Pixels = 64
    """Pixels."""
    fov: FieldOfView = 70.0
    """Vertical field of view, degrees."""
    first_seed: Seed = FIRST_SEED
    """Seed of the first scene."""
    each: PositiveInt = 2
    """Pictures of every kind of place in every look."""


def starts(cfg: StartsConfig) -> None:
    """Render and write the start pictures."""
    every = [(kind, style, number) for number in range(cfg.each) for kind in KINDS for style in STYLES]
    refuse_held_out(cfg.first_seed + len(every) - 1)
    names = rf"({'|'.join(KINDS)})-({'|'.join(STYLES)})(-\d+)?\.(png|txt|json)"
    about = {"width": cfg.width, "height": cfg.height, "fov": cfg.fov, "first_seed": cfg.first_seed}
    manifest.claim(cfg.out, "start pictures of dreamx data starts", (names,), about)
    lens = torch.tensor(lens_from_fov(cfg.fov, cfg.width, cfg.height))
    for seed, (kind, style, number) in enumerate(every, cfg.first_seed):
        name = f"{kind}-{style}" + (f"-{number + 1}" if number else "")
        place = scene(seed, style, kind)
        start = Camera(place.start(0).pose, lens)
        with Renderer(place, cfg.width, cfg.height) as renderer:
            picture, _ = renderer.render(start)
        with atomic.whole(cfg.out / f"{name}.png") as temporary:
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(temporary, "PNG")
        atomic.write_text(cfg.out / f"{name}.txt", caption(place, start, np.random.default_rng(seed)) + "\n")
        whence = {"seed": seed, "kind": kind, "style": style, "index": 0}  # the truth beside the dream is rendered from it
        atomic.write_text(cfg.out / f"{name}.json", json.dumps(whence) + "\n")
