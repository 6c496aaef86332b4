"""A timeline: what is said at which second of a walk, one line each, in a file that people write.

    at 3.0 s: fog            # an event that the world was taught, or any words
    at 8 s: fog; rain        # now both
    at 12 s:                 # nothing any more

After ``#`` everything is a comment. A world hears words at the beginning of a chunk, so they are said with the chunk in which
their time falls; of two times in one chunk the later counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamx.plaintext import cause, read_text, shown

MAX_WORDS = 4000  # characters of one line's words, as of an event that a player types
_LINE = re.compile(r"at\s+(\d{1,6}(?:\.\d{1,6})?)\s*s?\s*:(.*)", re.IGNORECASE)
_EXAMPLE = "write for example: at 3.0 s: fog"


@dataclass(frozen=True)
class EventTimeline:
    """Pairs of a time in seconds from the opening picture and the words that are said then, in their order; ``""``: nothing."""

    entries: tuple[tuple[float, str], ...]

    def between(self, start: int, stop: int, fps: float) -> str | None:
        """Return the last words whose time falls on one of the frames from ``start`` up to, not with, ``stop``; None: none do."""
        found = [words for seconds, words in self.entries if start <= int(seconds * fps + 1e-6) < stop]
        return found[-1] if found else None

    def chunks(self, shown: int, frames_per_step: Callable[[], int], fps: float) -> Iterator[str | None]:
        """Yield what is said with each chunk after the first ``shown`` frames; those are heard with the first chunk."""
        start = 0
        while True:
            stop = shown + frames_per_step()
            yield self.between(start, stop, fps)
            start = shown = stop


def read_timeline(path: Path) -> EventTimeline:
    """Read a timeline's file. ValueError, one sentence, names the file and the line."""
    try:
        text = read_text(path)
    except OSError as e:
        raise ValueError(f"timeline: {path} cannot be read ({cause(e)}); name a file with lines as: at 3.0 s: fog") from None
    return parse_timeline(text, str(path))


def parse_timeline(text: str, name: str = "timeline") -> EventTimeline:
    """Parse the lines of a timeline. ValueError, one sentence, names the line."""
    entries: list[tuple[float, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not (said := line.split("#")[0].strip()):
            continue
        where, found = f"{name}, line {number}", _LINE.fullmatch(said)
        if found is None:
            raise ValueError(f"{where}: {shown(said)} is not at SECONDS s: WORDS; {_EXAMPLE}")
        seconds, words = float(found[1]), found[2].strip()
        if len(words) > MAX_WORDS:
            raise ValueError(f"{where}: the words have {len(words)} characters; at most {MAX_WORDS} are read, so shorten them")
        if entries and seconds <= entries[-1][0]:
            raise ValueError(f"{where}: {found[1]} s is not after {entries[-1][0]:g} s in a line above; put times in order")
        entries.append((seconds, words))
    if not entries:
        raise ValueError(f"{name}: nothing is said in it; {_EXAMPLE}")
    return EventTimeline(tuple(entries))
