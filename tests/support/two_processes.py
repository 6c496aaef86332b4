"""Stages in the two processes that torchrun starts: how they are started, and what a run that is killed midway leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from dreamx.checkpoints import native
from dreamx.train.run import Run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}


def in_two(*words: Path | str, cwd: Path, seconds: float = 400) -> None:
    """Run what torchrun is told by ``words`` (a script and its arguments); it must end well."""
    done = subprocess.run([*TORCHRUN, *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=seconds, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]


def write_draws(run: Run, root: Path, name: str, draw: Callable[[], object]) -> None:
    """Write ``rank-N.json``: what 20 steps draw together, under ``name``, and what the process draws for itself, as ``own``."""
    drawn = list[object]()
    for run.step in range(20):
        drawn.append(draw())
    own = torch.rand(3, generator=run.generator(0)).tolist()
    (root / f"rank-{run.rank}.json").write_text(json.dumps({name: drawn, "own": own}))


def killed_and_resumed(stage: ModuleType, loss: str, calls: int, cfg: Any) -> None:
    """Run ``stage.main(cfg)`` until it has called the function ``loss`` so often, where it is killed; and then to its end."""
    left, whole = [calls], getattr(stage, loss)

    def dying(*given: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return whole(*given)

    setattr(stage, loss, dying)
    try:
        stage.main(cfg)
    except KeyboardInterrupt:
        setattr(stage, loss, whole)
        stage.main(cfg)


def draws(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the first process wrote with ``write_draws``, and the second."""
    return json.loads((root / "rank-0.json").read_text()), json.loads((root / "rank-1.json").read_text())


def rows(root: Path) -> list[dict[str, float]]:
    """The log of the run in ``root``, without seconds."""
    lines = map(json.loads, (root / "run/log.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def check_equal(root: Path, steps: int) -> None:
    """Assert that the runs ``whole`` and ``parts`` logged the same in so many steps, and left the same network, bit for bit."""
    assert rows(root / "whole") == rows(root / "parts") and len(rows(root / "whole")) == steps
    whole, parts = (native.read(root / name / "model/dit.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(w, parts[k]) for k, w in whole.items())
