"""The fixtures of the tests of the page: one browser, a house with a world without a network, and the gallery open in it.

A pytest plugin: a test file that says ``pytest_plugins = ["page_house"]`` has them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browser import Page, browse
from dreamx.play.server import SessionManager
from fake_world import FakeWorld
from page_visit import depart, visit
from play_house import eventually, open_house


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[FakeWorld, SessionManager, int]]:
    """A world of small chunks, its house, and the port."""
    world = FakeWorld(due=4, dream_seconds=0.03, show_seconds=0.02)
    with open_house(world) as (it, port):
        yield world, it, port


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The tab of the one browser."""
    with browse(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(house: tuple[FakeWorld, SessionManager, int], tab: Page) -> Iterator[Page]:
    """The gallery, freshly loaded; at the end nothing may have been complained about, and the house is left empty."""
    visit(tab, house[2])
    yield tab
    depart(tab)
    assert eventually(lambda: house[1].open_sockets == 0)
