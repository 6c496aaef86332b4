"""The page on a world with packed memory: its switch is there, and the map shows the frames that are recalled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import pytest

import stand_in
from browser import Page, needs_chromium
from dreamx.config import to_json
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.play.session_manager import SessionManager
from dreamx.world import World
from fake_world import FakeWorld
from page_visit import STAGE, VEILED, depart, said, visit
from play_house import open_house

pytest_plugins = ["page_house"]
pytestmark = needs_chromium

RECALLED = "heard.some(m => m.type === 'made' && m.packed.length && m.packed.every(p => p.length === 4 && p[3] < m.chunk))"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SessionManager, int]]:
    folder = stand_in.official(tmp_path_factory.mktemp("packed") / "world")
    chosen = {**stand_in.SMALL, "sampler": {"steps": 1}, "past": {"packed": to_json(PackedMemoryConfig(frames=2))}}
    (folder / "world.json").write_text(json.dumps(chosen))
    with open_house(cast(FakeWorld, World.open(folder))) as house:
        yield house


def test_the_map_shows_what_is_recalled_and_one_can_switch_it_off(packed: tuple[SessionManager, int], tab: Page) -> None:
    visit(tab, packed[1])
    assert not tab.js("document.getElementById('packed').hidden")
    tab.click("[data-id=sea]")
    tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 5", 90)
    tab.key("KeyW", True)
    tab.until(RECALLED, 90)
    tab.until("[...dreamx.map.views.values()].some(v => v.packed && v.place.length === 4)", 90)
    tab.key("KeyW", False)
    tab.click("#packed")
    assert said(tab, "switch")[-1] == {"type": "switch", "memory": True, "camera": True, "walls": True, "packed": False}
    tab.until("document.getElementById('badge').textContent.includes('Packed memory is off')")
    tab.until("heard.filter(m => m.type === 'made').at(-1).packed.length === 0", 90)
    depart(tab)
