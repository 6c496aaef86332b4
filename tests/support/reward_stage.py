"""The stage reward from the networks of the golden curves, small: by the quality of pictures alone, which is quickly scored."""

from __future__ import annotations

from pathlib import Path

from dreamx.rollout import Sampler
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.clip_rewards import RewardConfig
from dreamx.train.reward import RewardStage
from dreamx.train.run_config import RunConfig
from repo import TESTS

START = TESTS / "golden/start"
SAMPLER = Sampler(steps=2, shift=3.0, chunk=1, window=4, sinks=1)
CANDIDATES = CandidatesConfig(group=2, clip=2, longest=4)


def stage(root: Path, steps: int = 6) -> RewardStage:
    """A run in ``root / "run"`` whose networks go to ``root / "model"``."""
    return RewardStage(
        RunConfig(root / "run", steps, decay=0.0, warmup=0.0, ema=0.9, save_seconds=None, save_steps=2, threads=1),
        START / "latents.safetensors",
        START / "camera",
        START / "autoencoder",
        root / "model",
        sampler=SAMPLER,
        candidates=CANDIDATES,
        reward=RewardConfig(camera=0.0, references=2),
        lr=1e-3,
        look_every=3,
        sheet_every=4,
    )
