"""Two trainings of one start in one network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.checkpoints import native
from dreamx.recipes import micro
from dreamx.recipes.weight_sum import WeightSum, add_training
from dreamx.train.trained_networks import Networks, load


def test_what_both_learned_is_there(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = Networks.new(micro.DIT, micro.TEXT)
    was = {k: v.clone() for k, v in start.state_dict().items()}
    changes = [{k: torch.randn_like(v) for k, v in was.items()} for _ in range(2)]
    native.save(tmp_path / "less", start.parts())
    for name, change in zip(("base", "more"), changes, strict=True):
        start.load_state_dict({k: v + change[k] for k, v in was.items()})
        native.save(tmp_path / name, start.parts())
    add_training(WeightSum(*(tmp_path / name for name in ("base", "more", "less", "out"))))
    made = load(tmp_path / "out").state_dict()
    assert all(torch.allclose(made[k], v + changes[0][k] + changes[1][k], atol=1e-5) for k, v in was.items())


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    for name, mlp in (("base", 64), ("more", 64), ("less", 96)):
        native.save(tmp_path / name, Networks.new(replace(micro.DIT, mlp=mlp), micro.TEXT).parts())
    with pytest.raises(ValueError, match="less: its networks are of other sizes than those of base"):
        add_training(WeightSum(*(tmp_path / name for name in ("base", "more", "less", "out"))))
    assert not (tmp_path / "out").exists()
