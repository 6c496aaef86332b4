"""``dreamx data import KIND IN --out OUT``: other people's files as clips, each with its source and its licence.

Every shot ends as ``OUT/NAME.safetensors`` (a long one as ``NAME-1``, ``NAME-2``, ... besides), or with a reason in
``OUT/records/NAME.json``, which is written last for each; a run that was killed goes on there, and ends with the same bytes.
The same clips and reasons as a dataset: ``Brought``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import track

from dreamx import atomic, manifest
from dreamx.bounds import FrameRate, InputFolder, OutputFolder, Workers
from dreamx.clip import Clip
from dreamx.config import to_json
from dreamx.data.importers import datasets, estimates, plain_films
from dreamx.data.importers.datasets import Listed
from dreamx.data.importers.place_axes import in_place
from dreamx.data.importers.source_shot import ClipFormat, SourceShot, clips
from dreamx.data.output_options import Into, open_folder
from dreamx.data.workers import pool
from dreamx.plaintext import brief, read_json, read_text, sentence

#: By kind: the reader, the name of the source, and its licence where all of it has one.
READERS: dict[str, tuple[Callable[[Path, float | None], Listed], str, str]] = {
    "realestate10k": (datasets.realestate10k, "RealEstate10K", "CC-BY-4.0 (cameras); the videos are their authors'"),
    "dl3dv": (datasets.dl3dv, "DL3DV-10K", "DL3DV-10K terms of use, non-commercial"),
    "sekai": (datasets.sekai, "Sekai-Real", "Sekai terms of use, non-commercial"),
    "sekai-game": (datasets.sekai_game, "Sekai-Game", "Sekai terms of use, non-commercial"),
    "spatialvid": (datasets.spatialvid, "SpatialVID", "CC-BY-NC-SA-4.0"),
    "omniworld": (datasets.omniworld, "OmniWorld-Game", "CC-BY-NC-SA-4.0"),
    "megasam": (estimates.megasam, "MegaSaM", ""),
    "vggt": (estimates.vggt, "VGGT", ""),
    "colmap": (estimates.colmap, "COLMAP", ""),
    "video": (plain_films.films, "video", ""),
}
Kind = Literal[
    "realestate10k", "dl3dv", "sekai", "sekai-game", "spatialvid", "omniworld", "megasam", "vggt", "colmap", "video"
]  # fmt: skip
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


@dataclass(frozen=True)
class ImportConfig:
    """Clips out of other people's files."""

    kind: Annotated[Kind, tyro.conf.Positional]
    """Whose files they are; `video` are plain films, whose cameras pycolmap finds."""
    folder: Annotated[InputFolder, tyro.conf.Positional]
    """The folder as it was downloaded."""
    out: OutputFolder
    """Folder of clips, or dataset, to write."""
    licence: str | None = None
    """Of all clips, where the source has none of its own; by default the first line of a LICENSE file in the folder."""
    rate: FrameRate | None = None
    """Frames a second of pictures that do not say it."""
    wanted: ClipFormat = field(default_factory=ClipFormat)
    """Size, rate and length of the clips."""
    processes: Workers = 0
    """1 works in this one, 0 means one for each core."""
    scene: str = ""
    """The name of the one place that is filmed, for a world that is to know it by heart; its cameras are brought into axes of the
    place, and to metres by guess."""
    into: Annotated[Into, tyro.conf.arg(name="")] = Into()
    """A dataset in place of clips, and on what it is made."""


@dataclass(frozen=True)
class ImportRecord:
    """clips: how many files a shot gave. reason: why it gave none, or None."""

    clips: int
    reason: str | None


