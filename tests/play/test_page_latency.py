"""What measures key to frame: every press is counted, and counted in full."""

from __future__ import annotations

from browser import Page, needs_chromium
from dreamx.play.session_manager import SessionManager
from fake_world import FakeWorld
from latency import Latency, Measured, measure, quantile

pytest_plugins = ["page_house"]
pytestmark = needs_chromium


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(x) for x in range(1, 101)], 0.95) == 95.0
    assert quantile([7.0], 0.95) == 7.0


def test_every_press_is_counted(house: tuple[FakeWorld, SessionManager, int], page: Page) -> None:
    it = measure(page, f"http://127.0.0.1:{house[2]}/", Latency(presses=6, start="hill"))
    assert isinstance(it, Measured) and it.presses == 6
    assert 0 < it.median <= it.p95 <= it.max
    assert it.fps > 0 and 0 <= it.late <= 1
