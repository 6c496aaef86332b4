"""A minute of ``soak.py``: nothing that was saved is lost, and the server has nothing to say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soak import soak

MINUTES = float(os.environ.get("DREAMX_SOAK_MINUTES", "1"))
#: All that every soak must have done, or it would show little.
ACTIONS = ("walk", "turn", "start", "picture", "save", "resume", "fork", "replay", "switch", "record", "leave without goodbye")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of the server from /proc")
def test_eight_players_lose_nothing(tmp_path: Path) -> None:
    report = soak(tmp_path, MINUTES, 8)
    assert report.lost == []
    assert report.words == ""
    assert report.code == 0
    assert [x for x in ACTIONS if not report.done[x]] == []
    assert report.done["found again"] >= 8
    assert report.drift is None or report.drift < 0.05