def import_clips(cfg: ImportConfig) -> dict[str, int]:
    """Read every shot; returns how many clips there are, and how many shots were dropped."""
    if not cfg.folder.is_dir():
        raise ValueError(f"folder: there is no folder {cfg.folder}; give the folder of {cfg.kind} as it was downloaded")
    _, source, own = READERS[cfg.kind]
    licence = licence_of(cfg.folder, cfg.licence, own)
    jobs = in_place(listed(cfg.kind, cfg.folder, cfg.rate), cfg.scene)
    if cfg.into.dataset:
        brought = Brought(cfg.kind, cfg.folder.resolve(), cfg.rate, cfg.wanted, licence, cfg.scene)
        return dict(zip(("clips", "dropped"), cfg.into.run(brought, cfg.out, cfg.processes), strict=True))
    records = cfg.out / "records"
    manifest.refuse_input(cfg.out, [cfg.folder])
    about = {"kind": cfg.kind, "folder": cfg.folder.resolve().as_posix(), "rate": cfg.rate, "wanted": to_json(cfg.wanted)}
    about |= {"scene": cfg.scene} if cfg.scene else {}
    stems = {name for name, _ in jobs} | {p.stem for p in records.glob("*.json")}
    open_folder(cfg.out, "clips of dreamx data import", (), about | {"licence": licence}, "records", stems=stems)
    todo = [j for j in jobs if not (records / f"{j[0]}.json").exists()]
    with closing(_made(cfg, todo, source, licence)) as made:
        for name, record in track(made, "shots", len(todo)):
            atomic.write_text(records / f"{name}.json", json.dumps(to_json(record), ensure_ascii=False) + "\n")
    every = [read_json(records / f"{name}.json") for name, _ in jobs]
    for (name, _), record in zip(jobs, every, strict=True):
        if record["reason"] is not None:
            print(f"dropped {name}: {record['reason']}")
    told = {"clips": sum(r["clips"] for r in every), "dropped": sum(r["reason"] is not None for r in every)}
    print(f"{told['clips']} clips, {told['dropped']} of {len(jobs)} shots dropped")
    return told


def listed(kind: Kind, folder: Path, rate: float | None) -> list[tuple[str, Callable[[], SourceShot]]]:
    """The shots of a folder by names that are good for files, and what opens each. ValueError where there is none."""
    found: list[tuple[str, Callable[[], SourceShot]]] = []
    every = list(READERS[kind][0](folder, rate))
    short = _short([name for name, _ in every])
    seen: Counter[str] = Counter()
    for name, opener in every:
        safe = short[name]
        seen[safe] += 1
        found.append((safe, _Told(kind, opener)) if seen[safe] == 1 else (f"{safe}~{seen[safe]}", _Twin(safe)))
    if not found:
        raise ValueError(f"folder: there is nothing of {kind} in {folder}; it is {READERS[kind][0].__doc__}")
    own = _own([name for name, _ in found])
    return [(own[name], opener) for name, opener in found]


@dataclass(frozen=True)
class _Told:
    """An opener whose every trouble is a ``ValueError`` of one sentence: somebody else's files break in many ways."""

    kind: Kind
    opener: Callable[[], SourceShot]

    def __call__(self) -> SourceShot:
        try:
            return self.opener()
        except MemoryError:
            raise
        except ValueError as e:
            raise ValueError(sentence(e)) from e
        except Exception as e:
            raise ValueError(f"its files are not as {self.kind} has them ({type(e).__name__}: {brief(str(e))})") from e


def _short(names: list[str]) -> dict[str, str]:
    """A name for a file for each name: its last part, where no other ends so; with its folders, where another does; and with a
    hash, where what files may be called cannot tell it from another."""
    different = list(dict.fromkeys(names))

    def safe(name: str) -> str:
        return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-150:] or "_"

    ends = Counter(safe(n.rpartition("/")[2]) for n in different)
    short = {n: safe(n.rpartition("/")[2] if ends[safe(n.rpartition("/")[2])] == 1 else n) for n in different}
    count = Counter(short.values())
    return {n: s if count[s] == 1 else f"{s}~{hashlib.sha256(n.encode()).hexdigest()[:8]}" for n, s in short.items()}


def _own(names: list[str]) -> dict[str, str]:
    """A name for each that is no name of another's clips: ``a-1`` is the second clip of ``a``, so a shot that is called so beside
    one called ``a`` becomes ``a-1_``."""
    own: dict[str, str] = {}
    taken = set(names)
    for name in sorted(names, key=len):  # what a name begins with is shorter
        fit = name
        while ((parts := re.fullmatch(r"(.+)-\d+", fit)) and parts[1] in taken) or (fit != name and fit in taken):
            fit += "_"
        own[name] = fit
        taken.add(fit)
    return own


