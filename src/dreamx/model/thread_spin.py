"""Let waiting threads of torch spin for a moment where cores are free, and sleep at once where other programs want them.

Spinning spares the time that waking takes: on two quiet cores a chunk of ``tiny`` takes 130 ms with it and 180 without. Beside
two busy programs it takes 900 with it and 330 without, as a spinning thread uses up its share of a core before work comes.

GNU's OpenMP spins (``openmp.SPINS``) unless a process has more of its threads than cores, whether they work or not; then it
does not. So where threads of ours were kept waiting for a core, teams of threads are opened that only sleep, and closed when
nobody waits any more. What is computed, and by how many threads, stays the same. Elsewhere than on Linux nothing is done.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event, Lock, Thread

import torch

from dreamx import openmp

LOOK = 0.5  # seconds from one look to the next
CROWDED, FREE = 0.15, 0.05  # share of the time that a thread waited for a core: above, below that
CALM = 6  # looks in a row without waiting, before threads spin again
MOST = 8  # teams; where more were needed, we have so few threads that the cores are not ours to fill


def adapt() -> None:
    """Look, if it is time to, whether our threads get their cores. Networks call this in every pass; it costs nothing."""
    now = time.monotonic()
    if now < _WATCH.due or not _LOCK.acquire(blocking=False):  # another thread is looking: do not wait for it
        return
    try:
        _WATCH.due = now + LOOK
        if torch.get_num_threads() > 1 and openmp.ours():
            _WATCH.look(now, waited(_TASKS))
    finally:
        _LOCK.release()


class SpinWatch:
    """Decides from how long threads have waited for a core, and opens and closes the teams."""

    def __init__(self) -> None:
        self.due = 0.0
        self.crowded = False
        self._at, self._before, self._calm = 0.0, dict[str, int](), 0
        self._end: Event | None = None

    def look(self, now: float, waits: dict[str, int]) -> None:
        """``waits``: nanoseconds that each thread has waited so far, at ``now`` seconds."""
        # One thread that waits holds up all that share the product.
        longest = max((w - self._before[t] for t, w in waits.items() if t in self._before), default=0)
        share = longest / 1e9 / max(now - self._at, 1e-9)
        self._at, self._before = now, waits
        self._calm = self._calm + 1 if share < FREE else 0
        if share > CROWDED and not self.crowded:
            self._set(True)
        elif self._calm >= CALM and self.crowded:
            self._set(False)

    def close(self) -> None:
        """Let the teams end."""
        if self._end is not None:
            self._end.set()
        self.crowded, self._end = False, None

    def _set(self, crowded: bool) -> None:
        self.close()
        self.crowded = crowded
        if crowded:
            self._end = Event()
            for _ in range(teams(os.cpu_count() or 1, torch.get_num_threads())):
                Thread(target=_sleep, args=(self._end,), name="sleeping team", daemon=True).start()


def teams(cores: int, threads: int) -> int:
    """Return how many teams of ``threads`` exceed the cores, beside the one that works; 0 where that is too many."""
    # A team of n threads adds n - 1 to the pool; OpenMP stops spinning once the pool is larger than the cores.
    needed = -(-cores // (threads - 1)) - 1 if threads > 1 else 0
    return needed if needed <= MOST else 0


def waited(tasks: Path) -> dict[str, int]:
    """Return nanoseconds that each thread of a process was ready without a core, by its number; {} where Linux does not count."""
    found: dict[str, int] = {}
    try:
        for name in os.listdir(tasks):
            try:
                # Fields of schedstat: nanoseconds on a core, nanoseconds ready without one, turns.
                found[name] = int((tasks / name / "schedstat").read_text().split()[1])
            except (OSError, IndexError, ValueError):
                continue  # it has ended meanwhile
    except OSError:
        pass
    return found


def _sleep(end: Event) -> None:
    torch.zeros(2**16).add_(1)  # large enough to be shared out, which opens the team
    end.wait()


_TASKS = Path("/proc/self/task")
_WATCH, _LOCK = SpinWatch(), Lock()
