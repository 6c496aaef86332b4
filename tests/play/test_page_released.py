"""The page on the stand-in for DreamX-World-5B: chunks of 12 frames, no memory, no walls; from a picture and from words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

import stand_in
from browser import Page, needs_chromium
from dreamx.play.session_manager import SessionManager
from dreamx.world import World
from fake_world import FakeWorld
from page_visit import STAGE, VEILED, depart, said, visit
from play_house import eventually, open_house

pytest_plugins = ["page_house"]
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SessionManager, int]]:
    world = World.open(stand_in.official(tmp_path_factory.mktemp("released") / "world"))
    with open_house(cast(FakeWorld, world)) as house:
        yield house


def test_one_walks_in_it(released: tuple[SessionManager, int], tab: Page) -> None:
    visit(tab, released[1])
    assert tab.js("['memory', 'walls', 'packed'].every(id => document.getElementById(id).hidden)")
    assert not tab.js("document.getElementById('camera').hidden")
    tab.click("[data-id=sea]")
    tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 5", 90)
    tab.key("KeyW", True)
    tab.until("dreamx.screen.count > 40", 90)
    tab.key("KeyW", False)
    width, height = (tab.js(f"document.getElementById('canvas').{side}") for side in ("width", "height"))
    assert (width % 96, height / width) == (0, 64 / 96), "painted in whole pixels, as wide as the world"
    tab.click("home")
    tab.js("document.getElementById('prompt').value = 'a red house by the sea'")
    tab.js("document.getElementById('words').requestSubmit()")
    tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 20", 90)
    assert said(tab, "start")[-1]["prompt"] == "a red house by the sea"
    depart(tab)
    assert eventually(lambda: released[0].open_sockets == 0)