@dataclass(frozen=True)
class Brought:
    """The shots of a folder as a source of a run (``dreamx.data.engine``), each of one clip or several."""

    kind: Kind
    folder: Path
    rate: float | None
    wanted: ClipFormat
    licence: str
    scene: str = ""

    @property
    def names(self) -> list[str]:
        """The name of each shot."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return [name for name, _ in self._listed]

    def clips(self, i: int) -> Iterator[Clip]:
        """The clips of shot ``i``. ``Halt`` where a library is missing; ValueError where the shot is broken."""
        from dreamx.data.engine.engine_stage import Halt, lacks_library

        name, opener = self._listed[i]
        try:
            for clip in clips(opener(), self.wanted, READERS[self.kind][1], self.licence):
                yield replace(clip, extra={**clip.extra, "shot": name})
        except ValueError as e:
            raise (Halt(str(e)) if lacks_library(e) else e) from e

    @cached_property
    def _listed(self) -> list[tuple[str, Callable[[], SourceShot]]]:
        return in_place(listed(self.kind, self.folder, self.rate), self.scene)


def licence_of(folder: Path, given: str | None, own: str) -> str:
    """Return the licence of the clips: ``given``, a file's first line, or ``own``. ValueError where there is none to read."""
    if given is not None:
        if not given.strip():
            raise ValueError("licence: it is empty; give its name, for example CC-BY-4.0")
        return given.strip()
    for path in (folder / n for n in _LICENCES):
        if path.is_file():
            try:
                words = next((x.strip() for x in read_text(path).split("\n") if x.strip()), "")
            except (OSError, ValueError) as e:
                raise ValueError(f"licence: {path.name} cannot be read ({type(e).__name__}); give licence yourself") from None
            if not words:
                raise ValueError(f"licence: {path.name} is empty; give licence yourself")
            return words[:200]
    if not own:
        raise ValueError("licence: the folder says nothing about it; put a LICENSE file into it or give licence, e.g. CC-BY-4.0")
    return own


@dataclass(frozen=True)
class _Twin:
    """Opens nothing: its name is that of another shot."""

    name: str

    def __call__(self) -> SourceShot:
        raise ValueError(f"its id {self.name!r} is there twice; the first counts")


def make(name: str, opener: Callable[[], SourceShot], out: Path, wanted: ClipFormat, source: str, licence: str) -> ImportRecord:
    """Open a shot and write its clips; whatever is wrong with it is its reason, and then it leaves nothing behind."""
    count = 0
    try:
        shot = opener()
        for clip in clips(shot, wanted, source, licence):
            target = out / (f"{name}.safetensors" if not count else f"{name}-{count}.safetensors")
            replace(clip, extra={**clip.extra, "shot": name}).save(target)
            count += 1
    except Exception as e:  # whatever somebody's file does to a library: this shot alone goes
        for k in range(count):
            (out / (f"{name}.safetensors" if not k else f"{name}-{k}.safetensors")).unlink(missing_ok=True)
        why = str(e) if isinstance(e, ValueError) and str(e) else f"{type(e).__name__}: {e}"
        return ImportRecord(0, why.splitlines()[0][:300] if why.strip() else type(e).__name__)
    return ImportRecord(count, None) if count else ImportRecord(0, "it has no frame that a camera is known for")


def _made(
    cfg: ImportConfig, jobs: list[tuple[str, Callable[[], SourceShot]]], source: str, licence: str
) -> Generator[tuple[str, ImportRecord], None, None]:
    workers = min(cfg.processes or os.cpu_count() or 1, max(1, len(jobs)))
    if workers == 1:
        for name, opener in jobs:
            yield name, make(name, opener, cfg.out, cfg.wanted, source, licence)
        return
    while jobs:
        done = 0
        try:
            with pool(workers) as some:
                futures = [some.submit(make, name, opener, cfg.out, cfg.wanted, source, licence) for name, opener in jobs]
                for (name, _), future in zip(jobs, futures, strict=True):
                    yield name, future.result()
                    done += 1
            return
        except BrokenProcessPool:  # some library took the whole process with it: look at the next shot alone
            name, opener = jobs[done]
            try:
                with pool(1) as alone:
                    record = alone.submit(make, name, opener, cfg.out, cfg.wanted, source, licence).result()
            except BrokenProcessPool:
                record = ImportRecord(0, "the process that read it died; the file may be damaged")
            yield name, record
            jobs = jobs[done + 1 :]
