"""Worlds side by side: who is compared with whom, what is counted, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import eval_house
import micro
from dreamx.eval import ablate, preflight, runner
from dreamx.eval.ablate import AblateConfig, Ablation, ablation_markdown, first_seconds
from dreamx.eval.metrics.bootstrap import BootstrapMean
from dreamx.eval.reporting import report
from dreamx.eval.reporting.report import Report
from dreamx.eval.suites.suite import shipped_suite
from dreamx.geometry.controls import Speed
from dreamx.memory import MemoryConfig


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ablation]:
    """Two worlds on two short trials in the painted sphere: the same networks, once with other numbers of steps."""
    root = tmp_path_factory.mktemp("ablate")
    world = micro.world()
    world.config = replace(world.config, speed=Speed(fps=eval_house.FPS))
    world.export(root / "one" / "world")
    cfg = AblateConfig((str(root / "one" / "world"),), steps=(1, 3), cases=2, chunks=3, out=root / "out", truth=root / "truth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "true_clip", eval_house.true_clip)
        patch.setattr(report, "camera_estimator", lambda: "a guess")
        patch.setattr(preflight, "truths_are_cached", lambda *_: True)
        return root, ablate.run_ablation(cfg, first_seconds(eval_house.suite(2), 0.5))


def test_rows_are_worlds_by_steps_beside_the_truth_and_the_first_picture(done: tuple[Path, Ablation]) -> None:
    root, got = done
    assert list(got.report.table) == ["one 1", "one 3", "truth", "copy-first"]
    assert got.report.table["truth"]["psnr"].mean == 99
    assert got.report.failed == dict.fromkeys(got.report.table, 0)
    assert {name: (c.frames, c.steps) for name, c in got.costs.items()} == {"one 1": (4, 1), "one 3": (4, 3)}
    lane = sum(p.numel() for name, p in micro.world().dit.named_parameters() if ".view." in name)
    assert got.costs["one 1"].lane == got.costs["one 3"].lane == lane > 0
    assert got.costs["one 3"].ms > 0
    assert Report.load(root / "out") == got.report


def test_a_world_with_memory_stands_beside_its_memory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, memory in (("plain", None), ("shown", MemoryConfig())):
        world = micro.world(memory=memory)
        world.config = replace(world.config, speed=Speed(fps=eval_house.FPS))
        world.export(tmp_path / name / "world")
    both = tuple(str(tmp_path / n / "world") for n in ("plain", "shown"))
    cfg = AblateConfig(both, cases=1, chunks=1, out=tmp_path / "out", truth=tmp_path / "truth")
    monkeypatch.setattr(runner, "true_clip", eval_house.true_clip)
    monkeypatch.setattr(report, "camera_estimator", lambda: "a guess")
    monkeypatch.setattr(preflight, "truths_are_cached", lambda *_: True)
    got = ablate.run_ablation(cfg, first_seconds(eval_house.suite(1), 0.5))
    assert list(got.report.table) == ["plain", "shown", "hint-copy", "truth", "copy-first"]
    assert got.report.failed == dict.fromkeys(got.report.table, 0)
    assert "hint-copy" not in got.costs


def test_the_table_says_what_differs_and_how_sure_that_is(done: tuple[Path, Ablation]) -> None:
    text = ablation_markdown(done[1])
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| | PSNR, dB | Sharpness |")
    assert [r.split(" | ")[0] for r in rows[1:]] == ["| one 1", "| one 3", "| truth", "| copy-first"]
    assert " to " not in rows[1], "the first row is not compared with itself"
    assert " to " in rows[2]
    assert "2 held-out trials" in text
    assert "Cameras by flow: a guess; " in text


def test_a_difference_in_every_trial_is_bold(done: tuple[Path, Ablation]) -> None:
    whole = done[1].report
    better = [
        replace(r, measured=replace(r.measured, scores=r.measured.scores | {"psnr": p}))
        for r in whole.rows
        for p in [{"one 1": 10.0, "one 3": 12.0}.get(r.model, 5.0)]
    ]
    table = {m: s | {"psnr": BootstrapMean(1, 1, 1, 2)} for m, s in whole.table.items()}
    text = ablation_markdown(replace(done[1], report=replace(whole, rows=better, table=table)))
    assert "| **+2.00 (+2.00 to +2.00)** |" in text


def test_trials_are_cut_and_stay_trials() -> None:
    suite = shipped_suite("basic").part(15)
    cut = first_seconds(suite, 2.0)
    assert {t.frames for t in cut.trials} == {33}
    assert all(a.held[:32] == b.held for a, b in zip(suite.trials, cut.trials, strict=True))
    assert cut.hash != suite.hash


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"worlds": ()}, "worlds: name at least one"),
        ({"steps": (4, 4)}, "steps must be different"),
        ({"steps": (0,)}, "steps must be different numbers of 1 or more"),
        ({"seconds": 6.0}, "seconds must be more than 0 and at most 5"),
        ({"suite": "memory", "seconds": 11.0}, "at most 10, as long as the trials of memory are"),
        ({"chunks": 0}, "chunks and processes must be 1 or more"),
    ],
)
def test_bad_input_is_one_sentence(wrong: dict[str, tuple[int, ...]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(AblateConfig(("tiny",)), **wrong)  # pyright: ignore[reportArgumentType]


def test_worlds_that_cannot_stand_side_by_side_are_refused(tmp_path: Path) -> None:
    for where in ("a/world", "b/a/world"):
        micro.world().export(tmp_path / where)
    twice = AblateConfig(tuple(str(tmp_path / w) for w in ("a/world", "b/a/world")), out=tmp_path / "out")
    with pytest.raises(ValueError, match="two are called a"):
        ablate.run_ablation(twice, eval_house.suite(1))
    slow = AblateConfig((str(tmp_path / "a" / "world"),), out=tmp_path / "out")
    with pytest.raises(ValueError, match="the suite 8 frames a second"):
        ablate.run_ablation(slow, eval_house.suite(1))
