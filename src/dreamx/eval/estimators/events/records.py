"""From the words of a story back to what the simulator meant: which kind of thing each record says, and whose pixels it is of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from dreamx.clip import Clip
from dreamx.data.sim.event_builder import STRONG
from dreamx.data.sim.phrases import DID, OF_ITSELF

#: Said of two things together, as an interaction: no record of its own.
_BETWEEN = ("collides", "sets off", "knocks over", "is pushed by", "passes to")
#: Kinds of which some words are the same are one.
_ALIKE = {"tips over": "falls over", "lands": "comes to rest"}
#: What records say, in the order of a classifier's answers.
KINDS = tuple(did for did in DID if did not in (*_BETWEEN, *_ALIKE))
#: Of the light and the air: the whole picture is theirs.
SCENIC = tuple(did for did in KINDS if did in OF_ITSELF)


@dataclass(frozen=True)
class EventRecord:
    """One thing does one thing. ``kind``: of ``KINDS``; ``ids``: of its pixels in ``Clip.segments``, empty where the whole
    picture is its; ``start`` and ``end`` in seconds."""

    kind: str
    ids: frozenset[int]
    start: float
    end: float


def event_records(clip: Clip) -> list[EventRecord]:
    """Return the records of a clip's story, in its order. ValueError: words that the simulator does not say, or no such thing."""
    if clip.story is None:
        return []
    return [
        EventRecord(record_kind(e.entity, e.predicate), record_ids(clip, e.entity), e.start, e.end) for e in clip.story.events
    ]


def record_kind(entity: str, predicate: str) -> str:
    """Return the one of ``KINDS`` that the words say, in any phrasing; of several, the one with the fewest free words.

    ValueError: the simulator does not say so.
    """
    itself = entity in OF_ITSELF.values()
    fits = [
        (len(predicate) - literal, did)
        for did, literal, way in _ways()
        if way.fullmatch(predicate) and (OF_ITSELF.get(did) == entity if itself else did not in OF_ITSELF)
    ]
    if not fits:
        raise ValueError(f"record: {f'{entity} {predicate}'!r} is not said by the simulator, so no classifier knows it")
    return min(fits)[1]


def record_ids(clip: Clip, entity: str) -> frozenset[int]:
    """Ids of a thing by its words, "the red ball", or of all "the stack of red blocks". ValueError: it is not in the clip."""
    if entity in OF_ITSELF.values():
        return frozenset()
    words = entity.removeprefix("the ")
    group = re.fullmatch(r"(?:tower|stack) of (\w+) blocks", words)
    found = frozenset(i for i, name in clip.entities.items() if name == (f"{group[1]} block" if group else words))
    if not found:
        raise ValueError(f"record: {entity!r} is none of the things of the clip: {', '.join(clip.entities.values()) or 'none'}")
    return found


@lru_cache(maxsize=1)
def _ways() -> list[tuple[str, int, re.Pattern[str]]]:
    """Kind, how many letters are fixed, pattern: of every way to say something."""
    hue = f"(?:{'|'.join(STRONG)})"
    found: list[tuple[str, int, re.Pattern[str]]] = []
    for did, ways in DID.items():
        if did in _BETWEEN:
            continue
        for way in (*ways.train, *ways.held):
            parts = re.split(r"(\{\w+\})", way)
            pattern = "".join(hue if p == "{hue}" else ".+" if p.startswith("{") else re.escape(p) for p in parts)
            fixed = sum(len(p) for p in parts if not p.startswith("{"))
            found.append((_ALIKE.get(did, did), fixed, re.compile(pattern)))
    return found
