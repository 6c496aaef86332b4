"""How long a key takes to be seen: ``make latency`` walks in the shipped world, in a real browser, and prints it as one line.

A press is counted from when the browser had the key to when the page paints the first frame that obeys it, both by the page's
clock; a real keyboard and a real screen add some ms each that no page can see. All presses after the first seconds count: one
that is not answered is an error, and not left out.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import tyro

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from browser import CHROMIUM, Page, browse
from screenshots import Screenshots, served

KEYS = "WASDIJKL"
WARM = 2.0  # seconds of walking before the first press that counts
ANSWERED = 10.0  # seconds that the last press has to be answered


@dataclass(frozen=True)
class Latency:
    """Measure key to frame.

    presses: so many keys are pressed, at times that know nothing of the world's chunks. json: print JSON instead of words.
    """

    presses: int = 100
    world: str = "tiny"
    start: str = "park-game"
    seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.presses <= 200:
            raise ValueError(f"presses is {self.presses}; choose 1 to 200, for the page keeps the last 200")


@dataclass(frozen=True)
class Measured:
    """ms from key to frame, painted frames a second over the whole walk, and the share of painted frames that came late.

    A frame is late when more than one and a half periods lie between it and the one before.
    """

    presses: int
    median: float
    p95: float
    max: float
    fps: float
    late: float


def quantile(values: list[float], share: float) -> float:
    """The smallest of the values that so large a share of them does not exceed."""
    return sorted(values)[max(0, -(-round(1e6 * share * len(values)) // 1_000_000) - 1)]


def measure(page: Page, url: str, cfg: Latency) -> Measured:
    """Open the place, press the keys, read what the page measured."""
    rng = random.Random(cfg.seed)
    page.open(url)
    page.until(f"!!document.querySelector('[data-id=\"{cfg.start}\"]')")
    page.click(f'[data-id="{cfg.start}"]')
    page.until("document.getElementById('veil').hidden && dreamx.screen.count > 5", 120)
    time.sleep(WARM)
    page.js(_WATCH)
    for _ in range(cfg.presses):
        key = f"Key{rng.choice(KEYS)}"
        page.key(key, True)
        time.sleep(rng.uniform(0.15, 0.45))
        page.key(key, False)
        time.sleep(rng.uniform(0.05, 0.3))
    page.until(f"dreamx.latencies().length >= {cfg.presses}", ANSWERED)
    answers, held_up, seen = (page.js(x) for x in ("dreamx.latencies()", "heldUp", "painted"))
    assert len(answers) == len(held_up) == cfg.presses, f"{cfg.presses} presses, {len(answers)} answers"
    times = [a + b for a, b in zip(answers, held_up, strict=True)]
    assert not page.complaints, page.complaints
    gaps = [b - a for a, b in pairwise(seen)]
    period = page.js("dreamx.screen.period")
    return Measured(
        presses=len(times),
        median=round(median(times)),
        p95=round(quantile(times, 0.95)),
        max=round(max(times)),
        fps=round(1000 * len(gaps) / sum(gaps), 2),
        late=round(sum(gap > 1.5 * period for gap in gaps) / len(gaps), 4),
    )


#: From now on the times of painting are kept, and only what is pressed from now on counts. The page counts from when it handles a
#: key, so how long the key lay there until then is kept besides.
_WATCH = """
    window.painted = [];
    window.heldUp = [];
    dreamx.hud.reset();
    let key = 0;
    addEventListener("keydown", (e) => (key = e.timeStamp), { capture: true });
    const pressed = dreamx.hud.pressed.bind(dreamx.hud);
    dreamx.hud.pressed = (seq) => { heldUp.push(performance.now() - key); pressed(seq); };
    const paint = dreamx.screen.onPaint;
    dreamx.screen.onPaint = (frame) => { painted.push(performance.now()); paint(frame); };
"""


def main(cfg: Latency) -> None:
    """Measure, and print."""
    assert CHROMIUM is not None, "it is measured in chromium; install it"
    server = Screenshots(world=cfg.world)
    with tempfile.TemporaryDirectory() as folder, served(server, folder) as url, browse(Path(folder)) as page:
        it = measure(page, url, cfg)
    words = (
        f"key to frame, {it.presses} presses: median {it.median:.0f} ms, p95 {it.p95:.0f}, max {it.max:.0f}; "
        f"{it.fps} frames a second, {100 * it.late:.1f} % of them late"
    )
    sys.stdout.write((json.dumps(it.__dict__) if cfg.json else words) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Latency))
