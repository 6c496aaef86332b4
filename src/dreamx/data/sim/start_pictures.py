"""Pictures to begin from, for the gallery: of home places, and of every kind of place in every look, none trained on; or the
first pictures of clips of your own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dreamx import atomic, manifest
from dreamx.bounds import FieldOfView, InputFolder, OutputFolder, Pixels, PositiveInt, Seed
from dreamx.clip import refuse_held_out
from dreamx.data.clip_list import shots
from dreamx.data.scene.caption import caption
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import ALL_KINDS, place
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import KINDS, STYLES
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
    homes: tuple[str, ...] = ()
    """Home places (village, cottage, castle, island, winter, workshop) of a world that knows them by heart, ``each`` of each."""
    clips: InputFolder | None = None
    """Folder of clips whose first pictures are taken instead, and where they were taken: for a world that knows their place by
    heart (``dreamx train places``)."""

    def __post_init__(self) -> None:
        if self.clips is not None and self.homes:
            raise ValueError("starts.homes are rendered, and starts.clips are taken as they are; leave one of them out")
        if strange := set(self.homes) - set(HOMES):
            raise ValueError(f"starts.homes: {sorted(strange)[0]!r} is not one of {', '.join(HOMES)}")


def starts(cfg: StartsConfig) -> None:
    """Render and write the start pictures. ValueError, where they are of clips: these are of another size."""
    if cfg.clips is not None:
        _of_clips(cfg, cfg.clips)
        return
    open_ground = [(kind, style) for kind in KINDS for style in STYLES]
    at_home = [(kind, HOMES[kind].STYLE) for kind in cfg.homes]
    # Those at home last, so that the others have the seeds that they had before there were any.
    every = [(kind, style, n) for places in (open_ground, at_home) for n in range(cfg.each) for kind, style in places]
    refuse_held_out(cfg.first_seed + len(every) - 1)
    names = rf"(home-)?({'|'.join(ALL_KINDS)})(-({'|'.join(STYLES)}))?(-\d+)?\.(png|txt|json)"
    about = {"width": cfg.width, "height": cfg.height, "fov": cfg.fov, "first_seed": cfg.first_seed}
    manifest.claim(cfg.out, "start pictures of dreamx data starts", (names,), about)
    lens = torch.tensor(lens_from_fov(cfg.fov, cfg.width, cfg.height))
    for seed, (kind, style, number) in enumerate(every, cfg.first_seed):
        name = (f"home-{kind}" if kind in HOMES else f"{kind}-{style}") + (f"-{number + 1}" if number else "")
        here = place(seed, style, kind)
        start = Camera(here.start(0).pose, lens)
        with Renderer(here, cfg.width, cfg.height) as renderer:
            picture, _ = renderer.render(start)
        with atomic.whole(cfg.out / f"{name}.png") as temporary:
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(temporary, "PNG")
        if kind not in HOMES:  # worlds learn places by their maps, and were not taught the words for them
            atomic.write_text(cfg.out / f"{name}.txt", caption(here, start, np.random.default_rng(seed)) + "\n")
        whence = {"seed": seed, "kind": kind, "style": style, "index": 0}  # the truth beside the dream is rendered from it
        if kind in HOMES:  # a world that knows the place by heart is told where it is (dreamx.standpoint)
            whence["pose"] = start.pose.flatten().tolist()
        atomic.write_text(cfg.out / f"{name}.json", json.dumps(whence) + "\n")


def _of_clips(cfg: StartsConfig, folder: Path) -> None:
    """The first picture of each clip, its caption, and its camera, which the world is to be told."""
    every = shots(folder)
    found = [(f"clip-{number:03d}", shot.load()) for number, shot in enumerate(every, 1)]
    for shot, (_, clip) in zip(every, found, strict=True):
        if (size := tuple(clip.video.shape[-2:])) != (cfg.height, cfg.width):
            want = f"{cfg.width}x{cfg.height} (width and height)"
            raise ValueError(f"clips: the pictures of {shot} are {size[1]}x{size[0]}, not {want}; give the size of the world")
    about = {"width": cfg.width, "height": cfg.height, "clips": str(folder)}
    manifest.claim(cfg.out, "start pictures of dreamx data starts", (r"clip-\d+\.(png|txt|json)",), about)
    for name, clip in found:
        with atomic.whole(cfg.out / f"{name}.png") as temporary:
            Image.fromarray(clip.video[0].permute(1, 2, 0).numpy()).save(temporary, "PNG")
        if clip.caption:
            atomic.write_text(cfg.out / f"{name}.txt", clip.caption + "\n")
        whence = {"kind": clip.scene, "pose": clip.camera.pose[0].float().flatten().tolist()}  # no seed: nothing to render
        atomic.write_text(cfg.out / f"{name}.json", json.dumps(whence) + "\n")
