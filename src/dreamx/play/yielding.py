"""Long work on a thread of a server that leaves every other thread its turn."""

from __future__ import annotations

import time
from collections.abc import Callable

_WORK = 0.004  # seconds of work between two rests
_REST = 0.004  # seconds: beside a walk of 16 frames a second each of its threads finds the lock free half of the time


def resting() -> Callable[[], None]:
    """A function to be called in every round of a long loop; it sleeps as long as was worked, every few milliseconds.

    Python runs one thread at a time. While 50,000 steps were read without a rest, the pictures of a player beside it came up to
    1.1 s apart, and ``/healthz`` took 0.6 s.
    """
    since = time.monotonic()

    def rest() -> None:
        nonlocal since
        if time.monotonic() - since > _WORK:
            time.sleep(_REST)
            since = time.monotonic()

    return rest
