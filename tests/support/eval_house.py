"""What the tests of evaluation share: trials in a painted sphere, and models that fail as they are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import sphere
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.sim import walker
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.models import CopyFirst, Truth, VideoModel, Warp
from dreamx.eval.runner import EvalPlan
from dreamx.eval.suites.suite import Suite, Trial
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.geometry.camera import lens_from_fov, level
from dreamx.geometry.controls import Speed

SIZE, FPS = 32, 8.0
VIEW = VideoFormat(SIZE, SIZE, lens_from_fov(70, SIZE, SIZE), FPS)
PATHS = {"push-in": "w*16", "pan-left": "j*16", "move-right": "d*16", "orbit-left": "dj*16"}


def suite(trials: int = 4, seed: int = 0) -> Suite:
    paths = list(PATHS)
    chosen = [(i, paths[i % 4]) for i in range(trials)]
    every = [
        Trial(f"{i:03d}-{path}", path, FIRST_HELD_OUT_SEED + i, "park", "game", (0.0, 0.0, 0.0), PATHS[path], "a")
        for i, path in chosen
    ]
    return Suite("basic", 1, seed, FPS, tuple(every))


def true_clip(trial: Trial, view: VideoFormat, folder: Path) -> Clip:
    """The sphere from a start that the trial's seed turns, so that trials differ."""
    start = level(view.lens)
    turned, _ = walker.path(start, ["l"] * (1 + trial.seed % 7), Speed(fps=1.0))
    cameras, actions = walker.path(turned[-1], trial.held, Speed(fps=view.fps))
    video = sphere.film(cameras, view.width)
    depth = torch.stack([sphere.render(cameras[i], view.width)[1] for i in range(len(cameras))])
    return Clip(video, cameras, actions, depth, view.fps, trial.prompt, trial.style, trial.kind, trial.seed)


@dataclass(frozen=True)
class Haze:
    """The truth under so much haze from frame 1 on. It cannot do trials whose id holds ``fails``, and dies at ``dies``."""

    share: float
    fails: str = "nothing"
    dies: str = "nothing"
    name: str = "ours"

    @property
    def identity(self) -> str:
        return f"haze {self.share}"

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        if self.fails in trial.id:
            raise ValueError("no light")
        if self.dies in trial.id:
            raise KeyboardInterrupt
        hazy = truth.video.float() * (1 - self.share) + 128 * self.share
        return torch.cat([truth.video[:1], hazy[1:].round().to(torch.uint8)])


def plan(out: Path, models: tuple[VideoModel, ...] | None = None, trials: int = 4) -> EvalPlan:
    return EvalPlan(
        suite(trials), models or (Haze(0.3), Truth(), Warp(), CopyFirst()), VIEW, out, out / "truth", Backbones(), ("", "")
    )
