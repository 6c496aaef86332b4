"""The pictures of the page in docs/: ``python tests/screenshots.py`` takes them anew, from the shipped world in a real browser.

docs/gallery.png  docs/play.png              a desk, 1280 x 860
docs/phone-gallery.png  docs/phone.png       a phone, 390 x 844
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro

from browser import CHROMIUM, Page, browse


@dataclass(frozen=True)
class Screenshots:
    """``start``: the place to walk in, by its place in the gallery. ``steps``: held keys and for how many seconds."""

    world: str = "tiny"
    out: Path = Path(__file__).parents[1] / "docs"
    start: str = "park-game"
    walk: str = "w:1.6 wl:1.6 w:0.8 j:1.2 wj:2.4 w:1.2"


@contextmanager
def served(world: str) -> Iterator[str]:
    """The address of a server of that world."""
    command = [sys.executable, "-m", "dreamx", "play", "--world", world, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield next(line.strip() for line in server.stdout if line.startswith("http"))
    finally:
        server.terminate()
        server.wait(20)


def hold(page: Page, keys: str, seconds: float) -> None:
    """Hold keys for some time."""
    for key in keys:
        page.key(f"Key{key.upper()}", True)
    time.sleep(seconds)
    for key in keys:
        page.key(f"Key{key.upper()}", False)


def walk(page: Page, cfg: Screenshots) -> None:
    """From the gallery into the place, along the walk, with bookmarks; the last keys are still held at the end."""
    page.js(f"document.querySelector('[data-id=\"{cfg.start}\"]').click()")
    page.until("document.getElementById('veil').hidden && dreamx.screen.painted.length > 5", 120)
    *steps, last = [(keys, float(seconds)) for keys, _, seconds in (x.partition(":") for x in cfg.walk.split())]
    for number, (keys, seconds) in enumerate(steps):
        if number % 2 == 1:
            page.key("KeyB", True)
            page.key("KeyB", False)
        hold(page, keys, seconds)
    for key in last[0]:
        page.key(f"Key{key.upper()}", True)
    time.sleep(last[1])


def main(cfg: Screenshots) -> None:
    """Take all four pictures."""
    assert CHROMIUM is not None, "the pictures are taken in chromium; install it"
    sizes = {"": (1280, 860, False), "phone": (390, 844, True)}
    with tempfile.TemporaryDirectory() as profile, served(cfg.world) as url, browse(Path(profile)) as page:
        for name, (width, height, mobile) in sizes.items():
            page.js("sessionStorage.clear()") if name else None
            page.open("about:blank", width, height, mobile)
            page.open(url, width, height, mobile)
            page.until("document.querySelector('.start img') && [...document.images].every((x) => x.complete)")
            time.sleep(0.5)
            page.screenshot(cfg.out / ("phone-gallery.png" if name else "gallery.png"))
            walk(page, cfg)
            page.screenshot(cfg.out / ("phone.png" if name else "play.png"))
            page.js("document.getElementById('home').click()")
        assert not page.complaints, page.complaints


if __name__ == "__main__":
    main(tyro.cli(Screenshots))
