"""Clips of a pattern that slides, and the sizes of an autoencoder that is made for them in no time."""

from __future__ import annotations

import torch

from dreamx.clip import Clip
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.controls import from_keys, key_vector, walk
from dreamx.model.vae import VAEConfig

MICRO = VAEConfig(latent=4, encoder=(8, 12), decoder=(8, 12), blocks=(1, 1), patch=4)


def path(keys: list[str]) -> Camera:
    start = level((1.0, 1.0, 0.4, 0.5))
    return cat([start.map(lambda x: x[None]), walk(start, from_keys(keys))])


def moving_clip(seed: int, frames: int, keys: str = "wj") -> Clip:
    """A smooth pattern that slides to the right."""
    g = torch.Generator().manual_seed(seed)
    wave, shift = torch.rand(3, 2, generator=g) * 0.5 + 0.1, torch.arange(frames)[:, None, None]
    x, y = torch.arange(32)[None, None], torch.arange(32)[None, :, None]
    video = torch.stack([((x - shift) * a + y * b).sin() * 100 + 128 for a, b in wave.tolist()], 1)
    actions = torch.stack([torch.zeros(8)] + [key_vector(keys)] * (frames - 1))
    depth = torch.full((frames, 32, 32), 3.0, dtype=torch.float16)
    words = "a door on the left, a window on the right"
    return Clip(video.byte(), path([keys] * (frames - 1)), actions, depth, 16.0, words, "game", "room", seed)
