"""Stages and sources for the tests of the engine; worker processes import them from here."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace

import torch

from dreamx.clip import Clip
from dreamx.data.engine import Drop, Halt
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.controls import from_keys, key_vector, walk


def walk_clip(seed: int, frames: int = 12, size: tuple[int, int] = (16, 24)) -> Clip:
    """A slanted pattern that slides, with depth; cheap, and different for every seed."""
    h, w = size
    x, y, f = torch.arange(w)[None, None], torch.arange(h)[None, :, None], torch.arange(frames)[:, None, None]
    video = torch.stack([((x - f) * 0.3 + y * a + seed).sin() * 90 + 128 for a in (0.1, 0.2, 0.4)], 1).byte()
    start = level((1.0, 1.0, 0.5, 0.5))
    cameras = cat([start.map(lambda x: x[None]), walk(start, from_keys(["wj"] * (frames - 1)))])
    actions = torch.stack([torch.zeros(8), *[key_vector("wj")] * (frames - 1)])
    depth = torch.full((frames, h, w), 1.0 + seed % 64, dtype=torch.float16)
    return Clip(video, Camera(cameras.pose.float(), cameras.lens.float()), actions, depth, 16.0, f"room {seed}", "game", "room",
                seed, "a test", "CC0")  # fmt: skip


@dataclass(frozen=True)
class Walks:
    """A source. bad: cannot be read; kills: ends its process; hangs: never ends; flaky: fails, and then again."""

    count: int
    frames: int = 12
    bad: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()
    hangs: tuple[int, ...] = ()
    flaky: tuple[int, ...] = ()
    halts: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def names(self) -> list[str]:
        return [f"walk-{i}" for i in range(self.count)]

    def clip(self, i: int) -> Clip:
        time.sleep(self.seconds)
        if i in self.bad:
            raise ValueError(f"walk {i} cannot be read")
        if i in self.flaky:
            raise RuntimeError("the disk hiccups")
        if i in self.halts:
            raise Halt("this machine cannot draw")
        if i in self.kills:
            os._exit(3)
        while i in self.hangs:
            time.sleep(0.1)
        return walk_clip(i, self.frames)


@dataclass(frozen=True)
class NotEvery:
    """Drops every ``n``-th seed."""

    n: int = 4

    def __call__(self, clip: Clip) -> Clip | Drop:
        return Drop(f"seed {clip.seed} is a multiple of {self.n}", "every") if clip.seed % self.n == 0 else clip


@dataclass(frozen=True)
class Darker:
    """Pictures of half the brightness."""

    words: str = "at night"

    def __call__(self, clip: Clip) -> Clip:
        return replace(clip, video=clip.video // 2, caption=f"{clip.caption} {self.words}")
