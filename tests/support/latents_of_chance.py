"""A file of latents that nobody encoded, for tests of recipes."""

from __future__ import annotations

from pathlib import Path

import torch

from dreamx.data.encode import LatentRow, Latents
from dreamx.geometry.camera import Camera, level
from dreamx.geometry.controls import from_keys, walk


def save(path: Path, clips: int, length: int, channels: int, lens: tuple[float, ...]) -> None:
    """``clips`` of ``length`` latent frames, 8 x 8, all along one bending walk, with a hint that knows everything."""
    z, hint = torch.randn(clips, length, channels, 8, 8).half(), torch.ones(clips, length, channels + 1, 8, 8).half()
    way = walk(level(lens), from_keys(["wj"] * length))
    camera = Camera(way.pose.expand(clips, -1, -1, -1).contiguous(), way.lens.expand(clips, -1, -1).contiguous())
    Latents(z, camera, tuple(LatentRow("a", "game", "park", i) for i in range(clips)), "", hint).save(path)
