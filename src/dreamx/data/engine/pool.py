"""A pool of processes that survives everything: a clip that kills or hangs its worker costs that clip alone.

The standard pool breaks when one worker dies and cannot end one that hangs; damaged media files do both.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

from dreamx.data.dataset.storage import Storage
from dreamx.data.engine.engine_stage import Drop, Job, Outcome, drop, one
from dreamx.data.workers import begin
from dreamx.interrupt import Workers


def local(job: Job, todo: Iterable[int], processes: int, patience: float) -> Generator[Outcome, None, None]:
    """Make the clips ``todo`` of a job; yields what came of each, as they are done.

    ``processes``: 1 works in this one (and then nobody looks at the clock). ``patience``: seconds that one clip may take. A
    clip that fails in a way that may pass, that kills its worker or that takes too long, is tried once more and then dropped.
    """
    if processes == 1:
        yield from (run_job(job, i) for i in todo)
        return
    waiting, failed = deque(todo), set[int]()
    workers = [_Worker(job) for _ in range(min(processes, len(waiting)))]
    try:
        while waiting or any(w.busy is not None for w in workers):
            for worker in workers:
                if worker.busy is None and waiting:
                    worker.give(waiting.popleft(), patience)
            for worker in _finished(workers):
                outcome = worker.take()
                if outcome is None:
                    continue
                if outcome.again and outcome.i not in failed:
                    failed.add(outcome.i)
                    waiting.append(outcome.i)
                else:
                    yield _dropped(job, outcome)
    finally:
        for worker in workers:
            worker.end()


def run_job(job: Job, i: int) -> Outcome:
    """Make clip ``i`` here and now, with the second try that everyone gets."""
    outcome = one(job, i)
    return _dropped(job, one(job, i)) if outcome.again else outcome


def _dropped(job: Job, outcome: Outcome) -> Outcome:
    """A failure that came twice is a reason to drop the clip."""
    if not outcome.again:
        return outcome
    stage, _, reason = outcome.again.partition(": ")
    drop(Storage(job.out), outcome.i, str(job.source.names[outcome.i]), stage, Drop(reason, "failed twice"))
    return Outcome(outcome.i)


_START = 300.0  # seconds that a new process may take to load its modules


class _Worker:
    """One process and the clip that it is at; a new process where the old one is lost."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.busy: int | None = None
        self.until = 0.0
        self._patience = 0.0
        self._start()

    def _start(self) -> None:
        context: Any = Workers()
        self.pipe, far = context.Pipe()
        self.process: Any = context.Process(target=_work, args=(self._job, far), daemon=True)
        self.process.start()
        self._ready = False
        far.close()

    def give(self, i: int, patience: float) -> None:
        if not self.process.is_alive():
            self._start()
        try:
            self.pipe.send(i)
        except OSError:
            self._start()
            self.pipe.send(i)
        self.busy, self._patience = i, patience
        self.until = time.monotonic() + (patience if self._ready else max(patience, _START))

    def take(self) -> Outcome | None:
        """Return the result of its clip; None while it is at work."""
        i = self.busy
        assert i is not None
        if self.pipe.poll():
            try:
                outcome: Outcome | None = self.pipe.recv()
                if outcome is None:  # it has loaded its modules and begins: the clock starts here
                    self._ready, self.until = True, time.monotonic() + self._patience
                    return None
            except (EOFError, OSError):
                self.process.join(10)
                return self._lost(i, f"pool: its worker died (exit code {self.process.exitcode})")
            self.busy = None
            return outcome
        if time.monotonic() > self.until:
            return self._lost(i, "pool: it took too long")
        if not self.process.is_alive():
            return self._lost(i, f"pool: its worker died (exit code {self.process.exitcode})")
        return None

    def _lost(self, i: int, why: str) -> Outcome:
        self.end()
        self._start()
        return Outcome(i, again=why)

    def end(self) -> None:
        self.busy = None
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _finished(workers: list[_Worker]) -> list[_Worker]:
    """Wait until a worker has something to say, is dead or late."""
    busy = [w for w in workers if w.busy is not None]
    left = min(w.until for w in busy) - time.monotonic()
    wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=max(left, 0.0) + 0.01)
    return busy


def _work(job: Job, pipe: Connection) -> None:
    """A worker: clips by number, until the pipe ends."""
    begin()
    pipe.send(None)
    while True:
        try:
            i = pipe.recv()
        except EOFError:
            return
        pipe.send(one(job, i))
