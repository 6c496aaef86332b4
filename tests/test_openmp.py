"""Waiting threads sleep, in every process that loads torch through us, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamx.data.workers import pool
from dreamx.openmp import ASKED, SPINS, limit_spinning, ours

ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ASKED}


@pytest.mark.parametrize("asked", ASKED)
def test_what_the_user_says_stands(asked: str) -> None:
    environment = {asked: "1"}
    limit_spinning(environment)
    assert environment == {asked: "1"}


def test_otherwise_threads_sleep_soon(tmp_path: Path) -> None:
    blind, seeing = {"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "2"}
    limit_spinning(blind, tmp_path / "nothing")
    limit_spinning(seeing, tmp_path)
    assert blind == {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    assert seeing == blind | {"GOMP_SPINCOUNT": SPINS}
    assert (ours(blind), ours(seeing), ours({})) == (False, True, False)
    again = dict(seeing)
    limit_spinning(again)
    assert again == seeing, "a process that ours started"


@pytest.mark.parametrize("words", [("-m", "dreamx", "bench", "play", "--help"), ("-c", "import dreamx; dreamx.World")])
def test_torch_is_loaded_knowing_it(words: tuple[str, ...]) -> None:
    environment = ENVIRONMENT | {"OMP_DISPLAY_ENV": "VERBOSE"}  # OpenMP says what it has read
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=120)
    if "OPENMP DISPLAY ENVIRONMENT" not in done.stderr:
        pytest.skip("this torch's OpenMP does not say what it has read")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr


def test_workers_know_it() -> None:
    with pool(1) as workers:
        assert any(workers.submit(os.getenv, name).result() for name in ASKED)
