"""Fine-tuning in several processes: the losses of one, and runs that go on in another number of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import finetune_house
from dreamx.checkpoints import weight_files
from dreamx.train import finetune
from repo import TESTS

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}
KINDS = ("full", "lora")


def weights(root: Path, name: str) -> dict[str, torch.Tensor]:
    kind = "dit" if name.startswith("full") else "adapter_model"
    return weight_files.mapped(root / name / f"out/{kind}.safetensors")


def same(root: Path, name: str, other: str) -> None:
    """Losses within 1e-5 of each other, and weights within 1e-4 of a step's length: sums are in another order."""
    assert finetune_house.losses(root, name) == pytest.approx(finetune_house.losses(root, other), rel=1e-5)
    a, b = weights(root, name), weights(root, other)
    assert a.keys() == b.keys()
    far = max(float((a[k] - b[k]).abs().max()) for k in a)
    assert far < 1e-4, f"{name} and {other} differ by {far}"


def test_two_processes_are_one_and_go_on_as_one(tmp_path: Path) -> None:
    world = finetune_house.stand_in(tmp_path)
    finetune_house.encoded(tmp_path, world)
    for kind in KINDS:
        finetune.main(finetune_house.named(tmp_path, f"{kind}-one"))
    finetune_house.as_killed(tmp_path, "full-one", "full-one-to-two")
    words = [str(TESTS / "support/finetune_house.py"), str(tmp_path)]
    words += ["full-two", "full-one-to-two", "lora-two"]
    done = subprocess.run([*TORCHRUN, *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in KINDS:
        same(tmp_path, f"{kind}-one", f"{kind}-two")
        finetune_house.as_killed(tmp_path, f"{kind}-two", f"{kind}-two-to-one")
        finetune.main(finetune_house.named(tmp_path, f"{kind}-two-to-one"))
        same(tmp_path, f"{kind}-one", f"{kind}-two-to-one")
    same(tmp_path, "full-one", "full-one-to-two")
    moved = weights(tmp_path, "full-one")
    start = weight_files.mapped(world / "model.safetensors")
    assert float((moved["patch.bias"] - start["patch_embedding.bias"]).abs().max()) > 1e-3, "the runs have learned something"
