"""Stage: from many steps to few. Causal consistency distillation: from any point of the flow, jump to where it ends.

The teacher is the causal model itself, frozen: from a point it takes one small step along its flow, and the student must
estimate the same clean frames from both points. Source: Causal Forcing++; Song et al. 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from dreamx import flow
from dreamx.bounds import PositiveFloat
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import claim
from dreamx.train.run import Run
from dreamx.train.sample_sheets import Samples
from dreamx.train.teacher_forcing import TeacherForcedStage, Teaching, teach
from dreamx.train.trained_networks import Networks, load


@dataclass(frozen=True)
class ConsistencyStage(TeacherForcedStage):
    """Distil a causal teacher to few steps."""

    lr: PositiveFloat = 3e-4
    """Peak learning rate."""
    lattice: Annotated[int, Ge(2)] = 48
    """Steps into which the teacher's flow is cut."""


@torch.no_grad()
def consistency_target(now: Teaching, teacher: Networks, student: Networks, run: Run, levels: Tensor) -> Tensor:
    """Return the target: the averaged student's estimate of the clean frames, one step of the teacher further on."""
    following = torch.where(now.noisy.sigma > 0, levels[now.level + 1], 0.0)  # [B, T]: known frames stay at 0
    with run.autocast():
        first = now.velocity(teacher, now.noisy)
    # The same point of the same path, one of 48 steps further on. The last step ends at 0, in the teacher's own estimate.
    x = flow.euler(now.noisy.z, now.noisy.sigma, following, first)
    # The averaged student is the target, which keeps training stable (Song et al. 2023).
    with run.ema(student) as average, run.autocast():
        v = now.velocity(average, now.noisy.with_z(x, following))
    return flow.to_clean(x, following, v)


def main(cfg: ConsistencyStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "consistency", ["dit", "text"], [cfg.data, cfg.start])
    data, run = LatentClips(cfg.data, cfg.frames), Run(cfg.run)
    samples = Samples(cfg.samples, data) if cfg.samples else None
    teacher = load(cfg.start).to(run.device).eval().requires_grad_(False)  # frozen, and loaded apart from the student
    student = run.own(load(cfg.start), cfg.lr)
    data.refuse_other(student.dit.config.channels)
    levels = torch.tensor(flow.schedule(cfg.lattice, cfg.teaching.shift))
    # Without the closing 0, from which there is no step.
    for now in run.steps(lambda step: teach(cfg.teaching, data, run.generator(step), levels[:-1])):
        target = consistency_target(now, teacher, student, run, levels)
        with run.autocast():
            v = now.velocity(student, now.noisy)
        clean = flow.to_clean(now.noisy.z, now.noisy.sigma, v)
        run.update(student, flow.velocity_loss(clean, target, now.noisy.sigma > 0))
        if samples:
            samples.draw(run, student)
    run.export(cfg.out, student.parts())
