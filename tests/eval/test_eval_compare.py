"""Overall, intervals, and which differences are larger than the noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.bootstrap import bootstrap_mean, resample_means
from dreamx.eval.metrics.columns import PAPER, overall
from dreamx.eval.metrics.measure import Measured
from dreamx.eval.reporting import compare as comparing
from dreamx.eval.reporting.compare import CompareConfig, compare_reports, main
from dreamx.eval.reporting.published import FIVE_SECONDS, PUBLISHED, THIRTY_SECONDS
from dreamx.eval.reporting.report import Report, ReportInfo, build_report
from dreamx.eval.runner import TrialRow
from eval_house import suite

ABOUT = ReportInfo(
    "basic", 1, 0, "hash", 40, 120, (64, 64), 16.0, {"ours": "a", "warp": "b"}, Backbones().names, "", "", "", "", ""
)


def test_overall_is_the_plain_mean_of_the_seven_as_in_all_six_rows_of_the_paper() -> None:
    rows = (*FIVE_SECONDS, *THIRTY_SECONDS)
    assert len(rows) == 6
    for row in rows:
        ours = overall({c.score: x for c, x in zip(PAPER, row.scores, strict=True)})
        assert ours == pytest.approx(row.overall, abs=0.0099), row.model  # two digits, one of them cut and not rounded
    assert [c.head for c in PAPER] == ["Camera", "Quality", "Trans.", "Flicker", "Smooth.", "Dynamic", "Artifact"]
    assert set(PUBLISHED) == {"basic", "long"}


def test_overall_wants_all_seven() -> None:
    assert overall({c.score: 50.0 for c in PAPER[:-1]}) is None


def test_an_interval_holds_the_mean_and_narrows_with_trials() -> None:
    rng = torch.Generator().manual_seed(5)
    values = (10 + torch.randn(400, generator=rng, dtype=torch.float64)).tolist()
    few, many = bootstrap_mean(values[:25]), bootstrap_mean(values)
    assert few.low < few.mean < few.high
    assert many.high - many.low == pytest.approx(2 * 1.96 / 400**0.5, rel=0.15)
    assert few.high - few.low > 2 * (many.high - many.low)
    assert bootstrap_mean([3.0] * 9) == replace(few, mean=3.0, low=3.0, high=3.0, count=9)
    assert torch.equal(resample_means(torch.tensor(values)), resample_means(torch.tensor(values)))
    with pytest.raises(ValueError, match="no value"):
        bootstrap_mean([])


def reported(shift: float, noise: float = 0.0, about: ReportInfo = ABOUT, failed: tuple[int, ...] = ()) -> Report:
    """40 trials of very different difficulty; ours is better by ``shift`` dB, give or take."""
    rng = torch.Generator().manual_seed(7)
    hard = 15 + 5 * torch.randn(40, generator=rng)
    jitter = noise * torch.randn(40, generator=rng)
    rows = [
        TrialRow(
            "ours", f"{i:03d}", "walk", "no light" if i in failed else "", "t", Measured({"psnr": float(h) + shift + float(j)})
        )
        for i, (h, j) in enumerate(zip(hard, jitter, strict=True))
    ]
    warp = [replace(r, model="warp", measured=Measured({"psnr": float(h)})) for r, h in zip(rows, hard, strict=True)]
    return build_report(about, rows + warp)


def test_a_small_difference_is_seen_in_pairs_that_the_means_alone_would_hide() -> None:
    a, b = reported(0.0), reported(0.3, noise=0.3)
    assert b.table["ours"]["psnr"].low < a.table["ours"]["psnr"].high  # the intervals of the means overlap by far
    found, notes = compare_reports(a, b, "ours", "ours")
    assert found[0].real
    assert found[0].verdict == "B is better"
    assert found[0].low < 0.3 < found[0].high
    assert compare_reports(b, a, "ours", "ours")[0][0].verdict == "B is worse"
    assert notes == []


def test_noise_is_called_noise() -> None:
    found, _ = compare_reports(reported(0.0), reported(0.0, noise=0.5), "ours", "ours")
    assert found[0].verdict == "within the noise"
    assert compare_reports(reported(0.0), reported(0.0), "ours", "warp")[0][0].verdict == "within the noise"


def test_less_is_better_where_the_column_says_so() -> None:
    a, b = (
        build_report(ABOUT, [TrialRow("ours", str(i), "w", "", "t", Measured({"distance": d + i / 100})) for i in range(20)])
        for d in (0.5, 0.4)
    )
    assert compare_reports(a, b, "ours", "ours")[0][0].verdict == "B is better"


def test_trials_that_failed_in_one_are_left_out_of_both() -> None:
    found, notes = compare_reports(reported(0.0), reported(0.3, noise=0.1, failed=(0, 5)), "ours", "ours")
    assert found[0].trials == 38
    assert notes == ["2 trials that failed in one of them are left out"]


def test_what_cannot_be_compared_is_refused() -> None:
    a = reported(0.0)
    with pytest.raises(ValueError, match="the suites differ"):
        compare_reports(a, reported(0.0, about=replace(ABOUT, suite_hash="other")), "ours", "ours")
    with pytest.raises(ValueError, match="'best' is not in the report; it has ours, warp"):
        compare_reports(a, a, "best", "ours")
    with pytest.raises(ValueError, match="no trial went well"):
        compare_reports(a, reported(0.0, failed=tuple(range(40))), "ours", "ours")
    other = replace(a, rows=[replace(r, truth="another") for r in a.rows])
    with pytest.raises(ValueError, match="the true renders differ, as of trial 000"):
        compare_reports(a, other, "ours", "ours")


def test_a_stand_in_is_never_compared_with_what_it_stands_for() -> None:
    rows = [TrialRow("ours", str(i), "w", "", "t", Measured({"quality": 50.0, "psnr": 20.0, "overall": 50.0})) for i in range(20)]
    a = build_report(ABOUT, rows)
    b = build_report(replace(ABOUT, measures=ABOUT.measures | {"quality": "musiq.pt2 abc"}), rows)
    found, notes = compare_reports(a, b, "ours", "ours")
    assert [d.score for d in found] == ["psnr"]
    assert notes == [
        "Quality is left out: it was not taken with the same tool in both",
        "Overall is left out: it was not taken with the same tool in both",
    ]


def test_a_folder_whose_suite_was_changed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = suite(4)
    reported(0.0, about=replace(ABOUT, suite_hash=mine.hash)).save(tmp_path / "report.json")
    mine.save(tmp_path / "suite.json")
    main(CompareConfig(tmp_path, tmp_path, with_model="warp"))
    assert "within the noise" in capsys.readouterr().out
    suite(3).save(tmp_path / "suite.json")
    with pytest.raises(ValueError, match="its hash is"):
        comparing.read_report(tmp_path)
