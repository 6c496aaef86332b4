"""Reinforcement in two processes: histories are alike in length and each its own, and a killed run goes on bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamx.train import reward
from repo import TESTS
from reward_stage import stage
from two_processes import check_equal, draws, in_two, rows


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    in_two(TESTS / "support/reward_ranks.py", str(root), cwd=root)
    return root


def test_histories_are_as_long_and_noise_is_not_the_same(root: Path) -> None:
    one, two = draws(root)
    assert one["lengths"] == two["lengths"] and set(one["lengths"]) == {1, 2, 3, 4}
    assert one["own"] != two["own"]


def test_a_killed_run_of_two_goes_on_with_its_three_networks(root: Path) -> None:
    check_equal(root, 4)
    assert rows(root / "whole")[-1]["kl"] > 1e-9, "the policy has left its reference, which is its own"


def test_one_process_goes_on_with_the_run_of_two(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward.main(stage(root / "whole", 5))
    assert "going on from step 4 of 5" in capsys.readouterr().out
    assert len(rows(root / "whole")) == 5
