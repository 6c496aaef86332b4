"""Jobs in a pool of processes: each is tried again where it failed, and one that kills its process takes no other with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from dreamx.data.opengl import CannotDraw
from dreamx.data.workers import pool

_DIED = "its process died"


def run_jobs(
    job: Callable[..., object], todo: Mapping[str, tuple[Any, ...]], processes: int, done: Callable[[str], None]
) -> dict[str, str]:
    """Call ``job(*arguments)`` for every name; returns the reasons of those that failed twice, by name. A job whose process was
    killed by another, before it could come to its end or even begin, still has both its tries.

    ``processes`` 0 means one for each core. ``done(name)`` is called as each ends, well or not. ValueError at once where the
    machine cannot draw at all: that is no fault of a job.
    """
    failed = _round(job, todo, min(processes or os.cpu_count() or 1, max(len(todo), 1)), done)
    lost: dict[str, str] = {}
    for name, reason in failed.items():  # one at a time, so that the one that kills its process is known
        again = _round(job, {name: todo[name]}, 1, lambda _: None)
        if again and reason == _DIED != again[name]:
            again = _round(job, {name: todo[name]}, 1, lambda _: None)
        lost |= again
    return lost


def _round(
    job: Callable[..., object], todo: Mapping[str, tuple[Any, ...]], workers: int, done: Callable[[str], None]
) -> dict[str, str]:
    failed: dict[str, str] = {}
    with pool(workers) as some:
        waiting = {some.submit(job, *arguments): name for name, arguments in todo.items()}
        for future in as_completed(waiting):
            name = waiting[future]
            try:
                future.result()
            except BrokenProcessPool:
                failed[name] = _DIED
                continue
            except Exception as e:
                if isinstance(e, CannotDraw):
                    raise
                failed[name] = f"{type(e).__name__}: {e}"
                continue
            done(name)
    return dict(sorted(failed.items()))
