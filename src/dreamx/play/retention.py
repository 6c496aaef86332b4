"""Age of kept sessions, and the choice of which goes first where there are too many: a calendar of the store's own.

The calendar counts days. While a server runs it goes on by that time, by a clock that nobody sets (``time.monotonic``); for the
time when none ran it goes on by a day at most. So the machine's clock may jump ahead by a year, and nothing is older for it
than by a day.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dreamx import atomic
from dreamx.plaintext import read_json

DAYS = 14.0  # that something is kept for
MOST = 64  # that are kept in all
EACH = 32  # of one visitor
_DAY = 86400.0


class Days:
    """``file`` says which day it was, and when. ``least``: a day that has been, where the file is lost."""

    def __init__(self, file: Path, least: float = 0.0) -> None:
        self._file = file
        self._since = time.monotonic()
        try:
            said = read_json(file)
            day, at = float(said["day"]), float(said["at"])
            gone = min(1.0, max(0.0, (time.time() - at) / _DAY))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            day, gone = 0.0, 0.0
        self._day = max(is_day(day) + gone, is_day(least))

    def now(self) -> float:
        """Return the day of the calendar, with its fraction."""
        return self._day + (time.monotonic() - self._since) / _DAY

    def keep(self) -> None:
        """Write it down. OSError where the disk does not take it."""
        atomic.write_text(self._file, json.dumps({"day": self.now(), "at": time.time()}))


def is_day(number: float) -> float:
    """The same number; 0 where it cannot be a day, as of a damaged file."""
    return number if 0 <= number < 1e6 else 0.0


def day_and_owner(said: object) -> tuple[float, str]:
    """Day and owner of a session or a recording, as its words say; the first day and nobody where they do not."""
    day, owner = (said.get("day"), said.get("owner")) if isinstance(said, dict) else (0.0, "")
    return is_day(day) if isinstance(day, int | float) else 0.0, owner if isinstance(owner, str) else ""


@dataclass(frozen=True)
class Item:
    """Something that is kept. ``day``: on which it was written last. ``owner``: ADDRESS/BROWSER/VISIT, whose it is.

    ``order`` tells apart what is of one day: the file's time. ``stays``: it is in use.
    """

    name: str
    day: float
    owner: str = ""
    order: float = 0.0
    stays: bool = False

    def owner_prefix(self, depth: int) -> tuple[str, ...]:
        """Address; address and browser; all three. What nobody owns is of a visitor of its own."""
        return tuple((self.owner or f"?{self.name}").split("/")[:depth])


def items_to_delete(items: Collection[Item], today: float, most: int = MOST, each: int = EACH, days: float = DAYS) -> list[str]:
    """The names of what has to go: what is older than ``days``; of a visitor, the oldest beyond ``each``; and of all beyond
    ``most`` the oldest of whoever has the most, so that nobody loses anything by another's flood.

    Whoever has the most: first of all addresses, there of all browsers, there of all visits without one.
    """
    gone = {x.name for x in items if not x.stays and today - x.day > days}
    left = [x for x in items if x.name not in gone]
    for whose, count in Counter(x.owner_prefix(2) for x in left).items():
        theirs = [x for x in left if x.owner_prefix(2) == whose]
        for _ in range(count - each):
            _drop(theirs, left, gone)
    for _ in range(len(left) - most):
        _drop(list(left), left, gone)
    return [x.name for x in items if x.name in gone]


def _drop(some: list[Item], left: list[Item], gone: set[str]) -> None:
    """Let the oldest of ``some`` go that is of whoever has the most of them; nothing where all are in use."""
    here = [x for x in some if x.name not in gone]
    for depth in (1, 2, 3):
        counts = Counter(x.owner_prefix(depth) for x in here)
        free = {x.owner_prefix(depth) for x in here if not x.stays}
        if not free:
            return
        # Of equals, whoever has the oldest.
        oldest = {w: min((x.day, x.order) for x in here if x.owner_prefix(depth) == w and not x.stays) for w in free}
        chosen = min(free, key=lambda w: (-counts[w], oldest[w]))
        here = [x for x in here if x.owner_prefix(depth) == chosen]
    one = min((x for x in here if not x.stays), key=lambda x: (x.day, x.order))
    gone.add(one.name)
    left.remove(one)
