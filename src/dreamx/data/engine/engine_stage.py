"""The words of a run: sources give clips, stages change them or say why not, and a job is one run of both."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.data.dataset.dataset import Dataset
from dreamx.data.dataset.part import SEEN_KEY, ClipPart, make
from dreamx.data.dataset.picture_coding import Coding
from dreamx.data.dataset.storage import Storage
from dreamx.plaintext import parse_json


@dataclass(frozen=True)
class Drop:
    """A clip goes: the reason in words, the rule that said so, if it has a name of its own, and other words (``Clip.extra``)."""

    reason: str
    rule: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])


def lacks_library(error: BaseException | None) -> bool:
    """Whether an error was raised because an import failed, itself or on its way here."""
    while error is not None:
        if isinstance(error, ImportError):
            return True
        error = error.__context__
    return False


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


class Shots(Protocol):
    """A ``Source`` whose names may give several clips: they are called NAME, NAME-1, NAME-2 and so on."""

    @property
    def names(self) -> Sequence[str]:
        """The id of every shot."""
        ...

    def clips(self, i: int) -> Iterable[Clip]:
        """The clips of shot ``i``; ValueError, one sentence, where they cannot be had: then none of them is kept."""
        ...


class Stage(Protocol):
    """A frozen dataclass, its numbers as fields, that maps a clip to a clip or to a reason.

    It must give the same for the same clip every time, pickle, and leave the tensors of its clip as they are: what it changes
    is a new tensor (``dataclasses.replace``). Pictures that it does not touch are copied, not encoded anew. ValueError drops
    the clip, too.
    """

    def __call__(self, clip: Clip) -> Clip | Drop:
        """Return the clip, changed or not, or a ``Drop``."""
        ...


@dataclass(frozen=True)
class Job:
    """One run, as its workers get it. Parts go to ``.parts`` of the place ``out``, named by number. once: as of ``run``."""

    source: Source | Shots
    stages: tuple[Stage, ...]
    out: str
    coding: Coding
    once: str | None = None

    def about(self) -> dict[str, Any]:
        """Return the record of the run for the dataset: equal for equal clips and stages wherever they lie."""
        names = hashlib.sha256("\n".join(self.source.names).encode(errors="backslashreplace")).hexdigest()
        stages = [{"stage": type(s).__name__, "config": to_json(s)} for s in self.stages]
        about: dict[str, Any] = {"source": _recorded(self.source)[0], "names": names, "stages": stages}
        if self.once is not None:
            about["once"] = self.once
        if isinstance(self.source, Dataset) and (before := self.source.info["dreamx"].get("run")):
            about["before"] = before  # the run that made what this one reads
        return about

    def written(self) -> dict[str, Any]:
        """All that its result depends on, as JSON: ``about``, the source's own fields and the coding."""
        return json.loads(json.dumps({**self.about(), "from": _recorded(self.source)[1], "coding": to_json(self.coding)}))


def _recorded(source: Source | Shots) -> tuple[str, Any]:
    """Return name and settings of a source for the records of a run: its class and fields, if it does not say (``recorded``)."""
    own: Callable[[], tuple[str, Any]] | None = getattr(source, "recorded", None)
    if own is not None:
        return own()
    return type(source).__name__, to_json(source) if is_dataclass(source) else str(getattr(source, "place", ""))


@dataclass(frozen=True)
class Outcome:
    """Result for clip ``i``: ``frames`` kept; or ``again``, the reason to retry; or ``halt``, the reason to stop."""

    i: int
    frames: int = 0
    again: str = ""
    halt: str = ""


PARTS = ".parts"


PART, DROPPED = ".part", ".dropped"  # a clip made ready, or the reason why there is none


def left(names: Sequence[str]) -> dict[int, list[str]]:
    """Return the finished files in ``.parts`` by number: one file a shot, or all in order where it gave several clips.

    The first of a shot is written last, and says how many they are: ``00000007.part``, ``00000007.3.part``.
    """
    by_stem = {name.partition(".")[0]: name for name in names}
    found: dict[int, list[str]] = {}
    for stem, first in by_stem.items():
        if stem.isdigit():
            count = int(first.split(".")[1]) if first.count(".") == 2 else 1
            found[int(stem)] = [first, *(by_stem[f"{stem}-{k}"] for k in range(1, count))]
    return found


def one(job: Job, i: int) -> Outcome:
    """Make clip ``i`` of a job, or the clips of shot ``i``, and leave a part of each, or its reason: all of them or nothing."""
    name, called, frames = str(job.source.names[i]), _recorded(job.source)[0], 0
    stage = called
    made: list[ClipPart | tuple[str, Drop]] = []
    try:
        for k, original in enumerate(_given(job.source, i)):
            clip: Clip | Drop = original
            for step in job.stages:
                stage = type(step).__name__
                if isinstance(clip := step(clip), Drop):
                    break
            if isinstance(clip, Drop):
                made.append((stage, clip))
            else:
                stage = "write"
                made.append(part := make(several(name, k), clip, job.coding, _untouched(job, i, original, clip)))
                frames += part.row.frames
            stage = called
    except Halt as e:
        return Outcome(i, halt=str(e))
    except ValueError as e:
        made.clear()
        made.append((stage, Drop(str(e))))
        frames = 0
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        return Outcome(i, again=f"{stage}: {type(e).__name__}: {e} ({Path(where.filename).name}:{where.lineno})")
    _leave(Storage(job.out), i, name, made or [(stage, Drop("it gave no clip"))])
    return Outcome(i, frames=frames)


def drop(place: Storage, i: int, name: str, stage: str, why: Drop) -> None:
    """Write down why clip ``i`` is not kept."""
    _leave(place, i, name, [(stage, why)])


def several(name: str, k: int) -> str:
    """Return the name of clip ``k`` of a shot."""
    return f"{name}-{k}" if k else name


def _given(source: Source | Shots, i: int) -> Iterable[Clip]:
    clips: Callable[[int], Iterable[Clip]] | None = getattr(source, "clips", None)
    return clips(i) if clips is not None else [cast("Source", source).clip(i)]


def _leave(place: Storage, i: int, name: str, made: Sequence[ClipPart | tuple[str, Drop]]) -> None:
    for k in reversed(range(len(made))):  # what comes first says that all are there
        count = f".{len(made)}" if k == 0 and len(made) > 1 else ""
        stem = f"{PARTS}/{several(f'{i:08d}', k)}{count}"
        if isinstance(part := made[k], ClipPart):
            place.write(stem + PART, part.to_bytes())
        else:
            stage, why = part
            reason = " ".join(why.reason.split()) or "no reason was given"
            said: dict[str, Any] = {"name": several(name, k), "stage": stage, "rule": why.rule, "reason": reason}
            place.write(stem + DROPPED, json.dumps(said | ({"extra": why.extra} if why.extra else {})).encode())


def _untouched(job: Job, i: int, before: Clip, after: Clip) -> dict[str, bytes]:
    """The encoded streams of the pictures that no stage has touched."""
    encoded: Callable[[int], dict[str, bytes]] | None = getattr(job.source, "encoded", None)
    if encoded is None:
        return {}
    same = {k for k in ("depth", "segments") if getattr(after, k) is not None and getattr(after, k) is getattr(before, k)}
    if after.video is before.video and after.fps == before.fps and job.coding == getattr(job.source, "coding", None):
        same.add(SEEN_KEY)
    return {k: v for k, v in encoded(i).items() if k in same} if same else {}


def words_of(data: bytes) -> dict[str, Any]:
    """Read what ``drop`` wrote."""
    return cast("dict[str, Any]", parse_json(data))
