"""When to begin the next chunk: as late as the picture allows, because keys that come after that have to wait a chunk.

The page is the clock. It says which frame it painted, and how long before its time each chunk arrived (its *spare* time).
From the first we know how much is left to paint, from the second how long before the end of that a chunk must be begun
(the *lead*): the lead grows at once by what was missing and shrinks slowly by what was too much. Making, network, and the
decoding in the browser are thereby in the one measured number. A page that paints slowly, or not at all, is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TARGET = 0.05  # seconds of spare time aimed at: jitter smaller than this is not seen
FIRST_LEAD = 0.3
SHRINK = 0.2  # share of the too much that is taken off the lead a chunk
GROWTH = 0.5  # seconds the lead may grow at once


class Pace:
    """The clock of one session. Not locked: the pipeline calls it under its own lock."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fps = fps
        self._clock = clock
        self._begun = 0  # frames
        self._shown = 0
        self._chunk = 0.0  # seconds of picture in the newest chunk
        self._at = clock()
        self.lead = FIRST_LEAD

    def began(self, frames: int) -> None:
        """A chunk of so many frames is in the making."""
        self._begun += frames
        self._chunk = frames / self._fps

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted ``frame``, whose chunk arrived ``spare`` seconds before its time (None: not known)."""
        self._shown = max(self._shown, min(frame + 1, self._begun))
        self._at = self._clock()
        if spare is not None:
            short = TARGET - spare
            self.lead += min(short, GROWTH) if short > 0 else SHRINK * short
            self.lead = min(max(self.lead, 0.0), self._chunk + GROWTH)

    def wait(self) -> float:
        """Seconds until the next chunk has to begin, 0 when it is time; infinity: wait until more is painted."""
        early = (self._begun - self._shown) / self._fps - self.lead
        if early > 2 / self._fps:
            return float("inf")
        return max(0.0, self._at + early - self._clock())
