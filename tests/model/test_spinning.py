"""Threads spin where cores are free, and sleep where somebody waits for one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import micro
from dreamx.geometry import from_keys
from dreamx.model import thread_spin
from dreamx.model.thread_spin import CALM, SpinWatch, teams, waited


@pytest.fixture
def watch() -> Iterator[SpinWatch]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    one = SpinWatch()
    yield one
    one.close()
    torch.set_num_threads(before)


def test_who_waits_sleeps_until_nobody_waits(watch: SpinWatch) -> None:
    now, waits = 1.0, {"1": 0, "2": 0}

    def look(*shares: float) -> bool:
        nonlocal now, waits
        now += 0.5
        waits = {name: waits[name] + int(5e8 * share) for name, share in zip(waits, shares, strict=True)}
        watch.look(now, waits)
        return watch.crowded

    assert not look(0, 0)
    assert not look(0.1, 0.1)  # one of them alone counts
    assert look(0, 0.5)
    assert look(0.1, 0.1)  # a little is no reason to change
    assert all(look(0, 0) for _ in range(CALM - 1))
    assert look(0.1, 0)
    assert all(look(0, 0) for _ in range(CALM - 1))
    assert not look(0, 0)


def test_threads_that_come_and_go_are_no_news(watch: SpinWatch) -> None:
    watch.look(1.0, {"1": 0})
    watch.look(2.0, {"2": 9 * 10**9})
    assert not watch.crowded
    watch.look(3.0, {})
    assert not watch.crowded


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux tells who waits there")
def test_teams_sleep_and_go_again(watch: SpinWatch) -> None:
    torch.zeros(2**20).add_(1)  # the team that works
    alone = len(waited(Path("/proc/self/task")))
    watch.look(1.0, {"1": 0})
    watch.look(2.0, {"1": 10**9})
    wanted = teams(os.cpu_count() or 1, 2)
    assert eventually(lambda: len(waited(Path("/proc/self/task"))) >= alone + wanted)
    watch.close()
    assert eventually(lambda: len(waited(Path("/proc/self/task"))) <= alone)


def eventually(good: object, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not (done := good()) and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    return bool(done)


def test_more_threads_than_cores() -> None:
    for cores in (1, 2, 4, 6, 8):
        for threads in range(2, cores + 1):
            assert (teams(cores, threads) + 1) * (threads - 1) + 1 > cores
    assert teams(2, 1) == 0
    assert teams(64, 2) == 0, "so few threads find a core"


def test_what_is_waited_is_read(tmp_path: Path) -> None:
    for name, words in (("7", "100 250 3\n"), ("8", ""), ("9", None)):
        (tmp_path / name).mkdir()
        if words is not None:
            (tmp_path / name / "schedstat").write_text(words)
    assert waited(tmp_path) == {"7": 250}
    assert waited(tmp_path / "nothing") == {}


def test_networks_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[dict[str, int]] = []
    monkeypatch.setattr(thread_spin._WATCH, "look", lambda now, waits: looks.append(waits))
    monkeypatch.setattr(thread_spin._WATCH, "due", 0.0)
    monkeypatch.setattr("dreamx.openmp.ours", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    world = micro.world()
    world.reset(micro.picture(), seed=1)
    world.step(from_keys(["w"] * world.frames_per_step))
    assert len(looks) >= 1
