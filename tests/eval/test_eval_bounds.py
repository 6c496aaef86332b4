"""On every suite: nothing beats the truth in a column that knows the truth, and the baselines order as they must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dreamx.eval import runner
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.bootstrap import BootstrapMean
from dreamx.eval.metrics.columns import CAMERA, EVENTS, PAPER, TRUTH
from dreamx.eval.models import CopyFirst, Truth, Warp
from dreamx.eval.reporting.report import ReportInfo, build_report
from dreamx.eval.runner import EvalPlan, run_plan
from dreamx.eval.suites.suite import shipped_suite
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.geometry.camera import lens_from_fov
from eval_house import Haze, plan, true_clip

#: Of the paper's columns those that look at the truth; and leakage is no matter of truth: who hears nothing leaks nothing.
KNOWS = [
    c for c in (*PAPER, *TRUTH, *CAMERA) if c.score in ("camera", "quality", "artifact") or (c in (*TRUTH, *CAMERA) and c.better)
]
KNOWS = [c for c in KNOWS if c.tool != "sight" and c.score != "colour drift"]  # read without the truth; a difference of two
HEARS = [c for c in EVENTS if c.score != "leakage"]
KEYS = {"long": "w*24,j*12,s*24,l*12", "memory": "d*20,a*20"}


def table(p: EvalPlan) -> dict[str, dict[str, BootstrapMean]]:
    names = {m.name: m.identity for m in p.models}
    size = (p.view.height, p.view.width)
    count = len(p.suite.trials)
    about = ReportInfo(p.suite.name, 1, 0, "", count, count, size, p.view.fps, names, Backbones().names, "", "", "", "", "")
    rows = run_plan(p, 1)
    assert [r.failed for r in rows if r.failed] == []
    return build_report(about, rows).table


def bounded(found: dict[str, dict[str, BootstrapMean]]) -> None:
    truth = found["truth"]
    for column in (*KNOWS, *HEARS):
        for name, scores in found.items():
            if column.score in scores:
                assert column.better * (truth[column.score].mean - scores[column.score].mean) >= 0, (name, column.score)
    assert truth["camera"].mean >= 99
    assert truth["psnr"].mean == truth["psnr end"].mean == 99
    for score, better in (("psnr", 1), ("ssim", 1), ("distance", -1)):
        assert better * (found["warp"][score].mean - found["copy-first"][score].mean) > 0, score


@pytest.mark.parametrize("name", ["long", "memory"])
def test_nothing_beats_the_truth_on_a_walk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "true_clip", true_clip)
    p = plan(tmp_path, (Truth(), Haze(0.3), Warp(), CopyFirst()), 2)
    trials = tuple(replace(t, keys=KEYS[name]) for t in p.suite.trials)
    found = table(replace(p, suite=replace(p.suite, name=name, trials=trials)))
    bounded(found)
    if name == "memory":
        assert found["truth"]["psnr back"].mean == 99 > found["ours"]["psnr back"].mean
        for measure in ("PSNR", "SSIM"):  # the truth remembers, the first picture for ever has nothing to remember
            assert found["truth"][f"gain {measure}"].mean > 0
            assert found["copy-first"][f"gain {measure}"].mean == pytest.approx(0, abs=1e-6)
    else:
        assert found["ours"]["psnr end"].mean < 99


def test_nothing_beats_the_truth_where_things_happen(tmp_path: Path) -> None:
    suite = shipped_suite("events")
    view = VideoFormat(32, 32, lens_from_fov(70, 32, 32), suite.fps)
    models = (Truth(), Haze(0.3), Warp(), CopyFirst())
    moves = next(t for t in suite.trials if "w" in t.keys)
    found = table(EvalPlan(replace(suite, trials=(moves,)), models, view, tmp_path, tmp_path / "truth", Backbones(), ("", "")))
    bounded(found)
    assert (found["truth"]["happened"].mean, found["truth"]["delay"].mean) == (100, 0)
    assert found["warp"]["happened"].mean < 100 > found["copy-first"]["happened"].mean
    assert found["warp"]["leakage"].mean == found["copy-first"]["leakage"].mean == 0  # they hear no words


def test_no_column_is_forgotten() -> None:
    assert {c.score for c in KNOWS} >= {
        "camera",
        "quality",
        "artifact",
        "psnr",
        "psnr end",
        "ssim",
        "distance",
        "degrees",
        "metres",
    }
