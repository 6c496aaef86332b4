"""The first losses of every training stage, from committed inputs, against golden curves.

Each stage starts from `golden/start` or from a seed, never from what another stage made on this machine: sixty steps of training
turn a difference in the last digit into several per cent. Over five steps the order of sums moves no loss by more than 1e-4,
relative (`python tools/golden_spread.py` prints it for other instruction sets and numbers of threads); `TOLERANCE` leaves room.

A change that moves a curve explains itself: `python tools/golden_curves.py` writes the curves anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from golden_stages import GOLDEN, curve, stages

TOLERANCE = 1e-3


@pytest.mark.parametrize("stage", json.loads(GOLDEN.read_text()))
def test_golden_curve(tmp_path: Path, stage: str) -> None:
    assert curve(tmp_path, stage) == pytest.approx(json.loads(GOLDEN.read_text())[stage], rel=TOLERANCE)


def test_every_stage_has_a_curve(tmp_path: Path) -> None:
    assert set(stages(tmp_path)) == set(json.loads(GOLDEN.read_text()))
