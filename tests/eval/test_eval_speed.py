"""The stopwatch of a session: what it counts and says, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import micro
from dreamx.config import from_json
from dreamx.eval.speed import SpeedConfig, SpeedReport, key_to_frame, main, measure_speed, speed_markdown
from dreamx.eval.timed_walk import Clocks, percentiles


class Ticks:
    """A clock that moves on by the next of these steps whenever it is read."""

    def __init__(self, *steps: float) -> None:
        self.steps, self.time, self.read = steps, 0.0, 0

    def __call__(self) -> float:
        self.time += self.steps[self.read % len(self.steps)]
        self.read += 1
        return self.time


def test_it_measures_what_the_clocks_say(tmp_path: Path) -> None:
    micro.world().export(tmp_path / "micro")
    # Opening takes the second step; then a chunk is from one reading to the next but one: the first step and the second.
    got = measure_speed(str(tmp_path / "micro"), 5.0, Clocks(Ticks(0.0, 0.05, 0.01), Ticks(0.02)), ["dreamx", "eval", "speed"])
    assert got.chunks == 20  # 5 s of 16 frames in chunks of 4
    assert (got.chunk_ms.p50, got.chunk_ms.p99) == (pytest.approx(50), pytest.approx(50))
    assert got.cpu_ms.p50 == pytest.approx(20)
    assert got.first_frame_ms == pytest.approx(50)
    assert got.frames_per_second == pytest.approx(80)
    assert got.real_time == pytest.approx(5)
    assert [p.start for p in got.parts[1:]] == [p.end for p in got.parts[:-1]]
    assert (len(got.parts), got.parts[0].start, got.parts[-1].end) == (10, 0, 5)
    assert all(p.megabytes > 0 for p in got.parts)


def test_a_key_waits_for_its_round_and_then_for_its_chunk() -> None:
    # Chunks of 50 ms that play for 250: a key comes half a round, 125 ms, before the next one begins, in the mean.
    assert float(key_to_frame(torch.full((9,), 50.0), 250.0).mean()) == pytest.approx(175)
    # Chunks that take longer than they play for: rounds are as long as they are.
    assert float(key_to_frame(torch.full((9,), 400.0), 250.0).mean()) == pytest.approx(600)
    assert key_to_frame(torch.tensor([70.0]), 250.0).tolist() == [70]


def test_a_spread_is_of_quantiles() -> None:
    got = percentiles(torch.arange(101.0))
    assert (got.p50, got.p95, got.p99) == (50, 95, 99)


def test_both_files_are_written_and_say_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    micro.world().export(tmp_path / "micro")
    main(SpeedConfig(str(tmp_path / "micro"), seconds=1.0, threads=1, out=tmp_path / "out"))
    kept = from_json(SpeedReport, json.loads((tmp_path / "out" / "speed.json").read_text()))
    text = (tmp_path / "out" / "speed.md").read_text()
    assert text == speed_markdown(kept) == capsys.readouterr().out[:-1]
    assert "--seconds 1 --threads 1" in text
    assert "1 thread; weights" in text
    assert not list((tmp_path / "out").glob("*.tmp"))
    with pytest.raises(ValueError, match="seconds must be a positive number"):
        SpeedConfig(seconds=0)
