"""Reinforcement in two processes: histories are alike in length and each its own, and a killed run goes on bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dreamx.checkpoints import native
from dreamx.train import reward
from repo import TESTS
from reward_stage import stage

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    words = [*TORCHRUN, str(TESTS / "support/reward_ranks.py"), str(root)]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def rows(root: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (root / "run/log.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_histories_are_as_long_and_noise_is_not_the_same(root: Path) -> None:
    one, two = (json.loads((root / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert one["lengths"] == two["lengths"] and set(one["lengths"]) == {1, 2, 3, 4}
    assert one["own"] != two["own"]


def test_a_killed_run_of_two_goes_on_with_its_three_networks(root: Path) -> None:
    assert rows(root / "whole") == rows(root / "parts") and len(rows(root / "whole")) == 4
    weights = [native.read(root / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    assert rows(root / "whole")[-1]["kl"] > 1e-9, "the policy has left its reference, which is its own"


def test_one_process_goes_on_with_the_run_of_two(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward.main(stage(root / "whole", 5))
    assert "going on from step 4 of 5" in capsys.readouterr().out
    assert len(rows(root / "whole")) == 5
