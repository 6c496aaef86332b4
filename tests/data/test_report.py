"""The page about a curated folder: its counts are right, it needs nothing else, and its clips play."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser import CHROMIUM, NO_CHROMIUM, browse
from dreamx.data.quality.curate import CurateConfig, curate
from dreamx.data.quality.quality_report import ReportConfig, report
from test_curate import LIMITS, fill

pytest.importorskip("scenedetect")


def test_the_page_counts_and_plays(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    curate(CurateConfig(tmp_path / "in", tmp_path / "out", LIMITS, processes=1))
    page = tmp_path / "page.html"
    report(ReportConfig(tmp_path / "out", page))
    text = page.read_text()
    assert "8 clips: <b>3 kept</b> (38 %), 5 dropped." in text
    assert not re.search(r"%[A-Z]+%", text) and not re.search(r"(src|href)=[\"']?https?:", text)
    for reason in ("duplicate", "empty", "fps", "rotations", "unreadable"):
        assert f"<h3>{reason} <small>1</small></h3>" in text
    assert "it is the same video as a-good" in text
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with browse(tmp_path / "profile") as tab:
        tab.open(page.as_uri())
        tab.until("document.querySelectorAll('video').length === 3 + 3")
        tab.until("[...document.querySelectorAll('video')].every(v => v.videoWidth > 0)")
        tab.js("scrollTo(0, document.body.scrollHeight)")  # what is out of sight waits
        tab.until("[...document.querySelectorAll('video')].some(v => v.currentTime > 0)")
        assert tab.js("document.body.scrollWidth <= innerWidth")
        assert tab.complaints == []


def test_a_folder_that_was_not_curated_is_judged_for_the_page(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    report(ReportConfig(tmp_path / "in", tmp_path / "page.html", LIMITS, samples=0))
    assert "8 clips: <b>4 kept</b>" in (tmp_path / "page.html").read_text()
