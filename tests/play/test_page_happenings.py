"""What can happen in a place, on the page: its buttons, by mouse and keys, several at once, and since when it is so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browser import Page, needs_chromium
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import depart, enter, heard, said, visit

pytest_plugins = ["page_house"]
pytestmark = needs_chromium

FOG = TaughtEvent("fog", "The fog comes up", "Fog hangs in the air", "The fog lifts", 0.5)
RAIN = TaughtEvent("rain", "It begins to rain", "It rains", "", 0.5)
DOG = TaughtEvent("dog", "A dog runs by", seconds=0.5)


@pytest.fixture
def taught(house: tuple[FakeWorld, SessionManager, int], tab: Page) -> Iterator[Page]:
    """The gallery of a world that was taught three events."""
    house[0].taught = Taught((), (), True, (FOG, RAIN, DOG))
    try:
        visit(tab, house[2])
        yield tab
        depart(tab)
    finally:
        house[0].taught = None


def chip(name: str) -> str:
    return f"document.querySelector('[data-name={name}]')"


def phase(page: Page, name: str, is_: str, pressed: bool) -> None:
    page.until(f"{chip(name)}.dataset.phase === '{is_}' && {chip(name)}.ariaPressed === '{str(pressed).lower()}'")


def test_a_button_is_lit_while_its_event_is_held(taught: Page) -> None:
    page = taught
    assert page.js("document.getElementById('event-text').placeholder") == "let something happen: fog"
    enter(page)
    assert page.js("[...document.querySelectorAll('.happening')].map(c => c.dataset.name)") == ["fog", "rain", "dog"]
    page.click("[data-name=fog]")
    phase(page, "fog", "coming", True)
    assert page.js(f"{chip('fog')}.textContent") == "fogcoming"
    phase(page, "fog", "lasting", True)
    assert page.js("/^fog: since 0:\\d\\d$/.test(document.getElementById('hud-happens').textContent)")
    page.click("[data-name=rain]")
    phase(page, "rain", "lasting", True)
    phase(page, "fog", "lasting", True)
    page.click("[data-name=fog]")
    phase(page, "fog", "going", False)
    phase(page, "fog", "", False)
    page.until("/^fog: 0:\\d\\d to 0:\\d\\d · rain: since 0:\\d\\d$/.test(document.getElementById('hud-happens').textContent)")
    page.click("[data-name=rain]")
    phase(page, "rain", "", False)
    assert [m["text"] for m in said(page, "event")] == ["fog", "fog; rain", "rain", ""]
    assert page.js("document.getElementById('toast').hidden"), "the buttons say it"


def test_by_keys_and_over_by_itself(taught: Page) -> None:
    page = taught
    enter(page)
    page.js("dispatchEvent(new KeyboardEvent('keydown', {code: 'Digit3', key: '#', shiftKey: true, bubbles: true}))")
    phase(page, "dog", "coming", True)
    phase(page, "dog", "", False)
    assert [m["text"] for m in said(page, "event")] == ["dog"]
    page.js(f"{chip('rain')}.focus()")
    page.tap("Space")
    phase(page, "rain", "lasting", True)
    assert not page.js("dreamx.walk.paused"), "it pressed the button"
    page.tap("KeyW")
    page.until("heard.some(m => m.type === 'made' && m.held === 'w')")


def test_free_words_stand_beside_what_is_held_and_get_an_honest_note(taught: Page) -> None:
    page = taught
    enter(page)
    page.click("[data-name=fog]")
    phase(page, "fog", "lasting", True)
    page.js("document.getElementById('event-text').value = 'a cat'; document.getElementById('event').requestSubmit()")
    page.until("document.getElementById('toast').textContent.startsWith('Said: fog; a cat. ')")
    assert "This world was taught: fog, rain, dog; for other words little may come of it." in page.text("toast")
    phase(page, "fog", "lasting", True)
    assert [m["text"] for m in said(page, "event")] == ["fog", "fog; a cat"]


def test_a_walk_that_goes_on_shows_what_goes_on(taught: Page) -> None:
    page = taught
    enter(page)
    page.click("[data-name=fog]")
    phase(page, "fog", "lasting", True)
    page.tap("KeyB")
    page.until("document.querySelectorAll('.moment').length === 1")
    page.click("[data-name=fog]")
    phase(page, "fog", "", False)
    page.tap("Digit1")
    phase(page, "fog", "lasting", True)
    since = page.js("document.getElementById('hud-happens').textContent")
    page.js("dreamx.link.socket.close()")
    page.until("heard.filter(m => m.type === 'started').length === 2")
    phase(page, "fog", "lasting", True)
    page.until(f"document.getElementById('hud-happens').textContent === '{since}'")


def test_a_world_without_them_has_no_buttons(page: Page) -> None:
    enter(page)
    page.until("heard.filter(m => m.type === 'made').length > 2")
    assert page.js("document.getElementById('happenings').hidden && document.getElementById('hud-happened').hidden")
    assert page.js("document.querySelectorAll('.happening').length") == 0
    assert all(m["happenings"] == [] for m in heard(page, "made"))
