"""Event instructions: a scene, and one record with its time for each thing that does something.

The schema of event instructions (DreamX-World 1.0, section 4.3; the field names are ours, for none were published). One function,
``prompt``, turns it into the words that the model reads, in data, play and evaluation alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Styles (``Clip.style``) and the word for each that is said to a model, in every caption and prompt: one word a style, because
#: a model that learned "Photorealistic" has never heard of "photoreal".
STYLE_WORDS = {"photoreal": "Photorealistic", "game": "Game", "stylised": "Stylised"}

#: Seconds for which an event is told at least: a light goes out in a moment, and a chunk of the smallest world takes a quarter.
HOLD = 1.0


@dataclass(frozen=True)
class Event:
    """One thing does one thing.

    id:         of the record, ``e1``; others name it in ``interacts``.
    entity:     what does it, in words: "the red ball".
    predicate:  what it does: "rolls into the blocks".
    anchor:     where, coarsely, never in coordinates: "on the left, beside the door"; empty: not said.
    start, end: seconds from the clip's first frame.
    interacts:  ids of records whose entity takes part.
    """

    id: str
    entity: str
    predicate: str
    anchor: str
    start: float
    end: float
    interacts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.entity.strip() or not self.predicate.strip():
            raise ValueError(f"event {self.id!r}: entity and predicate must say something")
        if not 0 <= self.start <= self.end < float("inf"):
            raise ValueError(
                f"event {self.id!r}: start and end must be 0 <= start <= end seconds, not {self.start} and {self.end}"
            )


@dataclass(frozen=True)
class Story:
    """The whole instruction: the scene that stays, how it develops, what things do to each other, and the records."""

    scene: str
    evolution: str = ""
    interactions: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        ids = [e.id for e in self.events]
        if len(set(ids)) < len(ids):
            raise ValueError(f"story.events: ids must differ, not {', '.join(ids)}")
        if unknown := sorted({i for e in self.events for i in e.interacts} - set(ids)):
            raise ValueError(f"story.events: interacts names {unknown[0]!r}, and no record has that id")


@dataclass(frozen=True)
class Contact:
    """Two things touch, by the ids of ``Clip.segments``, with a force in newtons along the contact's normal."""

    frame: int
    first: int
    second: int
    force: float


def going_on(events: tuple[Event, ...], since: float, until: float) -> tuple[Event, ...]:
    """Return those that are told at some time from ``since`` to ``until``, in seconds."""
    return tuple(e for e in events if e.start <= until and max(e.end, e.start + HOLD) > since)


def told(events: tuple[Event, ...]) -> str:
    """Return the words for what goes on, a sentence each, as in ``The red ball rolls into the blocks``."""
    return join_sentences(f"{e.entity} {e.predicate}" for e in events)


def join_sentences(said: Iterable[str]) -> str:
    """Words as one sentence each, as in ``Fog hangs in the air. It rains``; full stops of their own are left out."""
    each = (words.strip().rstrip(". ") for words in said)
    return ". ".join(w[:1].upper() + w[1:] for w in each if w)


def prompt(story: Story, style: str = "", times: bool = True, anchors: bool = True) -> str:
    """The story as the words that the text encoder reads: scene, evolution, numbered events, interactions (algorithm sheet, 5).

    ``style``: as in ``Clip.style``, or empty. ``times`` and ``anchors``: whether the seconds and the places are said (training
    leaves them out now and then).
    """
    parts = [style_sentence(style), _sentence(story.scene), _sentence(story.evolution)]
    if story.events:
        said = [
            ", ".join(
                [e.entity]
                + ([e.anchor] if anchors and e.anchor else [])
                + [e.predicate]
                + ([f"from {e.start:.1f}s to {e.end:.1f}s"] if times else [])
            )
            for e in story.events
        ]
        parts.append("Events: " + "; ".join(f"({n}) {words}" for n, words in enumerate(said, 1)) + ".")
    if story.interactions:
        parts.append("Interactions: " + "; ".join(x.strip().rstrip(".") for x in story.interactions) + ".")
    return " ".join(part for part in parts if part)


def style_sentence(style: str) -> str:
    """ "Style: Photorealistic." of ``photoreal``; a style that is not in ``STYLE_WORDS`` as it is, nothing of an empty one."""
    return f"Style: {STYLE_WORDS.get(style, style)}." if style else ""


def _sentence(words: str) -> str:
    words = words.strip()
    return words if not words or words[-1] in ".!?" else words + "."
