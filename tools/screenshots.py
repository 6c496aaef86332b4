"""Pictures of the page, ``python tools/screenshots.py``: from the shipped world in a real browser, to runs/screenshots.

gallery.webp  play.webp              a desk, 1280 x 860; docs/play.webp is the second
phone-gallery.webp  phone.webp       a phone, 390 x 844
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
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from browser import CHROMIUM, Page, browse


@dataclass(frozen=True)
class Screenshots:
    """``start``: id of the place to walk in. ``walk``: held keys and for how many frames; bookmarks are made between.

    ``truth``: with the picture of the simulator beside the dream.
    """

    world: str = "tiny"
    out: Path = Path("runs/screenshots")
    start: str = "park-game"
    truth: bool = False
    walk: str = "w*14,wl*14,s*8,j*10,wa*8"


@contextmanager
def served(cfg: Screenshots, state: str) -> Iterator[str]:
    """The address of a server of that world, which keeps its sessions in that folder."""
    command = [sys.executable, "-m", "dreamx", "play", "--world", cfg.world, "--port", "0", "--state", state]
    command += ["--truth"] if cfg.truth else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield next(line.strip() for line in server.stdout if line.startswith("http"))
    finally:
        server.terminate()
        server.wait(20)


def hold(page: Page, keys: str, frames: int) -> None:
    """Hold keys until so many more frames are painted; they are still held then."""
    for key in keys:
        page.key(f"Key{key.upper()}", True)
    page.until(f"dreamx.screen.count >= {page.js('dreamx.screen.count') + frames}", 120)


def walk(page: Page, cfg: Screenshots) -> None:
    """From the gallery into the place, along the walk, with bookmarks; the last keys are still held at the end."""
    page.js(f"document.querySelector('[data-id=\"{cfg.start}\"]').click()")
    page.until("document.getElementById('veil').hidden && dreamx.screen.count > 5", 120)
    steps = [(keys, int(frames)) for keys, _, frames in (x.partition("*") for x in cfg.walk.split(","))]
    for number, (keys, frames) in enumerate(steps):
        if number % 2 == 1:
            page.tap("KeyB")
        hold(page, keys, frames)
        if number < len(steps) - 1:
            for key in keys:
                page.key(f"Key{key.upper()}", False)


def take(page: Page, file: Path) -> None:
    """Write what the page shows: as WebP a tenth of PNG."""
    with tempfile.TemporaryDirectory() as folder:
        page.screenshot(Path(folder) / "page.png")
        with Image.open(Path(folder) / "page.png") as picture:
            picture.convert("RGB").save(file, "WEBP", quality=90, method=6)


def main(cfg: Screenshots) -> None:
    """Take all four pictures."""
    assert CHROMIUM is not None, "the pictures are taken in chromium; install it"
    cfg.out.mkdir(parents=True, exist_ok=True)
    sizes = {"": (1280, 860, False), "phone": (390, 844, True)}
    with tempfile.TemporaryDirectory() as folder, served(cfg, folder) as url, browse(Path(folder)) as page:
        for name, (width, height, mobile) in sizes.items():
            page.js("sessionStorage.clear()") if name else None
            page.open("about:blank", width, height, mobile)
            page.open(url, width, height, mobile)
            ready = "(x) => x.complete || x.getBoundingClientRect().top > innerHeight"  # what is further down loads when it comes
            page.until(f"document.querySelector('.start img') && [...document.images].every({ready})")
            time.sleep(0.5)
            take(page, cfg.out / ("phone-gallery.webp" if name else "gallery.webp"))
            walk(page, cfg)
            take(page, cfg.out / ("phone.webp" if name else "play.webp"))
            page.js("document.getElementById('home').click()")
        assert not page.complaints, page.complaints


if __name__ == "__main__":
    main(tyro.cli(Screenshots))
