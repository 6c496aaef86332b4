"""Fit a prompt to a world: cut what is too long, and note the words that were never taught."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

from dreamx.config import LATER
from dreamx.model.taught_event import TaughtEvent, refuse_twice
from dreamx.model.word_encoder import split

_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9]", re.I)
#: The end of a sentence: a mark and a blank, so that "3.5 m" is none; or the mark of a script that has no blanks.
_END = re.compile(r"[.!?…]['\")\]”’»]*(?=\s|$)|[。！？]['\")\]”’」』]*")
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_NAMED = 6  # unknown words that a note names; a list of more is not read


@dataclass(frozen=True)
class Taught:
    """Vocabulary of the networks of a world, as far as that was written down."""

    words: tuple[str, ...]
    """Words of the captions that the world was trained on; none: that was not written down."""
    drawn: tuple[str, ...]
    """Words of the captions that its painter was trained on; the same where it has none."""
    events: bool
    """Whether training had clips in which the words of an event come true."""
    happenings: tuple[TaughtEvent, ...] = field(default=(), metadata=LATER)
    """Events that it was taught by name."""

    def __post_init__(self) -> None:
        refuse_twice(self.happenings)
        if self.happenings and not self.events:
            raise ValueError("happenings are given and events is false; set it to true, or leave them out")
        for event in self.happenings if self.words else ():
            if strange := unknown(" ".join((event.begins, event.lasts, event.ends)), frozenset(self.words)):
                raise ValueError(
                    f"happenings: the words of {event.name!r} hold {strange[0]!r}, which is none of the words that the world was "
                    "trained on; say it with those, or train on captions that have it"
                )


@dataclass(frozen=True)
class Reading:
    """Text of a prompt and its event that is read; ``note``: sentences on words that are not read or not known, or ``""``."""

    text: str
    note: str


class CutWarning(UserWarning):
    """A prompt is longer than the text encoder reads."""


def vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """Every word and mark of some captions once, sorted."""
    return tuple(sorted({word for caption in captions for word in split(caption)}))


def read_prompt(prompt: str, event: str, most: int, known: frozenset[str] | None) -> Reading:
    """Return as much of a prompt as an encoder of ``most`` words and marks reads. An event comes after it, with the right of way.

    known: the words that were taught, None where that is unknown; of a prompt with an event only the event's are looked up. What
    is cut is also a ``CutWarning``.
    """
    happening = shorten(event, most)
    left = most - len(split(happening))  # the event first: it is new, the prompt was read before
    scene = shorten(prompt, left)
    cuts = [cut_note("The event" if event else "The prompt", event or prompt, happening if event else scene, most)]
    if event and scene != shorten(prompt, most):
        cuts.append(f"Beside the event the first {len(split(scene))} of {len(split(prompt))} words and marks of the prompt fit.")
    if any(cuts):
        # stacklevel: through read_words, World.reset or denoise and torch's decorator to the caller's line.
        warnings.warn(" ".join(filter(None, cuts)), CutWarning, stacklevel=5)
    names = [] if known is None else unknown(event or scene, known)
    return Reading(f"{scene} {happening}".strip(), " ".join(filter(None, [*cuts, unknown_note(names)])))


def shorten(prompt: str, most: int) -> str:
    """The longest beginning of at most ``most`` words and marks that ends with a sentence; if less than half fits so, a word."""
    if len(split(prompt)) <= most:
        return prompt
    ends = [m.end() for m in _TOKEN.finditer(prompt)][:most]
    if not ends:
        return ""
    sentences = [m.end() for m in _END.finditer(prompt) if m.end() <= ends[-1]]
    if sentences and 2 * len(split(prompt[: sentences[-1]])) >= most:
        return prompt[: sentences[-1]].strip()
    blank = max((m.start() for m in re.finditer(r"\s", prompt[: ends[-1] + 1])), default=0)  # end of the last whole word
    at = blank if 2 * len(split(prompt[:blank])) >= most else _whole_letter(prompt, ends[-1])
    return prompt[:at].rstrip(" \t\n,;:-–—(")


def cut_note(name: str, prompt: str, kept: str, most: int) -> str:
    """Return one sentence on a prompt that was cut to ``kept``; ``""`` where it is whole."""
    if kept == prompt:
        return ""
    whole = any(m.end() == len(kept) for m in _END.finditer(kept))
    where = f"to the end of a {'sentence' if whole else 'word'}"
    count = len(split(kept))
    return f"{name} has {len(split(prompt))} words and marks and this world reads {most}: the first {count}, {where}, are used."


def unknown(prompt: str, known: frozenset[str]) -> list[str]:
    """The words and signs of a prompt that were never taught, once each, in their order; marks between words are none."""
    found = [m[0].lower() for m in _WORD.finditer(prompt) if any(map(str.isalnum, m[0])) or _is_sign(m[0])]
    return list(dict.fromkeys(word for word in found if not known.issuperset(split(word))))


def unknown_note(words: list[str]) -> str:
    """Those words in one sentence, or ``""``."""
    if not words:
        return ""
    names = ", ".join(f'"{w[:24]}"' for w in words[:_NAMED])  # a pasted line without blanks is one word
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return f"This world was not taught {'this word' if len(words) == 1 else 'these words'}: {names}{more}."


def _is_sign(mark: str) -> bool:
    """An emoji or another sign that means something by itself."""
    return unicodedata.category(mark[0]).startswith("S")


def _whole_letter(prompt: str, at: int) -> int:
    """Move a cut back to the start of a letter: accents, selectors and joined emoji are not torn from their base."""
    while 0 < at < len(prompt) and (unicodedata.category(prompt[at]) in _JOINED or prompt[at - 1] == "\u200d"):
        at -= 1
    return at


_JOINED = ("Mn", "Mc", "Me", "Cf")  # combining marks, and format characters such as joiners
