"""The page in a real browser: every control, against a real server with a world without a network."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import CHROMIUM, Page, browse
from dreamx.play.server import House
from fake_world import FakeWorld
from play_house import eventually, open_house, png

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

PIXELS = "document.getElementById('canvas').toDataURL()"
STAGE = "!document.getElementById('stage').hidden"


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[FakeWorld, House, int]]:
    world = FakeWorld(due=4, dream_seconds=0.03, show_seconds=0.02)
    with open_house(world) as (it, port):
        yield world, it, port


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(house: tuple[FakeWorld, House, int], tab: Page) -> Iterator[Page]:
    """The gallery, freshly loaded; at the end nothing may have been complained about."""
    tab.complaints.clear()
    tab.open(f"http://127.0.0.1:{house[2]}/")
    tab.until("document.querySelectorAll('.start img').length === 2")
    yield tab
    assert tab.complaints == []
    tab.command("Page.navigate", url="about:blank")
    assert eventually(lambda: house[1].inside == 0)


def enter(page: Page) -> None:
    page.js("document.querySelectorAll('.start')[1].click()")
    page.until(f"{STAGE} && document.getElementById('veil').hidden && dreamx.screen.painted.length > 5")


def test_held_keys_move_the_picture_and_are_shown(page: Page, house: tuple[FakeWorld, House, int]) -> None:
    enter(page)
    still = page.js(PIXELS)
    page.key("KeyW", True)
    page.key("KeyL", True)
    assert page.js("[...document.querySelectorAll('.key.held b')].map(x => x.textContent).join('')") == "WL"
    page.until(f"{PIXELS} !== {json.dumps(still)}")
    seen: set[str] = set()
    assert eventually(lambda: bool(seen.add(page.js(PIXELS))) or len(seen) > 12)
    assert still not in seen
    page.until("dreamx.latencies().length === 2")
    page.key("KeyW", False)
    page.key("KeyL", False)
    assert page.js("dreamx.held()") == ""
    walked = house[0].forks[-1]
    moves = sum(float(c.move[:, 2].sum()) for c in walked.actions)
    assert moves > 0
    assert sum(float(c.turn[:, 0].sum()) for c in walked.actions) > 0
    assert page.until("document.getElementById('hud-key').textContent.endsWith('ms')")
    assert page.until("parseFloat(document.getElementById('hud-fps').textContent) > 1")


def test_a_tap_is_one_chunk(page: Page, house: tuple[FakeWorld, House, int]) -> None:
    enter(page)
    page.key("KeyJ", True)
    page.key("KeyJ", False)
    page.until("dreamx.latencies().length === 1")
    assert sum(bool(c.turn.any()) for c in house[0].forks[-1].actions) == 1


def test_keys_are_let_go_when_the_page_loses_the_keyboard(page: Page) -> None:
    enter(page)
    page.key("KeyW", True)
    assert page.js("dreamx.held()") == "w"
    page.js("window.dispatchEvent(new Event('blur'))")
    assert page.js("dreamx.held()") == ""
    page.key("KeyW", False)


def test_typing_an_event_does_not_walk(page: Page, house: tuple[FakeWorld, House, int]) -> None:
    enter(page)
    page.js("document.getElementById('event-text').focus()")
    page.key("KeyW", True)
    page.key("KeyW", False)
    assert page.js("dreamx.held()") == ""
    page.js("document.getElementById('event-text').value = 'it snows'; document.getElementById('event').requestSubmit()")
    assert eventually(lambda: house[0].forks[-1].events == ["it snows"])


def test_pause_save_return_and_pixels(page: Page) -> None:
    enter(page)
    page.js("document.getElementById('save').click()")
    page.until("!document.getElementById('restore').disabled")
    page.key("Space", True)
    page.key("Space", False)
    page.until("document.getElementById('pause').textContent === 'Go on' && dreamx.screen.queue.length === 0")
    time.sleep(0.2)
    still = page.js(PIXELS)
    time.sleep(0.4)
    assert page.js(PIXELS) == still
    page.js("document.getElementById('pause').click()")
    page.until("document.getElementById('pause').textContent === 'Pause'")
    page.key("KeyD", True)
    page.until(f"{PIXELS} !== {json.dumps(still)}")
    page.key("KeyD", False)
    page.until("dreamx.latencies().length === 1")
    page.js("document.getElementById('restore').click()")
    page.until(f"{PIXELS} === {json.dumps(still)}")
    page.js("document.getElementById('crisp').click()")
    assert page.js("getComputedStyle(document.getElementById('canvas')).imageRendering") == "pixelated"
    page.js("document.getElementById('crisp').click()")
    page.js("document.getElementById('again').click()")
    page.until("dreamx.screen.painted.length > 3 && document.getElementById('restore').disabled")
    page.js("document.getElementById('home').click()")
    assert not page.js(STAGE)


def test_on_a_phone_two_fingers_walk_and_turn(page: Page, house: tuple[FakeWorld, House, int]) -> None:
    page.open(f"http://127.0.0.1:{house[2]}/", 390, 844, mobile=True)
    page.until("document.querySelectorAll('.start img').length === 2")
    enter(page)
    boxes = page.js(
        "['key-w', 'key-l'].map(id => document.getElementById(id).getBoundingClientRect())"
        ".map(r => [r.x + r.width / 2, r.y + r.height / 2])"
    )
    assert page.js("document.documentElement.scrollWidth") <= 390
    assert all(y < 844 for _, y in boxes)
    fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(boxes)]
    page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers)
    page.until("dreamx.held() === 'wl'")
    page.until("dreamx.latencies().length === 2")
    page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.until("dreamx.held() === ''")


def test_own_picture_and_words(page: Page) -> None:
    drop = """(() => {{
        const bytes = Uint8Array.from(atob("{data}"), c => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "mine.png"));
        dispatchEvent(new DragEvent("drop", {{ dataTransfer: files, cancelable: true }}));
    }})()"""
    page.js(drop.format(data=base64.b64encode(b"no picture").decode()))
    page.until("document.getElementById('toast').textContent.includes('not a picture')")
    assert not page.js(STAGE)
    page.js(drop.format(data=base64.b64encode(png((120, 80))).decode()))
    page.until("document.getElementById('caption').textContent.includes('its middle 80 x 80 is used')")
    page.js("document.getElementById('home').click()")
    page.js("document.getElementById('prompt').value = 'a park'; document.getElementById('words').requestSubmit()")
    page.until(f"{STAGE} && document.getElementById('caption').textContent === 'a park'")


def test_a_broken_world_offers_to_begin_again(page: Page, house: tuple[FakeWorld, House, int]) -> None:
    house[0].fail_at = 3
    page.js("document.querySelectorAll('.start')[1].click()")
    page.until("!document.getElementById('veil').hidden && !document.getElementById('veil-button').hidden")
    assert "the dream broke" in page.js("document.getElementById('veil-text').textContent")
    house[0].fail_at = None
    page.js("document.getElementById('veil-button').click()")
    page.until("document.getElementById('veil').hidden && dreamx.screen.painted.length > 8")


def test_a_server_that_goes_and_comes_back(tab: Page) -> None:
    world = FakeWorld(due=4)
    with open_house(world) as (_, port):
        tab.open(f"http://127.0.0.1:{port}/")
        tab.until("document.querySelectorAll('.start img').length === 2")
        enter(tab)
    tab.until("document.getElementById('link').dataset.state === 'gone' && !document.getElementById('veil').hidden")
    assert "lost" in tab.js("document.getElementById('veil-text').textContent")
    with open_house(FakeWorld(due=4), port=port):
        tab.until("document.getElementById('link').dataset.state === 'open'", 15)
        tab.until("!document.getElementById('veil-button').hidden")
        tab.js("document.getElementById('veil-button').click()")
        tab.until("document.getElementById('veil').hidden && dreamx.screen.painted.length > 3")
        tab.command("Page.navigate", url="about:blank")


def test_screenshots(page: Page, tmp_path: Path) -> None:
    enter(page)
    page.screenshot(tmp_path / "world.png")
    assert (tmp_path / "world.png").stat().st_size > 10_000
