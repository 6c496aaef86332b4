"""Walking and looking in a real browser, every way of it, against a real server with a world without a network."""

from __future__ import annotations

from math import floor
from pathlib import Path

from browser import Page, needs_chromium
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import CHANGE, depart, enter, heard, keep_picture, said, visit

pytest_plugins = ["page_house"]
pytestmark = needs_chromium

Opened = tuple[FakeWorld, SessionManager, int]
#: A mouse that can be taken without a person who clicks.
LOCK = """(() => {
    let taken = null;
    const tell = () => document.dispatchEvent(new Event("pointerlockchange"));
    Object.defineProperty(Document.prototype, "pointerLockElement", { get: () => taken });
    Element.prototype.requestPointerLock = function () { taken = this; tell(); return Promise.resolve(); };
    Document.prototype.exitPointerLock = () => { taken = null; tell(); };
})()"""
#: A gamepad whose sticks and buttons are in ``window.pad``.
PAD = """(() => {
    window.pad = { connected: true, axes: [0, 0, 0, 0], buttons: Array.from({ length: 17 }, () => ({ pressed: false })) };
    Navigator.prototype.getGamepads = () => [null, window.pad];
})()"""


def test_held_keys_move_the_picture_and_are_shown(page: Page) -> None:
    enter(page)
    keep_picture(page)
    page.key("KeyW", True)
    page.key("KeyL", True)
    assert page.js("[...document.querySelectorAll('.key.held b')].map(x => x.textContent).join('')") == "WL"
    page.until(f"{CHANGE} > 20")
    page.until("dreamx.latencies().length === 2")
    page.key("KeyW", False)
    page.key("KeyL", False)
    assert page.js("dreamx.held()") == ""
    page.until("dreamx.map.here[1] > 0.2 && dreamx.map.here[2] > 2")  # forward, and turned to the right


def test_what_is_measured_is_shown(page: Page) -> None:
    enter(page)
    for code in ("KeyW", "KeyA", "KeyS"):
        page.tap(code)
        page.until("dreamx.hud.presses.length === 0")
    latencies = page.js("dreamx.latencies()")
    assert len(latencies) == 3
    assert min(latencies) > 0
    assert page.js("dreamx.hud.p95") == max(latencies)
    assert page.text("hud-key") == f"{floor(latencies[-1] + 0.5)} ms"  # as JavaScript rounds
    assert page.text("hud-worst") == f"95 % under {floor(max(latencies) + 0.5)} ms"
    page.until("parseFloat(document.getElementById('hud-fps').textContent) > 1")
    assert page.text("hud-chunk").endswith(" ms")


def test_a_tap_is_one_chunk(page: Page) -> None:
    enter(page)
    page.tap("KeyJ")
    page.until("dreamx.latencies().length === 1")
    page.until("heard.at(-1).type === 'made' && heard.at(-1).held === ''")
    assert [m["held"] for m in heard(page, "made") if m["held"]] == ["j"]


def test_arrows_walk_and_turn(page: Page) -> None:
    enter(page)
    for code in ("ArrowUp", "ArrowLeft"):
        page.key(code, True)
    assert sorted(page.js("dreamx.held()")) == ["j", "w"]
    for code in ("ArrowUp", "ArrowLeft"):
        page.key(code, False)
    assert page.js("dreamx.held()") == ""


def test_keys_are_let_go_when_the_page_loses_the_keyboard(page: Page) -> None:
    enter(page)
    page.key("KeyW", True)
    assert page.js("dreamx.held()") == "w"
    page.js("window.dispatchEvent(new Event('blur'))")
    assert page.js("dreamx.held()") == ""
    page.key("KeyW", False)


def test_typing_an_event_does_not_walk(page: Page) -> None:
    enter(page)
    page.tap("KeyT")
    assert page.js("document.activeElement.id") == "event-text"
    page.tap("KeyW")
    assert page.js("dreamx.held()") == ""
    page.js("document.getElementById('event-text').value = 'refuse'; document.getElementById('event').requestSubmit()")
    page.until("document.getElementById('toast').textContent.includes('does not know that word')")
    assert said(page, "event") == [{"type": "event", "text": "refuse"}]
    assert page.js("document.activeElement === document.body")


