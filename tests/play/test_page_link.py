"""When things go wrong: a full house, a server that goes and comes back, a page that is loaded again, a video that breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from browser import Page, needs_chromium
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import STAGE, VEILED, depart, enter, heard, said, visit
from play_house import Player, open_house

pytest_plugins = ["page_house"]
pytestmark = needs_chromium


def test_a_broken_world_offers_to_begin_again(page: Page, house: tuple[FakeWorld, SessionManager, int]) -> None:
    house[0].fail_at = 3
    page.click("[data-id=sea]")
    page.until(f"{VEILED} && !document.getElementById('veil-button').hidden")
    assert "the dream broke" in page.text("veil-text")
    house[0].fail_at = None
    page.click("veil-button")
    page.until(f"!({VEILED}) && dreamx.screen.count > 8")


def test_a_full_house_is_waited_for(tab: Page) -> None:
    with open_house(FakeWorld(due=4), room=1) as (_, port):
        with Player(port) as first:
            first.say(type="start", start="sea")
            first.reply("started")
            visit(tab, port)
            tab.click("[data-id=sea]")
            tab.until("document.getElementById('link').dataset.state === 'busy'")
            tab.until(f"{VEILED} && /Trying again in \\d+ s/.test(document.getElementById('veil-text').textContent)")
            assert "places are taken" in tab.text("veil-text")
        tab.click("veil-button")  # rather than to wait
        tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 3")
        depart(tab)


def test_a_server_that_comes_back_goes_on_with_the_walk(tab: Page) -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        visit(tab, port)
        enter(tab)
        tab.key("KeyW", True)
        tab.until("dreamx.map.here[1] > 1")
        tab.key("KeyW", False)
        session = tab.js("dreamx.walk.session")
        tab.js("dreamx.link.socket.close()")  # the line breaks, the server does not
        tab.until("dreamx.walk.phase === 'running' && heard.filter(m => m.type === 'started').length === 2")
        tab.until("dreamx.map.here[1] > 0.8")
        assert tab.js("dreamx.walk.session") == session
        assert said(tab, "resume_session")[0]["session"] == session
        depart(tab)


def test_a_server_that_is_restarted_goes_on_with_the_walk(tab: Page, tmp_path: Path) -> None:
    with open_house(FakeWorld(due=4), state=tmp_path) as (_, port):
        visit(tab, port)
        enter(tab)
        tab.key("KeyW", True)
        tab.until("dreamx.map.here[1] > 1")
        tab.key("KeyW", False)
        tab.tap("KeyB")
        tab.until("document.querySelectorAll('.moment').length === 1")
        session = tab.js("dreamx.walk.session")
    tab.until("document.getElementById('link').dataset.state === 'gone'")
    with open_house(FakeWorld(due=4), state=tmp_path, port=port):
        tab.until(f"dreamx.walk.phase === 'running' && !({VEILED}) && dreamx.map.here[1] > 0.8", 20)
        assert tab.js("dreamx.walk.session") == session
        tab.until("document.querySelectorAll('.moment').length === 1")
        tab.key("KeyW", True)
        tab.until("dreamx.map.here[1] > 1.8")
        tab.key("KeyW", False)
        tab.command("Page.navigate", url="about:blank")


def test_a_server_that_is_gone_is_waited_for(tab: Page) -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        visit(tab, port)
        enter(tab)
    tab.until(f"document.getElementById('link').dataset.state === 'gone' && {VEILED}")
    assert "Trying again in" in tab.text("veil-text")
    assert tab.js("dreamx.held()") == ""
    with open_house(FakeWorld(due=4), port=port):
        tab.until("document.getElementById('link').dataset.state === 'open'", 15)
        # Another server knows nothing of the session; how the walk began, the page knows itself.
        tab.until("document.getElementById('veil-button').textContent === 'Begin again'")
        tab.click("veil-button")
        tab.until(f"!({VEILED}) && dreamx.screen.count > 3")
        tab.command("Page.navigate", url="about:blank")


def test_a_page_that_is_loaded_again_goes_on(page: Page) -> None:
    enter(page)
    page.tap("KeyB")
    page.until("document.querySelectorAll('.moment img').length === 1")
    page.key("KeyW", True)
    page.until("dreamx.map.here[1] > 1")
    page.key("KeyW", False)
    session, steps = page.js("[dreamx.walk.session, dreamx.map.path.length]")
    page.command("Page.reload")
    page.until("window.dreamx && dreamx.walk.phase === 'running' && dreamx.screen.count > 1")
    assert page.js(STAGE)
    assert page.js("dreamx.walk.session") == session
    assert page.js("dreamx.map.path.length") >= steps
    assert page.js("dreamx.map.here[1]") > 0.8
    page.until("document.querySelectorAll('.moment img').length === 1")
    assert page.js("dreamx.map.flags.size") == 1


def test_a_walk_taken_over_by_another_page_can_be_taken_back(page: Page, house: tuple[FakeWorld, SessionManager, int]) -> None:
    enter(page)
    session = page.js("dreamx.walk.session")
    with Player(house[2]) as other:
        other.say(type="resume_session", session=session)
        page.until(f"{VEILED} && document.getElementById('veil-button').textContent === 'Go on'")
        page.click("veil-button")
        page.until(f"!({VEILED}) && dreamx.walk.phase === 'running'")
        assert other.reply("rested")["session"] == session


@pytest.fixture
def video(page: Page) -> Page:
    """The page, where it plays H.264."""
    if not page.js(
        "typeof VideoDecoder !== 'undefined' && VideoDecoder.isConfigSupported({codec: 'avc1.42E01F'}).then(x => x.supported)"
    ):
        pytest.skip("this chromium has no H.264")
    enter(page)
    return page


def test_video_is_played_where_the_browser_can(video: Page) -> None:
    assert said(video, "start")[0]["codec"] == "h264"
    video.key("KeyW", True)
    video.until("dreamx.map.here[1] > 1")
    video.key("KeyW", False)
    assert sorted(video.js("[...dreamx.screen.kinds]")) == [1, 2]


def test_a_video_that_breaks_becomes_pictures(video: Page) -> None:
    session = video.js("dreamx.walk.session")
    video.js("dreamx.screen.video.push(1e9, true, new Uint8Array([0, 0, 0, 1, 9, 9, 9]))")
    video.until("heard.filter(m => m.type === 'started').length === 2 && dreamx.screen.count > 3")
    assert said(video, "resume_session") == [{"type": "resume_session", "session": session, "codec": "jpeg"}]
    assert video.js("[...dreamx.screen.kinds]") == [0]
    assert heard(video, "started")[1]["session"] == session


def test_a_browser_without_a_decoder_gets_pictures(house: tuple[FakeWorld, SessionManager, int], tab: Page) -> None:
    stub = tab.before("delete window.VideoDecoder")
    visit(tab, house[2])
    enter(tab)
    assert said(tab, "start")[0]["codec"] == "jpeg"
    assert tab.js("[...dreamx.screen.kinds]") == [0]
    tab.no_more(stub)
    depart(tab)


def test_the_truth_stands_beside_the_dream(tab: Page) -> None:
    grey = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    with open_house(FakeWorld(due=4), truth=lambda _: lambda: lambda path: grey.expand(len(path.pose), 3, 64, 64)) as (_, port):
        visit(tab, port)
        enter(tab)
        seen = "document.getElementById('truth').getContext('2d').getImageData(9, 9, 1, 1).data[0]"
        tab.until(f"Math.abs({seen} - 200) < 4")
        box = "document.getElementById(id).getBoundingClientRect()"
        boxes = f"['canvas', 'truth'].map(id => {box}).map(b => [b.x, b.y, b.width, b.height])"
        dream, truth = tab.js(boxes)
        assert dream[2:] == truth[2:]
        assert truth[0] > dream[0] + dream[2]
        assert (
            tab.js("[...document.querySelectorAll('.name')].filter(x => x.checkVisibility()).map(x => x.textContent).join()")
            == "dream,truth"
        )
        tab.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        dream, truth = tab.js(boxes)
        assert dream[2:] == truth[2:]
        assert truth[1] > dream[1] + dream[3]
        depart(tab)


def test_a_server_with_a_token_lets_in_who_has_it(tab: Page) -> None:
    with open_house(FakeWorld(due=4), token="open-sesame") as (_, port):
        tab.open(f"http://127.0.0.1:{port}/?token=open-sesame")
        visit(tab, port)  # without it: the browser remembers
        enter(tab)
        tab.command("Network.clearBrowserCookies")
        tab.js("dreamx.link.socket.close()")
        tab.until("document.getElementById('veil-text').textContent.includes('wants its token')")
        assert "Trying again" not in tab.text("veil-text")
        tab.complaints.clear()
        depart(tab)
