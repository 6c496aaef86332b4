"""Clips by construction in which a red square rolls, or does not: no simulator, and every answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from dreamx.clip import Clip
from dreamx.data.latent_file import Latents
from dreamx.events import Event, Story
from dreamx.geometry.camera import Camera

FRAMES, FPS, SIZE = 33, 16.0, 64
SPAN = (0.5, 1.5)


def clip(seed: int, rolls: bool, entity: str = "the red ball", predicate: str = "starts rolling") -> Clip:
    """A square of 10 pixels that goes 16 pixels to the right between half a second and one and a half, or stays; id 4."""
    rng = torch.Generator().manual_seed(seed)
    video = torch.randint(60, 120, (1, 3, SIZE, SIZE), generator=rng, dtype=torch.uint8).repeat(FRAMES, 1, 1, 1)
    segments = torch.zeros(FRAMES, SIZE, SIZE, dtype=torch.int16)
    left = 8 + int(torch.randint(0, 20, (1,), generator=rng))
    for t in range(FRAMES):
        x = left + (max(0, min(t - 8, 16)) if rolls else 0)
        video[t, :, 30:40, x : x + 10] = torch.tensor([230, 30, 30], dtype=torch.uint8)[:, None, None]
        segments[t, 30:40, x : x + 10] = 4
    events = (Event("e1", entity, predicate, "", *SPAN),) if rolls else ()
    camera = Camera(torch.eye(4).repeat(FRAMES, 1, 1), torch.tensor([0.7, 0.7, 0.5, 0.5]).repeat(FRAMES, 1))
    return Clip(
        video,
        camera,
        torch.zeros(FRAMES, 8),
        None,
        FPS,
        "A room.",
        "game",
        "room",
        seed,
        story=Story("A room", events=events),
        segments=segments,
        entities={4: "red ball"},
    )


def pairs(folder: Path, count: int, first: int = 0) -> Path:
    """Files as ``dreamx data simulate --subset events still`` names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        clip(seed, True).save(folder / f"{seed:07d}_events_00.safetensors")
        clip(seed, False).save(folder / f"{seed:07d}_still_00.safetensors")
    return folder


def eventful(latents: Path, out: Path) -> Path:
    """The same latents, of which every other clip is said to have an event in it."""
    data = Latents.load(latents)
    rolls = (Event("e1", "the red ball", "starts rolling", "", 0.25, 0.75),)
    replace(data, rows=tuple(replace(r, events=rolls) if i % 2 else r for i, r in enumerate(data.rows))).save(out)
    return out
