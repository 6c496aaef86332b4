"""What one does with a walk: pause, bookmarks, rewind, switches, the map, recording, photo, replay."""

from __future__ import annotations

import json

from browser import Page, needs_chromium
from dreamx.model.prompt import Taught
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import CHANGE, enter, heard, keep_picture, said

pytest_plugins = ["page_house"]
pytestmark = needs_chromium

#: Files that the page gives to be saved come into ``window.given`` as [name, text or size].
KEEP_FILES = """(() => {
    const blobs = new Map(), create = URL.createObjectURL;
    window.given = [];
    URL.createObjectURL = (blob) => { const url = create(blob); blobs.set(url, blob); return url; };
    HTMLAnchorElement.prototype.click = async function () {
        const blob = blobs.get(this.href);
        given.push([this.download, blob.size < 1e6 && this.download.endsWith("json") ? await blob.text() : blob.size]);
    };
})()"""


def stand_still(page: Page) -> None:
    """Pause, until the last picture that was on its way is seen."""
    page.tap("Space")
    page.until("document.getElementById('pause').textContent === 'Go on' && dreamx.screen.queue.length === 0")


def go_on(page: Page) -> None:
    page.click("pause")
    page.until("document.getElementById('pause').textContent === 'Pause'")


def walk(page: Page, key: str, until: str) -> None:
    page.key(key, True)
    page.until(until)
    page.key(key, False)


def test_pause_stands_still_and_keys_count_afterwards(page: Page) -> None:
    enter(page)
    stand_still(page)
    keep_picture(page)
    page.tap("KeyD")
    chunks = len(heard(page, "made"))
    page.until("said.at(-1).type === 'keys'")
    assert page.js(CHANGE) == 0
    assert len(heard(page, "made")) == chunks
    go_on(page)
    page.until(f"{CHANGE} > 5")


def test_a_bookmark_is_come_back_to_again_and_again(page: Page) -> None:
    enter(page)
    stand_still(page)
    keep_picture(page)
    page.tap("KeyB")
    page.until("document.querySelectorAll('.moment img').length === 1")
    for times in (1, 2):
        go_on(page)
        walk(page, "KeyD", f"{CHANGE} > 20 && dreamx.map.here[0] > 0.5")
        page.tap("Digit1") if times == 1 else page.click(".moment")
        page.until(f"{CHANGE} < 5 && dreamx.map.here[0] < 0.1")
        page.until("document.querySelectorAll('.moment').length === 1")
        stand_still(page)
    branches = page.js("dreamx.map.path.filter(p => !p[4]).length")
    assert branches == 3  # the beginning, and two returns
    assert page.js("dreamx.map.flags.size") == 1


def test_bookmarks_are_numbered_and_lie_where_they_were_made(page: Page) -> None:
    enter(page)
    page.tap("KeyB")
    page.until("document.querySelectorAll('.moment').length === 1")
    walk(page, "KeyW", "dreamx.map.here[1] > 1")
    page.tap("KeyB")
    page.until("document.querySelectorAll('.moment').length === 2")
    assert page.js("[...document.querySelectorAll('.moment b')].map(x => x.textContent).join()") == "1,2"
    first, second = page.js("[...dreamx.map.flags.values()].map(place => place[1])")
    assert first < 0.1
    assert second > 0.9
    assert page.js("document.querySelectorAll('.moment')[1].ariaLabel").startswith("Go back to bookmark 2, at 0:0")


def test_rewind_goes_back_in_time(page: Page) -> None:
    enter(page)
    # However slow the machine is: the button stands as the walk does.
    assert page.js("document.getElementById('rewind').disabled === (dreamx.walk.rewindable <= 0)")
    walk(page, "KeyW", "dreamx.map.here[1] > 2 && dreamx.walk.rewindable >= 1")
    before = page.js("dreamx.map.here[1]")
    page.tap("KeyZ")
    page.until(f"dreamx.map.here[1] < {before} - 0.8")
    asked = said(page, "rewind")
    assert len(asked) == 1
    assert 1 <= asked[0]["seconds"] <= 3


def test_switches_are_told_and_stay_for_the_next_walk(page: Page) -> None:
    enter(page)
    page.tap("KeyM")
    page.until("heard.some(m => m.type === 'state' && !m.switches.memory && m.switches.camera)")
    page.click("camera")
    page.until("heard.some(m => m.type === 'state' && !m.switches.memory && !m.switches.camera)")
    checked = "['memory', 'camera'].map(id => document.getElementById(id).ariaChecked).join()"
    assert page.js(checked) == "false,false"
    page.tap("KeyC")
    page.until("dreamx.walk.switches.camera")
    page.click("again")
    page.until("dreamx.walk.phase === 'running'")
    assert said(page, "start")[-1]["switches"] == {"memory": False, "camera": True, "walls": True, "packed": True}
    page.until("heard.at(-1).type === 'made'")
    assert page.js(checked) == "false,true"


