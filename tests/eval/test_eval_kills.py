"""Several processes, and the death of one or of all: the report is the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor

import micro
from dreamx.clip import Clip
from dreamx.eval.models import CopyFirst, Truth, Warp
from dreamx.eval.runner import EvalPlan, run_plan
from dreamx.eval.suites import ground_truth
from dreamx.eval.suites.suite import Trial
from dreamx.eval.suites.true_clips import VideoFormat
from eval_house import Haze, plan, true_clip


def rendered(p: EvalPlan, monkeypatch: pytest.MonkeyPatch) -> EvalPlan:
    """With every true render in its folder, where other processes find it."""

    def sphere(trial: Trial, view: VideoFormat) -> Clip:
        return true_clip(trial, view, Path())

    monkeypatch.setattr(ground_truth, "render_trial", sphere)
    for trial in p.suite.trials:
        ground_truth.true_clip(trial, p.view, p.truth)
    return p


def test_two_processes_report_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = (Haze(0.3, fails="001"), Truth(), Warp(), CopyFirst())
    one, two = (run_plan(rendered(plan(tmp_path / str(n), models), monkeypatch), n) for n in (1, 2))
    assert one == two
    assert [r.failed for r in two if r.failed] == ["no light"]


@dataclass(frozen=True)
class Fatal:
    """The truth; but the process that films this trial is gone."""

    trial: str
    name: str = "fatal"
    identity: str = "fatal"

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        if trial.id.startswith(self.trial):
            os._exit(9)
        return truth.video


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_trial_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run_plan(rendered(plan(tmp_path, (Truth(), Fatal("002")), 8), monkeypatch), 2)
    lost = [(r.model, r.trial, r.failed) for r in rows if r.failed]
    assert ("fatal", "002-move-right", "the process died") in lost
    assert len(lost) <= 2  # the one that worked beside it may have died as often
    assert all(r.measured.scores["psnr"] == 99 for r in rows if not r.failed)


def command(folder: Path, out: str, processes: int) -> list[str]:
    words = ["memory", "--world", str(folder / "micro"), "--cases", "1", "--models", "truth", "ours", "copy-first"]
    words += ["--truth", str(folder / f"truth-{out}"), "--out", str(folder / out), "--processes", str(processes)]
    return [sys.executable, "-m", "dreamx", "eval", *words]


def killed(words: list[str], when: Callable[[], bool]) -> None:
    """Start, wait for the moment, kill -9 the command alone; nothing that it started goes on."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not when():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.01)
    started = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    end = time.monotonic() + 60
    while any(alive(pid) for pid in started):
        assert time.monotonic() < end, "a worker goes on without its command"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def result(out: Path) -> dict[str, object]:
    report = json.loads((out / "report.json").read_text())
    report["about"]["command"] = ""
    return report


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("processes", [1, 2])
def test_memory_killed_twice_goes_on_to_an_equal_report(tmp_path: Path, processes: int) -> None:
    micro.world().export(tmp_path / "micro")
    subprocess.run(command(tmp_path, "whole", 1), check=True, capture_output=True)
    words, out = command(tmp_path, "killed", processes), tmp_path / "killed"
    killed(words, lambda: any((tmp_path / "truth-killed").glob("*.safetensors")))  # a truth is there, and nothing else
    killed(words, lambda: any(out.glob("rows/*/*.json")))  # a row, but not all
    assert len(list(out.glob("rows/*/*.json"))) < 3
    assert not (out / "report.json").exists()
    subprocess.run(words, check=True, capture_output=True)
    assert result(out) == result(tmp_path / "whole")
    text, page = ((out / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert text == (tmp_path / "whole" / "report.md").read_text()
    assert page == (tmp_path / "whole" / "report.html").read_text()
