"""Progress of a run, for people who wait: a bar on a terminal; elsewhere, in the log of a job, a line a minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dreamx import atomic
from dreamx.plaintext import read_json

_LINE = 60.0  # seconds between lines where nobody sees a bar
_NOTE = 1.0  # seconds between notes of one film
#: What is told of a film in the making: frames that are there, and all that will be.
Watch = Callable[[int, int], None]
_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watch_frames(watch: Watch) -> Iterator[None]:
    """Report the frames of all filming inside to ``watch``."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def report_frames(done: int, frames: int) -> None:
    """Tell whoever watches that ``done`` of the ``frames`` of the film are made."""
    watch = _WATCH.get()
    if watch is not None:
        watch(done, frames)


@contextmanager
def note_progress(folder: Path, words: str, before: float, share: float) -> Iterator[None]:
    """Note the progress of this process in a file that the command's own process reads (``notes``).

    ``before``: how much of the trial was done before, 0 to 1; ``share``: how much of it this is. A note is written once a second.
    """
    file, last = folder / f"{os.getpid()}.json", -_NOTE

    def note(done: int, frames: int) -> None:
        nonlocal last
        if time.monotonic() - last < _NOTE:
            return
        last = time.monotonic()
        at = f", frame {done} of {frames}" if done else ""
        atomic.write_json(file, [before + share * done / max(1, frames), f"{words}{at}"], indent=None)

    folder.mkdir(parents=True, exist_ok=True)
    note(0, 0)
    try:
        with watch_frames(note):
            yield
    finally:
        file.unlink(missing_ok=True)


def read_notes(folder: Path) -> tuple[float, str]:
    """Sum the trials that all processes have done, in parts, and say what they are at."""
    parts: list[tuple[float, str]] = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            done, words = read_json(file)
            parts.append((float(done), str(words)))
        except (OSError, ValueError):  # it has just ended
            continue
    return sum(done for done, _ in parts), "; ".join(words for _, words in parts)


class Progressing:
    """Shows, in a ``with``, how much of ``total`` is done and what is worked on, by ``state``: a number and words.

    On standard error. ``every``: seconds between lines where that is no terminal.
    """

    def __init__(self, what: str, total: int, state: Callable[[], tuple[float, str]], every: float = _LINE) -> None:
        self.what, self.total, self.state, self.every = what, total, state, every
        self._console = Console(stderr=True)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._bar if self._console.is_terminal else self._lines, daemon=True)

    def __enter__(self) -> Progressing:
        self._begun = time.monotonic()
        self._first = self.state()[0]
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def _bar(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[at]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task(self.what, total=self.total, at="")
            while not self._end.wait(0.5):
                done, words = self.state()
                progress.update(bar, completed=round(done, 1), at=words)

    def _lines(self) -> None:
        while not self._end.wait(self.every):
            self._console.print(self.line(), markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """One line: how much, for how long, how much longer, at what."""
        done, words = self.state()
        minutes = (time.monotonic() - self._begun) / 60
        new = done - self._first
        left = f", about {minutes * (self.total - done) / new:.0f} more" if new > 0 else ""
        return f"{self.what}: {done:.1f} of {self.total} after {minutes:.1f} minutes{left}" + (f"; now {words}" if words else "")
