"""Distillation in the processes that torchrun starts: ``distill_ranks.py FOLDER``. Writes what each process drew and made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dreamx.interrupt import leave
from dreamx.rollout import Sampler
from dreamx.train import distill
from dreamx.train.adversarial_head import AdversarialConfig
from dreamx.train.distill import DistillStage, exit_steps
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.student_stream import StreamConfig
from repo import TESTS
from two_processes import killed_and_resumed, write_draws

START = TESTS / "golden/start"
SAMPLER = Sampler(steps=4, shift=3.0, chunk=1, window=4, sinks=1)


def stage(root: Path, steps: int) -> DistillStage:
    run = RunConfig(root / "run", steps, decay=0.0, warmup=0.0, save_seconds=None, save_steps=2, threads=1)
    stream = StreamConfig(batch=1, window=4, overlap=1, lengths=(24,), known=0.5)
    given = START / "latents.safetensors", START / "camera", root / "model", START / "camera"
    return DistillStage(run, *given, sampler=SAMPLER, stream=stream, lr=1e-3, critic_lr=1e-3, ratio=2, draws=2, shared=True)


def main(root: Path) -> None:
    run = Run(stage(root / "draws", 1).run)
    write_draws(run, root, "exit", lambda: exit_steps(run, SAMPLER))
    distill.main(stage(root / "whole", 4))
    both = replace(stage(root / "both", 2), vae=START / "autoencoder", adversarial=AdversarialConfig(0.1, 1e-2, 16))
    distill.main(both)
    killed_and_resumed(distill, "critic_loss", 3, stage(root / "parts", 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)
