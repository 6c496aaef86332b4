"""``dreamx data curate IN --out OUT``: clips in, the good ones out, and the reason for every other.

Of a dataset it makes a dataset, with the reasons in ``meta/dropped.jsonl``; of a folder of clips a folder, in which
``OUT/NAME.safetensors`` is a clip that was kept, in metres, its tags in ``extra``; ``OUT/records/NAME.json`` says of every
clip what was measured and why it went; ``OUT/curated.json`` is written last and counts. A clip with a record is not looked at
again, so a run that was killed goes on and ends with the same bytes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.progress import track

from dreamx import atomic, manifest
from dreamx.bounds import InputFolder, OutputFolder, Workers
from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.clip_list import clip_names, is_packed
from dreamx.data.output_options import open_folder, refuse_folder
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.verdict import ClipVerdict, judge, signed
from dreamx.data.workers import pool
from dreamx.plaintext import read_json


@dataclass(frozen=True)
class CurateConfig:
    """Keep the clips that are good, and say of the others why they are not."""

    clips: Annotated[InputFolder, tyro.conf.Positional]
    """Dataset, or folder of clips (.safetensors)."""
    out: OutputFolder
    """Of the same kind; what it holds of an earlier run with the same limits stays."""
    limits: Limits = field(default_factory=Limits)
    """What a clip must keep to; None switches a rule off."""
    processes: Workers = 0
    """1 works in this one, 0 means one for each core."""


def curate(cfg: CurateConfig) -> dict[str, int]:
    """Judge every clip; returns how many there are of each fate. ValueError where there is nothing to judge."""
    if is_packed(cfg.clips):
        return _dataset(cfg)
    names = clip_names(cfg.clips)
    records = cfg.out / "records"
    about = {"clips": cfg.clips.resolve().as_posix(), "limits": to_json(cfg.limits)}
    manifest.refuse_input(cfg.out, [cfg.clips])
    _same_limits(cfg.out / "limits.json", about)
    stems = {*names, *(p.stem for p in records.glob("*.json"))}
    open_folder(cfg.out, "clips of dreamx data curate", (r"limits\.json", r"curated\.json"), about, "records", stems=stems)
    atomic.write_json(cfg.out / "limits.json", about, indent=1)
    todo = [n for n in names if not (records / f"{n}.json").exists()]
    with closing(_judged(cfg, todo)) as verdicts:
        _settle(cfg, names, todo, verdicts)
    told = _told(next(iter(read_record(records / f"{n}.json").reasons), "kept") for n in names)
    atomic.write_json(cfg.out / "curated.json", told, indent=1)
    return told


def _settle(cfg: CurateConfig, names: list[str], todo: list[str], verdicts: Iterator[ClipVerdict]) -> None:
    """Keep a clip or not, in order, and write down why; ``verdicts`` are on those ``todo``."""
    records = cfg.out / "records"
    first: dict[str, str] = {}  # content -> the clip that has it, of those that are kept
    for name in track(names, "clips"):
        verdict = next(verdicts) if todo and name == todo[0] else read_record(records / f"{name}.json")
        if todo and name == todo[0]:
            todo.pop(0)
            if not verdict.reasons and (twin := first.get(verdict.content)) is not None:
                verdict = replace(verdict, reasons={"duplicate": f"it is the same video as {twin}"})
            kept = cfg.out / f"{name}.safetensors"
            if verdict.reasons:
                kept.unlink(missing_ok=True)
            else:
                verdict = replace(verdict, scale=_keep(cfg, name, verdict))
            atomic.write_json(records / f"{name}.json", to_json(verdict), indent=1)
        if not verdict.reasons:
            first.setdefault(verdict.content, name)


def _dataset(cfg: CurateConfig) -> dict[str, int]:
    """The same from a dataset into a dataset."""
    from dreamx.data.dataset import Dataset, read
    from dreamx.data.engine import Local, run_engine  # here, because a folder of clips is judged without their libraries
    from dreamx.data.quality.judged import CONTENT, Judged

    refuse_folder(cfg.out)
    run_engine(read(str(cfg.clips)), (Judged(cfg.limits),), str(cfg.out), Local(cfg.processes), once=CONTENT)
    made = Dataset(str(cfg.out))
    return _told(["kept"] * len(made) + [fate(line) for line in made.dropped])


def fate(line: Mapping[str, Any]) -> str:
    """The reason in a word why a clip is not in a dataset, of its line in ``meta/dropped.jsonl``."""
    stage = str(line.get("stage", "dropped"))
    return str(line.get("rule") or ("unreadable" if stage in ("Dataset", "Folder") else stage))


def _told(fates: Iterable[str]) -> dict[str, int]:
    told = dict(sorted(Counter(fates).items(), key=lambda x: (x[0] != "kept", -x[1], x[0])))
    for word, count in told.items():
        print(f"{count:6}  {word}")
    return told


def read_record(path: Path) -> ClipVerdict:
    """A verdict from its file."""
    return from_json(ClipVerdict, read_json(path))


def look(path: Path, limits: Limits) -> ClipVerdict:
    """The verdict on a file; one that is no clip is dropped for it."""
    try:
        clip = Clip.load(path)
    except ValueError as e:
        return ClipVerdict({"unreadable": str(e).removeprefix(f"{path}: ")}, {}, None, "")
    if min(clip.video.shape) < 1:
        return ClipVerdict({"empty": f"its video has no pictures: {list(clip.video.shape)}"}, {}, None, "")
    return judge(clip, limits)


def _judged(cfg: CurateConfig, names: list[str]) -> Generator[ClipVerdict, None, None]:
    """The verdicts on clips, in their order."""
    paths = [cfg.clips / f"{n}.safetensors" for n in names]
    workers = min(cfg.processes or os.cpu_count() or 1, max(1, len(names)))
    if workers == 1:
        yield from (look(p, cfg.limits) for p in paths)
        return
    with pool(workers) as some:
        yield from some.map(look, paths, [cfg.limits] * len(paths))


def _keep(cfg: CurateConfig, name: str, verdict: ClipVerdict) -> float:
    """Write a clip that is kept; returns the factor that it was scaled by."""
    clip, factor = signed(Clip.load(cfg.clips / f"{name}.safetensors"), verdict, cfg.limits)
    clip.save(cfg.out / f"{name}.safetensors")
    return factor


def _same_limits(path: Path, about: dict[str, Any]) -> None:
    """ValueError where the folder was begun with other limits or from other clips: its records would mean two things."""
    if path.exists() and read_json(path) != about:
        raise ValueError(
            f"out: {path.parent} holds clips that were judged by other limits or come from elsewhere; use a new folder"
        )
