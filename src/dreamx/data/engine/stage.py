"""The words of a run: sources give clips, stages change them or say why not, and a job is one run of both."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.data.store.files import Place
from dreamx.data.store.part import SEEN_KEY, make
from dreamx.data.store.pictures import Coding


@dataclass(frozen=True)
class Drop:
    """A clip goes: the reason in words, and the rule that said so, if it has a name of its own."""

    reason: str
    rule: str = ""


class Halt(ValueError):
    """Raised by a source or a stage where no clip at all can be made on this machine: the run stops, nothing is dropped."""


class Source(Protocol):
    """Named clips, each a pure function of its number: a dataset, a reader of files, a simulator. It must pickle."""

    @property
    def names(self) -> Sequence[str]:
        """The id of every clip."""
        ...

    def clip(self, i: int) -> Clip:
        """Clip ``i``; ValueError, one sentence, where it cannot be had."""
        ...


class Stage(Protocol):
    """A frozen dataclass, its numbers as fields, that maps a clip to a clip or to a reason.

    It must give the same for the same clip every time, pickle, and leave the tensors of its clip as they are: what it changes
    is a new tensor (``dataclasses.replace``). Pictures that it does not touch are copied, not encoded anew. ValueError drops
    the clip, too.
    """

    def __call__(self, clip: Clip) -> Clip | Drop:
        """What becomes of a clip."""
        ...


@dataclass(frozen=True)
class Job:
    """One run, as its workers get it. Parts go to ``.parts`` of the place ``out``, named by number."""

    source: Source
    stages: tuple[Stage, ...]
    out: str
    coding: Coding

    def about(self) -> dict[str, Any]:
        """What the finished dataset says of the run: the same for the same clips and stages wherever they lie."""
        names = hashlib.sha256("\n".join(self.source.names).encode(errors="backslashreplace")).hexdigest()
        stages = [{"stage": type(s).__name__, "config": to_json(s)} for s in self.stages]
        return {"source": type(self.source).__name__, "names": names, "stages": stages}

    def written(self) -> dict[str, Any]:
        """All that its result depends on, as JSON: ``about``, the source's own fields and the coding."""
        source = to_json(self.source) if is_dataclass(self.source) else str(getattr(self.source, "place", ""))
        return json.loads(json.dumps({**self.about(), "from": source, "coding": to_json(self.coding)}))


@dataclass(frozen=True)
class Outcome:
    """What came of clip ``i``: ``frames`` that were kept, or ``again``, why it failed in a way that may pass, or ``halt``."""

    i: int
    frames: int = 0
    again: str = ""
    halt: str = ""


PARTS = ".parts"


def part_name(i: int) -> str:
    """The finished clip number ``i`` of a run."""
    return f"{PARTS}/{i:08d}.part"


def dropped_name(i: int) -> str:
    """The reason why clip number ``i`` of a run is not there."""
    return f"{PARTS}/{i:08d}.dropped"


def one(job: Job, i: int) -> Outcome:
    """Make clip ``i`` of a job and leave its part, or the reason why there is none: whole or not at all."""
    place, name = Place(job.out), str(job.source.names[i])
    stage = type(job.source).__name__
    try:
        clip = original = job.source.clip(i)
        for step in job.stages:
            stage = type(step).__name__
            found = step(clip)
            if isinstance(found, Drop):
                drop(place, i, name, stage, found)
                return Outcome(i)
            clip = found
        stage = "write"
        part = make(name, clip, job.coding, _untouched(job, i, original, clip))
    except Halt as e:
        return Outcome(i, halt=str(e))
    except ValueError as e:
        drop(place, i, name, stage, Drop(str(e)))
        return Outcome(i)
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        return Outcome(i, again=f"{stage}: {type(e).__name__}: {e} ({Path(where.filename).name}:{where.lineno})")
    place.write(part_name(i), part.to_bytes())
    return Outcome(i, frames=part.row.frames)


def drop(place: Place, i: int, name: str, stage: str, why: Drop) -> None:
    """Write down why clip ``i`` is not kept."""
    said = {"name": name, "stage": stage, "rule": why.rule, "reason": " ".join(why.reason.split()) or "no reason was given"}
    place.write(dropped_name(i), json.dumps(said).encode())


def _untouched(job: Job, i: int, before: Clip, after: Clip) -> dict[str, bytes]:
    """The encoded streams of the pictures that no stage has touched."""
    encoded: Callable[[int], dict[str, bytes]] | None = getattr(job.source, "encoded", None)
    if encoded is None:
        return {}
    same = {k for k in ("depth", "segments") if getattr(after, k) is not None and getattr(after, k) is getattr(before, k)}
    if after.video is before.video and after.fps == before.fps and job.coding == getattr(job.source, "coding", None):
        same.add(SEEN_KEY)
    return {k: v for k, v in encoded(i).items() if k in same} if same else {}


def words_of(data: bytes) -> dict[str, str]:
    """What ``drop`` wrote."""
    return cast("dict[str, str]", json.loads(data))
