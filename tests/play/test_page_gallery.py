"""Ways into a walk: the gallery and its sieve, one's own picture, words, a file of a walk, and the walk that was left."""

from __future__ import annotations

import json
from pathlib import Path

from browser import Page, needs_chromium
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import STAGE, enter, said
from play_house import png

pytest_plugins = ["page_house"]
pytestmark = needs_chromium

SHOWN = "[...document.querySelectorAll('.start[data-id]')].filter(x => !x.hidden).map(x => x.dataset.id).join(' ')"


def test_places_are_sieved_by_look_and_by_kind(page: Page) -> None:
    assert page.js("['looks', 'kinds'].every(id => document.getElementById(id).hidden)")  # there is nothing to tell apart
    starts = [
        {"id": "park-a", "prompt": "Style: Game. A view of a park. It is big.", "thumbnail": "starts/sea.png"},
        {"id": "park-b", "prompt": "Style: Photorealistic. Inside a park", "thumbnail": "starts/sea.png"},
        {"id": "maze-a", "prompt": "Style: Game. A maze.", "thumbnail": "starts/sea.png"},
    ]
    page.js(f"dreamx.gallery.show({{ ...dreamx.gallery.world, starts: {json.dumps(starts)} }})")
    words = "[...document.querySelectorAll('.start[data-id] .words')].map(x => x.textContent).join('|')"
    assert page.js(words) == "A park|A park|A maze"
    press = "[...document.querySelectorAll('.chip')].find(x => x.textContent === '{}').click()"
    page.js(press.format("Game"))
    assert page.js(SHOWN) == "park-a maze-a"
    page.js(press.format("Parks"))
    assert page.js(SHOWN) == "park-a"
    page.js(press.format("Photoreal"))
    assert page.js(SHOWN) == "park-b"
    page.js(press.format("Mazes"))
    assert page.js(SHOWN) == ""
    assert not page.js("document.getElementById('starts-none').hidden")
    page.js(press.format("Every place"))
    page.js(press.format("Every look"))
    assert page.js(SHOWN) == "park-a park-b maze-a"
    pressed = "[...document.querySelectorAll('.chip[aria-pressed=true]')].map(x => x.textContent).join()"
    assert page.js(pressed) == "Every look,Every place"


def test_places_known_by_heart_are_told_from_open_ground(page: Page) -> None:
    starts = [
        {"id": "home-village", "prompt": "Style: Game. A view of a village.", "thumbnail": "starts/sea.png", "known": True},
        {"id": "maze-a", "prompt": "Style: Game. A maze.", "thumbnail": "starts/sea.png", "known": False},
    ]
    page.js(f"dreamx.gallery.show({{ ...dreamx.gallery.world, starts: {json.dumps(starts)} }})")
    small = "[...document.querySelectorAll('.start[data-id] small')].map(x => x.textContent).join('|')"
    assert page.js(small) == "known by heart|open ground"
    page.js("[...document.querySelectorAll('.chip')].find(x => x.textContent === 'Known by heart').click()")
    assert page.js(SHOWN) == "home-village"


def test_own_picture_dropped_pasted_and_chosen(page: Page, tmp_path: Path) -> None:
    page.give("mine.png", b"no picture")
    page.until("document.getElementById('toast').textContent.includes('not a picture')")
    assert not page.js(STAGE)
    noted = "document.getElementById('caption').textContent.includes('its middle 80 x 80 is used')"
    for by in ("drop", "paste"):
        page.give("mine.png", png((120, 80)), by=by, type="image/png")
        page.until(f"{STAGE} && {noted} && dreamx.walk.phase === 'running'")
        page.click("home")
    (tmp_path / "mine.png").write_bytes(png((120, 80)))
    page.command("DOM.enable")
    root = page.command("DOM.getDocument")["root"]["nodeId"]
    node = page.command("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.command("DOM.setFileInputFiles", files=[str(tmp_path / "mine.png")], nodeId=node)
    page.until(f"{STAGE} && {noted} && dreamx.walk.phase === 'running'")
    assert len(said(page, "start")) == 4


def test_a_large_picture_is_made_smaller_before_it_travels(page: Page) -> None:
    page.js(
        """(async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 2600, height: 1300 });
            const context = canvas.getContext("2d"), noise = context.createImageData(2600, 1300);
            for (let i = 0, x = 1; i < noise.data.length; i++) noise.data[i] = (x = (x * 48271) % 2147483647) & 255;
            context.putImageData(noise, 0, 0);
            const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
            window.size = blob.size;
            dreamx.gallery.open(new File([blob], "large.png", { type: "image/png" }));
        })()"""
    )
    page.until(f"{STAGE} && dreamx.walk.phase === 'running'")
    assert page.js("size") > 8 * 2**20  # as it was, the server would not have taken it
    assert "640 x 640" in page.text("caption")


def test_a_picture_does_not_inherit_what_was_typed_before(page: Page) -> None:
    page.js("document.getElementById('prompt').value = 'a park'")
    page.give("mine.png", png((80, 80)), type="image/png")
    page.until(f"{STAGE} && dreamx.walk.phase === 'running'")
    assert said(page, "start")[-1].get("prompt", "") == ""
    assert page.text("caption") == ""


def test_a_long_prompt_is_sent_whole_and_what_is_not_read_is_shown(page: Page) -> None:
    page.js("document.getElementById('prompt').value = 'a zzzz ' + 'x'.repeat(90)")
    page.js("document.getElementById('words').requestSubmit()")
    page.until(f"{STAGE} && dreamx.walk.phase === 'running'")
    for place in ("caption", "toast"):
        assert 'not taught this word: "zzzz"' in page.text(place)
    page.click("home")
    page.js("document.getElementById('prompt').value = 'x'.repeat(4001)")
    page.js("document.getElementById('words').requestSubmit()")
    page.until("document.getElementById('toast').textContent.includes('4001 characters')")
    assert not page.js(STAGE)


def test_words_begin_a_walk(page: Page) -> None:
    page.js("document.getElementById('words').requestSubmit()")
    assert "few words" in page.text("toast")
    page.js("document.getElementById('prompt').value = 'a park'; document.getElementById('words').requestSubmit()")
    page.until(f"{STAGE} && document.getElementById('caption').textContent === 'a park'")


def test_a_file_that_is_no_walk_is_refused(page: Page) -> None:
    for data in (b"{", b'{"steps": 1}'):
        page.js("document.getElementById('toast').textContent = ''")
        page.give("walk.json", data)
        page.until("document.getElementById('toast').textContent.includes('not a walk')")
    page.give("walk.json", b'{"steps": []}')  # only the server knows what is wrong with this one
    page.until("document.getElementById('gallery').hidden === false && dreamx.walk.phase === 'none' && said.length > 0")
    assert not page.js(STAGE)


def test_a_walk_that_was_left_is_gone_on_with(page: Page, house: tuple[FakeWorld, SessionManager, int]) -> None:
    enter(page)
    page.key("KeyW", True)
    page.until("dreamx.map.here[1] > 1")
    page.key("KeyW", False)
    page.click("home")
    page.until("document.querySelector('#go-on img').complete")
    where, session = page.js("[dreamx.map.here[1], heard.find(m => m.type === 'started').session]")
    page.click("go-on")
    page.until("dreamx.walk.phase === 'running' && dreamx.screen.count > 1")
    assert page.js("dreamx.walk.session") == session
    assert abs(page.js("dreamx.map.here[1]") - where) < 1
    assert page.js("dreamx.map.path.length") > 3
    assert page.js("document.getElementById('go-on')") is None
