"""The page of a report in a browser, at a desk and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import CHROMIUM, browse
from dreamx.eval import page, runner
from dreamx.eval.report import About, report
from dreamx.eval.runner import run
from dreamx.eval.tools import Tools
from eval_house import FPS, plan, true_clip


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_page_fits_a_phone_and_plays_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runner, page):
        monkeypatch.setattr(module, "true_clip", true_clip)
    p = plan(tmp_path, trials=2)
    names = {m.name: m.identity for m in p.models}
    about = About("basic", 1, 0, p.suite.hash, 2, 120, (32, 32), FPS, names, Tools().names, "", "", "", "", "")
    file = tmp_path / "report.html"
    file.write_text(page.html(report(about, run(p, 1)), p, 2), encoding="utf-8")
    with browse(tmp_path / "profile") as tab:
        for width, height, mobile in ((1280, 860, False), (390, 844, True)):
            tab.open(file.as_uri(), width, height, mobile)
            assert tab.js("document.documentElement.scrollWidth") <= width  # wide tables scroll in themselves
            assert tab.js("document.querySelectorAll('video').length") == 2 * 4
            assert tab.js("document.querySelectorAll('svg.chart').length") == 4
            tab.js("document.querySelector('.trial').scrollIntoView()")
            tab.until("[...document.querySelector('.trial').querySelectorAll('video')].every(v => v.currentTime > 0)")
        assert tab.complaints == []
