"""The events that go on in a session, and the words that are told of them in each chunk: they come, last, and go.

What is said (``event`` of ``World.step``) is split at ``;``. A part that names an event that the world was taught
(``model.taught_event``) holds it: the words that begin it are told for its seconds, then those for its lasting, for as long as
what is said names it; then those that end it. Other parts are free words, told until something else is said. ``""`` ends all.
All is counted in chunks and nothing is drawn by chance: the same words at the same chunks tell the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from dreamx.bounds import NonNegativeInt, PositiveInt
from dreamx.events import join_sentences
from dreamx.model.taught_event import SEPARATOR, TaughtEvent, named

#: It comes, it lasts, it goes.
Phase = Literal["coming", "lasting", "going"]


@dataclass(frozen=True)
class OngoingEvent:
    """One event that is told now."""

    name: str
    """Of the ``TaughtEvent``."""
    phase: Phase
    """What is told of it."""
    chunks: PositiveInt
    """Chunks for which that was told, the newest included."""
    began: NonNegativeInt
    """Number (``World.chunk``) of the chunk with which it began to come."""


@dataclass(frozen=True)
class EventState:
    """Events of the newest chunk: free words, and the events that are told, in the order of their beginning."""

    free: str = ""
    ongoing: tuple[OngoingEvent, ...] = ()


def next_events(
    now: EventState, said: str | None, taught: tuple[TaughtEvent, ...], chunk: int, chunk_seconds: float
) -> EventState:
    """Return what is told with the next chunk, which has the number ``chunk``.

    said: words that begin with it; None: none do. chunk_seconds: how long a chunk is shown.
    """
    by_name = {event.name: event for event in taught}
    going_on = [x for o in now.ongoing if (x := _later(o, by_name[o.name], chunk_seconds)) is not None]
    if said is None:
        return EventState(now.free, tuple(replace(o, chunks=o.chunks + 1) for o in going_on))
    free, names = split_words(said, taught)
    kept: list[OngoingEvent] = []
    for o in going_on:
        named_again, goes = o.name in names, o.phase == "going"
        if named_again != goes:
            kept.append(o)
        elif not named_again and by_name[o.name].ends:
            kept.append(replace(o, phase="going", chunks=0))
    held = {o.name for o in kept}
    begun = [OngoingEvent(name, "coming", 1, chunk) for name in names if name not in held]
    return EventState(free, (*(replace(o, chunks=o.chunks + 1) for o in kept), *begun))


def split_words(said: str, taught: tuple[TaughtEvent, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the free words of what is said, and the names of the events in it, once each, in their order.

    Words in which no event is named are free as they are.
    """
    parts = [(part, named(part, taught)) for part in said.split(SEPARATOR)]
    names = dict.fromkeys(event.name for _, event in parts if event is not None)
    return join_sentences(part for part, event in parts if event is None) if names else said, tuple(names)


def told_words(now: EventState, taught: tuple[TaughtEvent, ...]) -> str:
    """Return the words that follow the prompt: a sentence for each event that goes on, then the free words; ``""``: nothing."""
    if not now.ongoing:
        return now.free
    by_name = {event.name: event for event in taught}
    return join_sentences([*(_words(by_name[o.name], o.phase) for o in now.ongoing), now.free])


def refuse_untaught(now: EventState, taught: Iterable[TaughtEvent]) -> None:
    """ValueError where an event goes on that is none of those that were taught."""
    by_name = {event.name: event for event in taught}
    for o in now.ongoing:
        if o.name not in by_name or not _words(by_name[o.name], o.phase):
            raise ValueError(f"{o.name!r} is {o.phase}, and this world was not taught that")


def _later(o: OngoingEvent, event: TaughtEvent, chunk_seconds: float) -> OngoingEvent | None:
    """The same event a chunk later, before that is counted; None: it is over."""
    # A length that is a whole number of chunks but for rounding is that number.
    if o.phase == "lasting" or o.chunks < ceil(event.seconds / chunk_seconds - 1e-6):
        return o
    return replace(o, phase="lasting", chunks=0) if o.phase == "coming" and event.lasts else None


def _words(event: TaughtEvent, phase: Phase) -> str:
    return {"coming": event.begins, "lasting": event.lasts, "going": event.ends}[phase]
