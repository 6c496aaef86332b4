"""Steps of the shipped world for its few-step student: distillation by its own teacher; and reinforcement, not shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dreamx.recipes.step import Step
from dreamx.rollout import Sampler
from dreamx.train import distill, reward
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.diffusion_nft import NFTConfig
from dreamx.train.distill import DistillStage
from dreamx.train.reward import RewardStage
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig
from dreamx.train.score_matching import ScoreConfig
from dreamx.train.student_stream import StreamConfig


def distill_step(
    nets: dict[str, Path], latents: Path, sampler: Sampler, stretch: int, frames: int, run: Callable[[str, int], RunConfig]
) -> Step[DistillStage]:
    """Distil the networks of ``events_again`` with their causal selves as teacher, on rollouts of up to ten stretches.

    The bidirectional networks of the stage camera are trained for 300 steps alone. Any latent is a first frame to a causal
    teacher, so that those of windows need not be encoded anew. nets: folders by stage; stretch, frames: latents of a window, and
    of a clip.
    """
    cfg = DistillStage(
        replace(run("distill", 1900), decay=0.3, ema=0.99),
        latents,
        nets["events_again"],
        nets["distill"],
        sampler=sampler,
        stream=StreamConfig(batch=8, window=stretch, overlap=1, lengths=(stretch, 4 * stretch, 10 * stretch)),
        score=ScoreConfig(shift=sampler.shift, guidance=0.0),  # the teacher's words say little (docs/LOG.md)
        frames=frames,
        lr=1e-4,
        critic_lr=2e-4,
        ratio=4,
        samples=SamplesConfig(nets["autoencoder"], sampler),
    )
    return Step("distill", distill.main, cfg)


def reward_step(
    nets: dict[str, Path], latents: Path, sampler: Sampler, stretch: int, frames: int, run: Callable[[str, int], RunConfig]
) -> Step[RewardStage]:
    """Reinforce that student, after histories as long as those that it was distilled on; clips of a second."""
    cfg = RewardStage(
        replace(run("reward", 300), decay=0.0, ema=0.95),
        latents,
        nets["distill"],
        nets["autoencoder"],
        nets["reward"],
        sampler=sampler,
        candidates=CandidatesConfig(group=8, clip=4, longest=10 * stretch, drop_hint=0.5),
        nft=NFTConfig(kl=1e-2),
        frames=frames,
        lr=2e-5,
        draws=4,
    )
    return Step("reward", reward.main, cfg)
