"""Distillation in two processes: exit steps are shared, streams are each its own, and a killed run goes on bit for bit."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
import torch

from distill_ranks import stage
from dreamx.train import distill
from repo import TESTS
from two_processes import check_equal, draws, in_two, rows


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    in_two(TESTS / "support/distill_ranks.py", str(root), cwd=root)
    return root


def test_exit_steps_are_shared_and_noise_is_not(root: Path) -> None:
    one, two = draws(root)
    assert one["exit"] == two["exit"]
    assert {step for both in one["exit"] for step in both} == {0, 1, 2, 3}
    assert one["own"] != two["own"]


def test_a_killed_run_of_two_goes_on_with_its_streams(root: Path) -> None:
    check_equal(root, 4)
    own = [torch.load(root / f"whole/run/checkpoints/step-00000004/own-{rank}.pt", weights_only=True) for rank in range(2)]
    assert [x["kept"]["length"] for x in own] == [13, 13], "four windows: 4 and three times 3; two of them are shared"
    assert not torch.equal(*(x["kept"]["frames"]["before"]["z"] for x in own))


def test_pictures_and_head_of_two(root: Path) -> None:
    """The student's gradient goes through the middle of a sharded critic; of the head every process has the same weights."""
    found = rows(root / "both")
    assert found[0]["student.fooling"] == pytest.approx(log(2)) and found[1]["head.loss"] != found[0]["head.loss"]
    own = [torch.load(root / f"both/run/checkpoints/step-00000002/own-{rank}.pt", weights_only=True) for rank in range(2)]
    assert not torch.equal(*(x["kept"]["pictures"]["unread"] for x in own))


def test_one_process_goes_on_with_the_run_of_two(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distill.main(stage(root / "whole", 5))
    assert "going on from step 4 of 5" in capsys.readouterr().out
    assert len(rows(root / "whole")) == 5
