"""When to begin the next chunk: as late as the picture allows, because keys that come after that have to wait a chunk.

The page is the clock. It says which frame it painted, and how long before its time each chunk arrived (its *spare* time).
From the first we know when the next chunk will be missed, from the second how long before that it must be begun (the
*lead*): making, network, and the browser's decoding are in that one measured number. The lead grows at once and shrinks
slowly. A page that paints slowly, or not at all, is waited for; one that claims to paint faster than the world runs is not
believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SPARE = 0.03  # seconds of spare time aimed at: half a frame of jitter is not seen
FIRST_LEAD = 0.3
LONGEST = 0.5  # seconds that the lead may be longer than a chunk
FASTEST = 1.1  # times the pace of the world that a page may seem to paint at: its messages are not evenly spaced
SHRINK = 0.15  # share of what is too much that is taken off the lead with every chunk


class Pace:
    """The clock of one session. Not locked: the pipeline calls it under its own lock."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fps = fps
        self._clock = clock
        self._begun = 0  # frames whose making was begun
        self._shown = 0  # frames painted
        self._shown_at = clock()
        self._leads: dict[int, float] = {}  # first frame of a chunk -> how long before its time it was begun
        self.lead = FIRST_LEAD

    def began(self, frames: int) -> None:
        """The making of a chunk of so many frames begins now."""
        self._leads[self._begun] = self._due() - self._clock()
        self._begun += frames
        self._longest = frames / self._fps + LONGEST

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted ``frame``; if that opens a chunk, it arrived ``spare`` seconds before its time (None: not known)."""
        news = min(frame + 1, self._begun) - self._shown
        if news > 0:
            self._shown += news
            self._shown_at = max(self._clock(), self._shown_at + news / (self._fps * FASTEST))
        used = self._leads.get(frame)
        self._leads = {first: lead for first, lead in self._leads.items() if first > frame}
        if used is not None and spare is not None:
            needed = min(max(used - spare + SPARE, 0.0), self._longest)
            self.lead = max(needed, self.lead + SHRINK * (needed - self.lead))

    def wait(self) -> float:
        """Seconds until the next chunk has to begin, 0 when it is time; infinity: wait until more is painted."""
        begin = self._due() - self.lead
        if begin - self._shown_at > 2 / self._fps:
            return float("inf")
        return max(0.0, begin - self._clock())

    def _due(self) -> float:
        """When the page will want the first frame that is not yet in the making, if it goes on at full pace."""
        return self._shown_at + (self._begun - self._shown + 1) / self._fps
