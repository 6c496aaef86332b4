"""Causal stage: teach the bidirectional network, by teacher forcing, to make each chunk from those before it."""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamx.bounds import InputFile, PositiveFloat
from dreamx.config import LATER
from dreamx.flow import velocity_loss
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import claim
from dreamx.train.run import Run
from dreamx.train.sample_sheets import Samples
from dreamx.train.teacher_forcing import TeacherForcedStage, teach
from dreamx.train.trained_networks import load


@dataclass(frozen=True)
class CausalStage(TeacherForcedStage):
    """Train the networks to make each chunk from the chunks before it."""

    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    more: tuple[InputFile, ...] = field(default=(), metadata=LATER)
    """Further files of latents, as long; a clip of any is as likely."""


def main(cfg: CausalStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "causal", ["dit", "text"], [cfg.data, cfg.start, *cfg.more])
    data, run = LatentClips(cfg.data, cfg.frames, cfg.more), Run(cfg.run)
    samples = Samples(cfg.samples, data) if cfg.samples else None
    nets = run.own(load(cfg.start), cfg.lr)
    data.refuse_other(nets.dit.config.channels)
    for now in run.steps(lambda step: teach(cfg.teaching, data, run.generator(step))):
        with run.autocast():
            v = now.velocity(nets, now.noisy)
        run.update(nets, velocity_loss(v, now.target, now.noisy.sigma > 0, now.weight))
        if samples:
            samples.draw(run, nets)
    run.export(cfg.out, nets.parts())