def test_the_mouse_looks_until_it_is_given_back(house: Opened, tab: Page) -> None:
    stub = tab.before(LOCK)
    visit(tab, house[2])
    enter(tab)
    x, y = tab.middle("canvas")
    tab.command("Input.dispatchMouseEvent", type="mouseMoved", x=x - 50, y=y)
    assert said(tab, "keys") == []  # it was not taken yet
    tab.click("canvas")
    assert "Esc" in tab.text("hint")
    for step in range(1, 6):
        tab.command("Input.dispatchMouseEvent", type="mouseMoved", x=x - 50 + 20 * step, y=y - 10 * step)
    tab.until("dreamx.map.here[2] > 9")
    looked = [m["look"] for m in said(tab, "keys")]
    assert abs(sum(yaw for yaw, _ in looked) - 10) < 0.01  # a tenth of a degree for each of 100 pixels
    assert abs(sum(pitch for _, pitch in looked) - 5) < 0.01
    tab.js("document.exitPointerLock()")
    count = len(said(tab, "keys"))
    tab.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert "Click" in tab.text("hint")
    assert len(said(tab, "keys")) == count
    tab.no_more(stub)
    depart(tab)


def test_a_gamepad_walks_looks_and_presses_buttons(house: Opened, tab: Page) -> None:
    stub = tab.before(PAD)
    visit(tab, house[2])
    enter(tab)
    tab.js("window.dispatchEvent(new Event('gamepadconnected'))")
    tab.js("pad.axes = [0.1, -0.9, 0.8, 0.05]")
    tab.until("dreamx.held() === 'w' && dreamx.map.here[1] > 0.2 && dreamx.map.here[2] > 4")
    told = said(tab, "keys")[-1]
    assert told["turn"] == [0.75, 0]
    tab.js("pad.axes = [0, 0, 0, 0]; pad.buttons[14].pressed = true")  # the cross, to the left
    tab.until("dreamx.held() === 'a'")
    assert said(tab, "keys")[-1]["turn"] is None
    tab.js("pad.buttons[14].pressed = false; pad.buttons[9].pressed = true")
    tab.until("document.getElementById('pause').textContent === 'Go on' && dreamx.held() === ''")
    tab.js("pad.connected = false")
    tab.no_more(stub)
    depart(tab)


def test_on_a_phone_a_finger_drags_the_view_and_two_thumbs_walk_and_turn(house: Opened, tab: Page) -> None:
    visit(tab, house[2], 390, 844, mobile=True)
    enter(tab)
    assert tab.js("document.documentElement.scrollWidth") <= 390
    x, y = tab.middle("canvas")
    tab.touch((x, y))
    for step in range(1, 5):
        tab.touch((x - 10 * step, y))
    tab.touch()
    tab.until("dreamx.map.here[2] > 7")  # the world follows the finger to the left, so one looks to the right
    assert abs(sum(m["look"][0] for m in said(tab, "keys") if m["look"]) - 8) < 0.01
    # Two fingers come last: after them, this Chromium feels none in the next page.
    boxes = [tab.middle("key-w"), tab.middle("key-l")]
    assert all(y < 844 - 20 for _, y in boxes)
    tab.touch(*boxes)
    tab.until("dreamx.held() === 'wl'")
    tab.until("dreamx.latencies().length === 2")
    tab.touch()
    tab.until("dreamx.held() === ''")
    depart(tab)


def test_a_phone_that_lies_has_everything_in_reach(house: Opened, tab: Page) -> None:
    visit(tab, house[2], 844, 390, mobile=True)
    enter(tab)
    box = "(id => { const b = document.getElementById(id).getBoundingClientRect(); return [b.left, b.right, b.bottom] })"
    walk, look, picture = (tab.js(f"{box}('{name}')") for name in ("walk", "look", "canvas"))
    assert walk[1] <= picture[0] < picture[1] <= look[0]
    assert max(walk[2], look[2], picture[2]) <= 390
    assert tab.js("document.documentElement.scrollWidth") <= 844
    depart(tab)


def test_help_opens_and_does_not_walk(page: Page) -> None:
    page.tap("Slash")
    assert page.js("document.getElementById('help').open")
    page.tap("KeyW")
    assert page.js("dreamx.held()") == ""
    page.js("document.querySelector('#help button').click()")
    assert not page.js("document.getElementById('help').open")
    page.click("help-button")
    assert page.js("document.getElementById('help').open")


def test_everything_has_a_name_for_those_who_listen(page: Page) -> None:
    enter(page)
    nameless = page.js(
        "[...document.querySelectorAll('button, input, canvas')].filter(x => x.checkVisibility() && x.ariaHidden !== 'true'"
        " && !x.getAttribute('aria-label') && !x.textContent.trim()).map(x => x.id)"
    )
    assert nameless == []
    seen = "[...document.querySelectorAll('[role=switch][aria-checked=true]')].filter(x => x.checkVisibility()).length"
    assert page.js(seen) == 3  # the world has no packed memory, so that its switch is hidden


def test_screenshots(page: Page, tmp_path: Path) -> None:
    enter(page)
    page.screenshot(tmp_path / "world.png")
    assert (tmp_path / "world.png").stat().st_size > 10_000
