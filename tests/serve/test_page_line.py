"""The page before a front: it waits in line, and goes on at another replica when its own is gone."""

from __future__ import annotations

from pathlib import Path

from browser import Page, needs_chromium
from fake_world import FakeWorld
from page_visit import STAGE, VEILED, depart, enter, visit
from play_house import Player
from serve_house import fronted, replica

pytest_plugins = ["page_house"]
pytestmark = needs_chromium


def test_a_page_waits_in_line_and_begins_by_itself(tab: Page, tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, FakeWorld(due=4), tmp_path, "a", room=1):
        with Player(port) as first:
            first.say(type="start", start="sea")
            first.reply("started")
            visit(tab, port)
            tab.click("[data-id=sea]")
            tab.until(f"{VEILED} && /number 1 of 1 in line/.test(document.getElementById('veil-text').textContent)")
            assert tab.js("dreamx.link.isOpen")
        tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 3")
        depart(tab)


def test_a_page_goes_on_at_another_replica(tab: Page, tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, FakeWorld(due=4), tmp_path, "a") as a:
        visit(tab, port)
        enter(tab)
        tab.key("KeyW", True)
        tab.until("dreamx.map.here[1] > 1")
        tab.key("KeyW", False)
        session = tab.js("dreamx.walk.session")
        with replica(port, FakeWorld(due=4), tmp_path, "b") as b:
            assert a.stop()
            tab.until(f"dreamx.walk.phase === 'running' && !({VEILED}) && dreamx.map.here[1] > 0.8", 20)
            assert tab.js("dreamx.walk.session") == session and b.manager.sessions == [session]
            assert not any("exceptionDetails" in complaint for complaint in tab.complaints)
            tab.complaints.clear()  # what it asked for while its replica was gone may have failed
            depart(tab)
