"""Fine-tuning in several processes: the losses of one, and runs that go on in another number of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import finetune_house
from dreamx.checkpoints import weight_files
from dreamx.train import finetune
from repo import TESTS
from two_processes import in_two

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


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its latents, and both kinds of run in one process."""
    root = tmp_path_factory.mktemp("root")
    finetune_house.encoded(root, finetune_house.stand_in(root))
    for kind in KINDS:
        finetune.main(finetune_house.named(root, f"{kind}-one"))
    return root


def train_in_two(root: Path, *names: str) -> None:
    in_two(TESTS / "support/finetune_house.py", str(root), *names, cwd=root)


def test_two_processes_are_one_and_go_on_as_one(root: Path) -> None:
    train_in_two(root, "full-two", "lora-two")
    for kind in KINDS:
        same(root, f"{kind}-one", f"{kind}-two")
        finetune_house.as_killed(root, f"{kind}-two", f"{kind}-two-to-one")
        finetune.main(finetune_house.named(root, f"{kind}-two-to-one"))
        same(root, f"{kind}-one", f"{kind}-two-to-one")
    moved = weights(root, "full-one")
    start = weight_files.mapped(root / "causal/model.safetensors")
    assert float((moved["patch.bias"] - start["patch_embedding.bias"]).abs().max()) > 1e-3, "the runs have learned something"


def test_one_process_goes_on_as_two(root: Path) -> None:
    finetune_house.as_killed(root, "full-one", "full-one-to-two")
    train_in_two(root, "full-one-to-two")
    same(root, "full-one", "full-one-to-two")
