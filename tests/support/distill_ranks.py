"""Distillation in the processes that torchrun starts: ``distill_ranks.py FOLDER``. Writes what each process drew and made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from dreamx.interrupt import leave
from dreamx.rollout import Sampler
from dreamx.train import distill
from dreamx.train.adversarial_head import AdversarialConfig
from dreamx.train.distill import DistillStage, exit_steps
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.score_matching import critic_loss
from dreamx.train.student_stream import StreamConfig
from repo import TESTS

START = TESTS / "golden/start"
SAMPLER = Sampler(steps=4, shift=3.0, chunk=1, window=4, sinks=1)


def stage(root: Path, steps: int) -> DistillStage:
    run = RunConfig(root / "run", steps, decay=0.0, warmup=0.0, save_seconds=None, save_steps=2, threads=1)
    stream = StreamConfig(batch=1, window=4, overlap=1, lengths=(24,))
    given = START / "latents.safetensors", START / "camera", root / "model", START / "camera"
    return DistillStage(run, *given, sampler=SAMPLER, stream=stream, lr=1e-3, critic_lr=1e-3, ratio=2)


def main(root: Path) -> None:
    run = Run(stage(root / "draws", 1).run)
    drawn = list[list[int]]()
    for run.step in range(20):
        drawn.append(exit_steps(run, SAMPLER))
    own = torch.rand(3, generator=run.generator(0)).tolist()
    (root / f"rank-{run.rank}.json").write_text(json.dumps({"exit": drawn, "own": own}))
    distill.main(stage(root / "whole", 4))
    both = replace(stage(root / "both", 2), vae=START / "autoencoder", adversarial=AdversarialConfig(0.1, 1e-2, 16))
    distill.main(both)
    left = [3]

    def dying(*given: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return critic_loss(*given)  # pyright: ignore[reportArgumentType]

    distill.critic_loss = dying  # pyright: ignore[reportAttributeAccessIssue]
    try:
        distill.main(stage(root / "parts", 4))
    except KeyboardInterrupt:
        distill.critic_loss = critic_loss
        distill.main(stage(root / "parts", 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)
