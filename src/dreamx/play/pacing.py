"""Time the start of the next chunk: as late as the picture allows, because later keys have to wait a chunk.

The page is the clock. It reports which frame it painted, and how long before its time each chunk arrived (its *spare* time).
From the first we know when the next chunk will be missed, from the second how long before that it must be begun (the
*lead*): making and network are in that one measured number. The lead grows fast and shrinks slowly, but one chunk that took
long by chance does not make all keys after it wait. A page that paints slowly, or not at all, is waited for; one that claims
to paint faster than the world runs is not believed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

SPARE = 0.01  # seconds of spare time aimed at: a frame that comes some ms late is not seen, and every key waits for what is spare
FIRST_LEAD = 0.3  # seconds, until the page has said how early its first chunks came
LONGEST = 0.5  # seconds that the lead may be longer than a chunk
HURRY = 0.1  # of its time that a frame may seem to be painted early: messages are not evenly spaced
CLOCKS = 4  # frames whose paintings tell the page's clock: the least delayed message tells it best
GROW, SHRINK = 0.5, 0.15  # share of what is missing or too much that the lead changes by with every chunk


class ChunkPacer:
    """The clock of one session. Not locked: the pipeline calls it under its own lock."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fps = fps
        self._clock = clock
        self._begun = 0  # frames whose making was begun
        self._shown = 0  # frames painted
        self._clocks = deque([clock()], CLOCKS)  # when frame -1 was painted, as each recent frame has it
        self._leads: dict[int, float] = {}  # first frame of a chunk -> how long before its time it was begun
        self.lead = FIRST_LEAD

    def began(self, frames: int) -> None:
        """The making of a chunk of so many frames begins now."""
        self._leads[self._begun] = self._due() - self._clock()
        self._begun += frames
        self._longest = frames / self._fps + LONGEST

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted ``frame``; if that opens a chunk, it arrived ``spare`` seconds before its time (None: not known)."""
        news = min(frame + 1, self._begun) - self._shown  # never more than was made: a page may claim anything
        if news > 0:
            self._shown += news
            # The time of frame -1, as this message has it.
            said, believed = self._clock() - self._shown / self._fps, min(self._clocks)
            if said - believed > 1 / self._fps:  # the page was late by a frame: then it sets its clock anew, too
                self._clocks.clear()
            self._clocks.append(max(said, believed - HURRY * news / self._fps))  # at most 10 % faster than real time is believed
        used = self._leads.get(frame)
        # Chunks painted or skipped are forgotten.
        self._leads = {first: lead for first, lead in self._leads.items() if first > frame}
        if used is not None and spare is not None:
            needed = min(max(used - spare + SPARE, 0.0), self._longest)  # the lead that would have left 10 ms
            self.lead += (GROW if needed > self.lead else SHRINK) * (needed - self.lead)

    def wait(self) -> float:
        """Seconds until the next chunk has to begin, 0 when it is time; infinity: wait until more is painted."""
        begin = self._due() - self.lead
        # Over 2 frames after the last painting: by then more is painted, or the page has stopped.
        if begin - (self._clocks[-1] + self._shown / self._fps) > 2 / self._fps:
            return float("inf")
        return max(0.0, begin - self._clock())

    def _due(self) -> float:
        """Return the time at which the page wants the first frame not yet begun, if it goes on at full pace."""
        return min(self._clocks) + (self._begun + 1) / self._fps  # frame n is due n + 1 frames after frame -1
