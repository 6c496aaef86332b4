"""A run: clips from a source through stages into a dataset, one part a clip; killed anywhere, it goes on where it stopped.

Finished clips and reasons lie in ``.parts`` of the place until all are there; then they are packed, in the order of the source,
and ``meta/info.json`` is written last. The files are a function of source and stages alone: not of the engine, the number of
processes, or how often the run was killed.
"""

from __future__ import annotations

import json
import os
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from dreamx.data.dataset.dataset import Dataset
from dreamx.data.dataset.folder import Folder
from dreamx.data.dataset.pack import DROPPED, INFO, Packer
from dreamx.data.dataset.part import ClipPart
from dreamx.data.dataset.picture_coding import Coding
from dreamx.data.dataset.storage import Storage
from dreamx.data.engine.engine_progress import progress
from dreamx.data.engine.engine_stage import PART, PARTS, Halt, Job, Shots, Source, Stage, left, words_of
from dreamx.data.engine.on_ray import Ray, on_ray
from dreamx.data.engine.pool import local
from dreamx.locks import alone
from dreamx.plaintext import parse_json


@dataclass(frozen=True)
class Local:
    """A pool of processes on this machine."""

    processes: int = 0
    """0 means one for each core; 1 works in this process."""
    patience: float = 600.0
    """Seconds for a clip."""


@dataclass(frozen=True)
class Count:
    """Totals of a run. dropped: all lines of ``meta/dropped.jsonl``, those of the runs before this one, too."""

    kept: int
    dropped: int
    frames: int


def run_engine(
    source: Source | Shots,
    stages: tuple[Stage, ...],
    out: str,
    engine: Local | Ray | None = None,
    coding: Coding | None = None,
    megabytes: float = 100.0,
    words: str = "clips",
    once: str | None = None,
) -> Count:
    """Every clip of ``source`` through ``stages`` into a dataset at ``out``. Run again, it does what is not done yet.

    ``coding``: how pictures are kept; None as the source keeps them, or else as ``Coding()`` says. ``megabytes``: about the size
    of a file. ``once``: a word of ``Clip.extra``; of the clips that have the same there only the first stays. What was dropped on
    the way to a dataset or a folder of clips stays dropped: its reasons are carried on. ValueError where something else is at
    ``out``, or where the source or a stage says ``Halt``.
    """
    out, place = str(out), Storage(str(out))
    kept_so: Any = getattr(source, "coding", None)
    job = Job(source, stages, out, coding or (kept_so if isinstance(kept_so, Coding) else Coding()), once)
    before = source.dropped if isinstance(source, Dataset | Folder) else []
    with nullcontext() if place.local is None else alone(place.local):  # in an object store nobody looks
        _sweep(place)
        if place.exists(INFO):
            return _finished(place, job)
        _claim(place, job)
        done = left(place.names(PARTS))
        todo = [i for i in range(len(source.names)) if i not in done]
        try:
            if todo:
                _make(job, todo, engine or Local(), words)
        except BaseException:
            _leave_nothing(place)
            raise
        return _pack(place, job, megabytes, before)


def _make(job: Job, todo: list[int], engine: Local | Ray, words: str) -> None:
    if isinstance(engine, Ray):
        outcomes = on_ray(job, todo, engine)
    else:
        outcomes = local(job, todo, engine.processes or os.cpu_count() or 1, engine.patience)
    with closing(outcomes), progress(words, len(todo)) as tick:
        for outcome in outcomes:
            if outcome.halt:
                raise Halt(outcome.halt)
            tick(outcome.frames)


def _pack(place: Storage, job: Job, megabytes: float, before: list[dict[str, Any]]) -> Count:
    for name in ("meta", "data", "videos", "depth", "segments"):  # of a run that was killed while packing
        place.remove(name)
    packer, dropped, kept, frames = Packer(place, job.coding, megabytes), list[dict[str, Any]](), 0, 0
    first: dict[str, str] = {}  # by the word ``once``: the clip that has it, of those that stay
    there = left(place.names(PARTS))
    with progress("pack", len(job.source.names)) as tick:
        for i in range(len(job.source.names)):
            for k, file in enumerate(there[i]):
                data = place.read(f"{PARTS}/{file}")
                if not file.endswith(PART):
                    dropped.append(words_of(data))
                    tick(0, k == 0)
                    continue
                part = ClipPart.from_bytes(data)
                said = {"name": part.row.name, "stage": "pack", "rule": "", "reason": ""}
                word = None if job.once is None else part.row.extra.get(job.once)
                try:
                    if word is not None and word in first:
                        dropped.append(said | {"rule": "duplicate", "reason": f"it is the same video as {first[word]}"}
                                       | {"extra": part.row.extra})  # fmt: skip
                    else:
                        packer.add(part)
                        kept, frames = kept + 1, frames + part.row.frames
                        first |= {} if word is None else {word: part.row.name}
                except ValueError as e:
                    dropped.append(said | {"reason": str(e)})
                tick(part.row.frames, k == 0)
    seen = _seen(job.source)
    packer.close([*before, *(line | seen for line in dropped)], job.about())
    place.remove(PARTS)
    return Count(kept, len(before) + len(dropped), frames)


def _seen(source: Source | Shots) -> dict[str, str]:
    """Return the place where a dropped clip can still be looked at; empty if none."""
    if isinstance(source, Folder):
        return {"place": str(source.folder.resolve())}
    if isinstance(source, Dataset):
        return {"place": source.place.url if source.place.local is None else str(source.place.local)}
    return {}


def _claim(place: Storage, job: Job) -> None:
    """Begin, or go on with the very same; ValueError for something else."""
    what, record = job.written(), f"{PARTS}/run.json"
    if place.exists(record):
        before = parse_json(place.read(record))
        if before != what:
            differ = ", ".join(k for k in what if before.get(k) != what[k])
            raise ValueError(
                f"out: {place.url}: another run was begun here (it differs in {differ}); remove it or choose another place"
            )
    else:
        place.refuse_used()
        place.write(record, json.dumps(what).encode())


def _leave_nothing(place: Storage) -> None:
    """A run that failed before anything was made leaves no trace."""
    if not left(place.names(PARTS)):
        place.remove(PARTS)
        if place.local is not None:
            with suppress(OSError):  # something else is there
                place.local.rmdir()


def _sweep(place: Storage) -> None:
    """Remove what a killed run left half-written, also one that was killed when all was there."""
    if place.local is not None and (place.exists(PARTS) or place.exists(INFO)):
        for scrap in [*place.local.glob(f"{PARTS}/*.half"), *place.local.glob("*.half")]:
            scrap.unlink()
        for scrap in place.local.glob(".packing-*"):
            place.remove(scrap.name)


def _finished(place: Storage, job: Job) -> Count:
    """Return the totals of the dataset at ``place``. ValueError if another run made it."""
    info = parse_json(place.read(INFO))
    made = info.get("dreamx", {}).get("run")
    if made != json.loads(json.dumps(job.about())):
        raise ValueError(f"out: {place.url}: another dataset is here; remove it or choose another place")
    place.remove(PARTS)
    return Count(int(info["total_episodes"]), len(place.read(DROPPED).splitlines()), int(info["total_frames"]))
