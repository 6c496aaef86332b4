"""An event that a world was taught: the words that begin it, those that are told while it lasts, and those that end it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

#: Characters of a name: it is written on a button.
MAX_NAME = 24
#: Between what is said to happen at once, as in ``fog; rain``.
SEPARATOR = ";"


@dataclass(frozen=True)
class TaughtEvent:
    """One event of a world's vocabulary (``prompt.Taught.happenings``). Words are those that training had in its captions."""

    name: str
    """What it is called, as on its button: ``fog``. Saying it makes it happen."""
    begins: str
    """Words told while it comes: ``The fog comes up``. Saying them makes it happen, too."""
    lasts: str = ""
    """Words told for as long as it lasts: ``Fog hangs in the air``. Empty: it is over by itself after ``seconds``."""
    ends: str = ""
    """Words told while it goes: ``The fog lifts``. Empty: it is no longer told from one chunk to the next."""
    seconds: Annotated[float, Ge(0.1), Le(60.0)] = 3.0
    """How long ``begins`` and ``ends`` are told each, rounded up to whole chunks."""
    indoors: bool = True
    """Whether it can happen in a place without a sky."""
    outdoors: bool = True
    """Whether it can happen under a sky."""

    def __post_init__(self) -> None:
        if not normalised(self.name) or len(self.name) > MAX_NAME:
            raise ValueError(f"happening {self.name!r:.60}: name must have 1 to {MAX_NAME} characters")
        if not normalised(self.begins):
            raise ValueError(f"happening {self.name!r}: begins must say something; it is told while it comes")
        for key in ("name", "begins", "lasts", "ends"):
            words = getattr(self, key)
            if SEPARATOR in words or words != " ".join(words.split()):
                raise ValueError(
                    f"happening {self.name!r}: {key} must be one line without {SEPARATOR!r}, without blanks at its ends "
                    f"and without two in a row, not {words!r:.80}"
                )
        if self.ends and not self.lasts:
            raise ValueError(f"happening {self.name!r}: ends is never told where lasts is empty; fill in lasts, or empty ends")
        if not (self.indoors or self.outdoors):
            raise ValueError(f"happening {self.name!r}: indoors and outdoors are both false; it could happen nowhere")


def normalised(words: str) -> str:
    """Words without regard to case, blanks and the full stop at their end: ``" The fog  lifts."`` is ``"the fog lifts"``."""
    return " ".join(words.casefold().split()).rstrip(". ")


def named(part: str, taught: Iterable[TaughtEvent]) -> TaughtEvent | None:
    """Return the event that these words name, by its name or by the words that begin it; None: they name none."""
    said = normalised(part)
    return next((e for e in taught if said in (normalised(e.name), normalised(e.begins))), None)


def refuse_twice(taught: tuple[TaughtEvent, ...]) -> None:
    """ValueError where two events have a name, or the words that begin them, in common."""
    for i, event in enumerate(taught):
        for words in (event.name, event.begins):
            if (other := named(words, taught[:i])) is not None:
                raise ValueError(
                    f"happenings: {words!r} names both {other.name!r} and {event.name!r}; give each a name and words of its own"
                )
