"""Progress of a long run: share done, speed, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Tick(Protocol):
    """Called when ``clips`` more are done, with how many ``frames``."""

    def __call__(self, frames: int, clips: int = 1) -> None: ...


@contextmanager
def progress(words: str, total: int) -> Iterator[Tick]:
    """A bar of ``total`` clips on the terminal, with frames a second and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns) as shown:
        bar = shown.add_task(words, total=total, rate="")
        seen = 0

        def tick(frames: int, clips: int = 1) -> None:
            nonlocal seen
            seen += frames
            shown.advance(bar, clips)
            elapsed = shown.tasks[0].elapsed
            shown.update(bar, rate=f"{seen / elapsed:.0f} frames/s" if elapsed else "")

        yield tick
