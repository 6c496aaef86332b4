"""The page of a report in a browser, at a desk and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import browse, needs_chromium
from dreamx.eval import runner
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.reporting import html
from dreamx.eval.reporting.report import ReportInfo, build_report
from dreamx.eval.reporting.svg import axis_ticks, curve_chart
from dreamx.eval.runner import run_plan
from eval_house import FPS, plan, true_clip

#: What sticks out of the window, but for what scrolls in a box of its own; every <details> open.
STICKS_OUT = """(() => {
    for (const hidden of document.querySelectorAll("details")) hidden.open = true;
    const names = [];
    for (const element of document.querySelectorAll("body *")) {
        const box = element.getBoundingClientRect(), wide = element.closest(".wide");
        if (wide && wide !== element) continue;
        const window = document.documentElement.clientWidth;
        if (box.right > window + 0.5 || box.left < -0.5) names.push(`${element.tagName}.${element.className} ${box.right}`);
    }
    return names;
})()"""


@needs_chromium
def test_the_page_fits_a_phone_and_plays_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runner, html):
        monkeypatch.setattr(module, "true_clip", true_clip)
    p = plan(tmp_path, trials=2)
    names = {m.name: m.identity for m in p.models}
    measures = Backbones().names | {"sight": "a_name_without_a_place_to_break_" * 6}
    about = ReportInfo("basic", 1, 0, p.suite.hash, 2, 120, (32, 32), FPS, names, measures, "x" * 300, "", "", "", "")
    file = tmp_path / "report.html"
    file.write_text(html.report_html(build_report(about, run_plan(p, 1)), p, 2), encoding="utf-8")
    with browse(tmp_path / "profile") as tab:
        for width, height, mobile in ((1280, 860, False), (390, 844, True)):
            tab.open(file.as_uri(), width, height, mobile)
            assert (
                tab.js("document.documentElement.clientWidth <= innerWidth && innerWidth") == width
            )  # a phone would zoom out to show what is wider
            assert tab.js("document.documentElement.scrollWidth") <= width  # wide tables scroll in themselves
            assert tab.js(STICKS_OUT) == []
            assert tab.js("document.querySelectorAll('video').length") == 2 * 4
            assert tab.js("document.querySelectorAll('svg.chart').length") == 5
            tab.js("document.querySelector('.trial').scrollIntoView()")
            tab.until("[...document.querySelector('.trial').querySelectorAll('video')].every(v => v.currentTime > 0)")
        # The test of the width can fail.
        tab.js("document.body.insertAdjacentHTML('beforeend', '<p style=\"width: 500px\">wide</p>')")
        assert tab.js(STICKS_OUT) != []
        assert tab.complaints == []


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(12, 26, [15, 20, 25]), (0.22, 0.92, [0.4, 0.6, 0.8]), (-0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4]), (99, 99.3, [99, 99.1, 99.2])],
)
def test_a_chart_is_marked_with_round_numbers(low: float, high: float, marks: list[float]) -> None:
    assert axis_ticks(low, high) == marks
    assert f">{marks[0]:g}</text>" in curve_chart({"ours": [low, high]}, "PSNR")


def test_a_chart_of_one_value_is_drawn() -> None:
    assert "nan" not in curve_chart({"ours": [3.0, 3.0]}, "PSNR")
    assert curve_chart({"ours": []}, "PSNR") == ""