def test_views_that_memory_brought_back_light_up_on_the_map(page: Page) -> None:
    enter(page)
    page.js("dreamx.link.heard({ ...heard.findLast(m => m.type === 'made'), chunk: 1e6, recalled: [[1, 2, 90], [0, 1, 0]] })")
    page.js("dreamx.map.painted(1e6)")
    assert page.js("[...dreamx.map.views.values()].map(v => v.place.join(' ')).join()") == "1 2 90,0 1 0"
    blue = """(() => {
        const { canvas } = dreamx.map, { width, height } = canvas;
        const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) count += data[i + 2] > 150 && data[i] < 140 && data[i + 3] > 60;
        return count;
    })()"""
    assert page.js(f"dreamx.map.draw() || {blue}") > 20
    assert page.js(f"dreamx.map.views.clear(), dreamx.map.draw() || {blue}") == 0


def test_a_switch_that_is_off_is_shown_on_the_picture_also_in_the_next_place(page: Page) -> None:
    enter(page)
    badge = "document.getElementById('badge')"
    assert page.js(f"{badge}.hidden")
    page.click("memory")
    page.until(f"!{badge}.hidden && {badge}.textContent === 'Memory is off'")
    page.click("home")
    page.click("[data-id=hill]")
    page.until("dreamx.walk.phase === 'running' && heard.filter(m => m.type === 'state').at(-1).switches.memory === false")
    assert page.js(f"!{badge}.hidden && {badge}.textContent === 'Memory is off'")
    page.click("memory")
    page.until(f"{badge}.hidden")


def test_what_is_said_is_answered(page: Page, house: tuple[FakeWorld, SessionManager, int]) -> None:
    """Also by a world that was not taught events: then that is said before and after."""
    assert "it starts to snow" in page.js("document.getElementById('event-text').placeholder")
    say = "document.getElementById('event-text').value = '{}'; document.getElementById('event').requestSubmit()"
    house[0].taught = Taught(("a",), ("a",), False)
    try:
        page.js("dreamx.link.socket.close()")
        page.until("document.getElementById('event-text').placeholder.startsWith('This world was not taught events')")
        enter(page)
        page.js(say.format("a zzzz"))
        page.until("document.getElementById('toast').textContent.startsWith('Said: a zzzz. ')")
        told = page.text("toast")
        assert "was not taught that what is said happens" in told and 'this word: "zzzz"' in told
        assert [m["event"] for m in heard(page, "made") if m["event"]] == ["a zzzz"]
    finally:
        house[0].taught = None


def test_a_recording_ends_in_a_link(page: Page) -> None:
    enter(page)
    page.tap("KeyR")
    page.until("document.getElementById('record').ariaPressed === 'true'")
    assert page.text("record-text").startswith("Stop 0:0")
    chunks = len(heard(page, "made"))
    page.until(f"heard.filter(m => m.type === 'made').length > {chunks + 4}")
    page.tap("KeyR")
    page.until("!document.getElementById('film').hidden")
    page.until("document.getElementById('record-text').textContent === 'Record'")
    answer = "fetch(document.querySelector('#film a').href).then(r => r.headers.get('content-type') + r.status)"
    assert page.js(answer) == "video/mp4200"


def test_photo_and_replay_are_given_as_files(page: Page) -> None:
    enter(page)
    page.js(KEEP_FILES)
    walk(page, "KeyW", "dreamx.map.here[1] > 0.3")
    page.click("photo")
    page.until("given.length === 1")
    page.click("share")
    page.until("given.length === 2")
    (photo, size), (name, text) = page.js("given")
    assert (photo, name) == ("dream.png", "walk.json")
    assert size > 1000
    assert any(step["keys"] == "w" for step in json.loads(text)["steps"])
    # Whoever gets the file walks the same way, and goes on from its end.
    where = page.js("dreamx.map.here[1]")
    page.click("home")
    page.give(name, text.encode())
    page.until(f"dreamx.walk.phase === 'running' && Math.abs(dreamx.map.here[1] - {where}) < 0.5 && !dreamx.walk.replaying")
    assert said(page, "start")[-1]["replay"]["steps"]
    walk(page, "KeyS", f"dreamx.map.here[1] < {where} - 0.6")


def test_pixels_and_again(page: Page) -> None:
    enter(page)
    page.tap("KeyP")
    assert page.js("getComputedStyle(document.getElementById('canvas')).imageRendering") == "pixelated"
    page.click("crisp")
    assert page.js("getComputedStyle(document.getElementById('canvas')).imageRendering") == "auto"
    walk(page, "KeyW", "dreamx.map.here[1] > 0.3")
    page.click("again")
    page.until("dreamx.screen.count > 3 && dreamx.map.here[1] === 0")
    first, second = said(page, "start")
    assert first["seed"] == second["seed"]
    page.click("home")
    assert page.js("document.getElementById('stage').hidden")
