"""``dreamx data pack | unpack | export | import-wds``: folders, datasets and WebDataset tars into one another."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import track

from dreamx import manifest
from dreamx.bounds import Crf, FrameRate, OutputFolder, Pixels, PositiveFloat, PositiveInt, Workers
from dreamx.config import to_json
from dreamx.data.dataset import Clips, Coding, Folder, Storage, read
from dreamx.data.dataset.dataset import Dataset
from dreamx.data.dataset.tars import Tars, shard
from dreamx.data.engine import Count, Local, Ray, Stage, run_engine
from dreamx.data.engine.conform import Conform
from dreamx.data.output_options import open_folder
from dreamx.data.quality.judged import CONTENT, Judged
from dreamx.data.quality.limits import Limits
from dreamx.plaintext import parse_json


@dataclass(frozen=True)
class How:
    """Execution of a run: engine, processes, patience. The output does not depend on it."""

    engine: Literal["local", "ray"] = "local"
    """Where the work runs: processes of this machine, or Ray."""
    processes: Workers = 0
    """0 means one for each core; 1 works in this process."""
    patience: PositiveFloat = 600.0
    """Seconds that one clip may take (local)."""
    ray_address: str | None = None
    """A Ray cluster; None starts Ray on this machine."""

    def made(self) -> Local | Ray:
        """The engine."""
        if self.processes < 0 or self.patience <= 0:
            raise ValueError(f"how: processes must be 0 or more and patience above 0, not {self.processes} and {self.patience}")
        return Ray(self.ray_address, self.processes) if self.engine == "ray" else Local(self.processes, self.patience)


@dataclass(frozen=True)
class PackConfig:
    """Make a dataset of a folder of clips, or of a dataset."""

    clips: Annotated[str, tyro.conf.Positional]
    """Folder of clips, or a dataset."""
    out: str
    """Folder of the dataset."""
    crf: Crf | None = 14
    """Quality of H.264, lower is better; None keeps every bit."""
    size: tuple[Pixels, Pixels] | None = None
    """Width and height in pixels, where the clips are not alike."""
    fps: FrameRate | None = None
    """Frames a second, where the clips are not alike."""
    curate: bool = False
    """Drop what breaks a rule of ``limits``, or is there already."""
    limits: Limits = Limits()
    """Limits of quality control."""
    how: Annotated[How, tyro.conf.arg(name="")] = How()
    """Where the work runs."""


def pack(cfg: PackConfig) -> Count:
    """``dreamx data pack``."""
    stages = _alike(cfg.size, cfg.fps) + ((Judged(cfg.limits),) if cfg.curate else ())
    once = CONTENT if cfg.curate else None
    return _said(run_engine(read(cfg.clips), stages, cfg.out, cfg.how.made(), Coding(cfg.crf), once=once), cfg.out)


@dataclass(frozen=True)
class UnpackConfig:
    """Make a folder of clips, NAME.safetensors each, of a dataset."""

    clips: Annotated[str, tyro.conf.Positional]
    """The dataset."""
    out: OutputFolder
    """Folder of the clips."""


def unpack(cfg: UnpackConfig) -> int:
    """``dreamx data unpack``; returns how many clips there are. A clip that is there is not written again."""
    clips = read(cfg.clips)
    files = [re.sub(r"[^A-Za-z0-9._-]", "_", name) for name in clips.names]
    if len(set(files)) < len(files):
        files = [f"{i:08d}_{file}" for i, file in enumerate(files)]
    manifest.refuse_input(cfg.out, [Path(cfg.clips)])
    old = partial(_refuse_others, cfg.out, clips, files)
    open_folder(cfg.out, "clips of dreamx data unpack", (), _what(clips), old=old, stems=set(files))
    for i in track(range(len(files)), "unpack"):
        if not (target := cfg.out / f"{files[i]}.safetensors").exists():
            clips.clip(i).save(target)
    print(f"{len(files)} clips in {cfg.out}")
    return len(files)


def _what(clips: Clips) -> dict[str, str]:
    """Hash all metadata of the clips, to tell one set of clips from another."""
    rows = json.dumps([row.words() for row in clips.rows], sort_keys=True)
    return {"clips": hashlib.sha256(rows.encode(errors="backslashreplace")).hexdigest()[:16]}


def _refuse_others(out: Path, clips: Clips, files: list[str]) -> None:
    """ValueError where a folder from before there were manifests holds other clips of the same names."""
    if not any(out.glob("*.safetensors")):
        return
    there = Folder(str(out))
    for i, name in enumerate(there.names):
        own, given = ((r.frames, r.width, r.height, r.caption, r.seed) for r in (there.row(i), clips.row(files.index(name))))
        if own != given:
            raise ValueError(f"out: {out} holds another clip {name!r}; give the name of a new or an empty folder")


@dataclass(frozen=True)
class ImportTarsConfig:
    """Make a dataset of WebDataset tars (.video.mp4, .poses_c2w.npy, .intrinsics.npy, .json)."""

    tars: Annotated[str, tyro.conf.Positional]
    """Tar archives, or the folder that holds them."""
    out: str
    """Folder of the dataset."""
    licence: str = ""
    """Licence of samples that name none."""
    source: str = ""
    """Source of samples that name none."""
    crf: Crf | None = None
    """Quality of what has to be encoded anew; None keeps every bit."""
    size: tuple[Pixels, Pixels] | None = None
    """Width and height in pixels, where the samples are not alike."""
    fps: FrameRate | None = None
    """Frames a second, where the samples are not alike."""
    how: Annotated[How, tyro.conf.arg(name="")] = How()
    """Where the work runs."""


def import_tars(cfg: ImportTarsConfig) -> Count:
    """``dreamx data import-wds``."""
    source = Tars(cfg.tars, cfg.licence, cfg.source)
    coding = Coding(cfg.crf) if cfg.crf is not None else source.coding or Coding()
    return _said(run_engine(source, _alike(cfg.size, cfg.fps), cfg.out, cfg.how.made(), coding), cfg.out)


@dataclass(frozen=True)
class ExportConfig:
    """Make WebDataset tars of a dataset; tars.json is written last."""

    clips: Annotated[str, tyro.conf.Positional]
    """The dataset."""
    out: str
    """Folder of the archives."""
    clips_a_tar: PositiveInt = 100
    """Clips of one archive."""


def export(cfg: ExportConfig) -> int:
    """``dreamx data export``; returns how many tars there are. A tar that is there is not made again."""
    if cfg.clips_a_tar < 1:
        raise ValueError(f"clips_a_tar must be 1 or more, not {cfg.clips_a_tar}")
    clips = read(cfg.clips)
    if not isinstance(clips, Dataset):
        raise ValueError(f"{cfg.clips}: a folder of .safetensors clips; make a dataset of it first, with `dreamx data pack`")
    place, record, end = Storage(cfg.out), "export.begun.json", "tars.json"
    what = {"clips": len(clips), "clips_a_tar": cfg.clips_a_tar, "names": clips.names, "coding": to_json(clips.coding)}
    for name in (record, end):
        if place.exists(name) and parse_json(place.read(name)) != what:
            raise ValueError(f"{cfg.out}: other tars are here; remove them or choose another place")
    if not place.exists(record) and not place.exists(end):
        place.refuse_used()
    starts = range(0, len(clips), cfg.clips_a_tar)
    if not place.exists(end):
        place.write(record, json.dumps(what).encode())
        for n, start in track(list(enumerate(starts)), "export"):
            if not place.exists(tar := f"shard-{n:06d}.tar"):
                place.write(tar, shard(clips, range(start, min(start + cfg.clips_a_tar, len(clips)))))
        place.write(end, json.dumps(what).encode())
    place.remove(record)
    if place.local is not None:
        for half_written in place.local.glob("*.half"):
            half_written.unlink()
    print(f"{len(clips)} clips in {len(starts)} tars in {cfg.out}")
    return len(starts)


def _alike(size: tuple[int, int] | None, fps: float | None) -> tuple[Stage, ...]:
    return () if size is None and fps is None else (Conform(size, fps),)


def _said(count: Count, out: str) -> Count:
    print(f"{count.kept} clips of {count.frames} frames in {out}, {count.dropped} dropped (reasons in meta/dropped.jsonl)")
    return count
