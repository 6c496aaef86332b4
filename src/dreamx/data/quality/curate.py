"""``dreamx data curate IN --out OUT``: a folder of clips in, the good ones out, and a record with the reason for every other.

``OUT/NAME.safetensors`` is a clip that was kept, in metres, its tags in ``extra``; ``OUT/records/NAME.json`` says of every
clip what was measured and why it went; ``OUT/curated.json`` is written last and counts. A clip with a record is not looked at
again, so a run that was killed goes on and ends with the same bytes.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.progress import track

from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.quality.geometric import rescaled
from dreamx.data.quality.judge import Verdict, judge
from dreamx.data.quality.limits import Limits
from dreamx.data.workers import pool


@dataclass(frozen=True)
class CurateConfig:
    """Keep the clips that are good, and say of the others why they are not."""

    clips: Annotated[Path, tyro.conf.Positional]
    """Folder of clips (.safetensors)."""
    out: Path
    """Folder to write; what it holds of an earlier run with the same limits stays."""
    limits: Limits = field(default_factory=Limits)
    """What a clip must keep to; None switches a rule off."""
    processes: int = 0
    """1 works in this one, 0 means one for each core."""


def curate(cfg: CurateConfig) -> dict[str, int]:
    """Judge every clip; returns how many there are of each fate. ValueError where there is nothing to judge."""
    names = clip_names(cfg.clips)
    records = cfg.out / "records"
    records.mkdir(parents=True, exist_ok=True)
    about = {"clips": cfg.clips.resolve().as_posix(), "limits": to_json(cfg.limits)}
    _same_limits(cfg.out / "limits.json", about)
    for half_written in [*cfg.out.glob("*.tmp"), *records.glob("*.tmp")]:
        half_written.unlink()
    first: dict[str, str] = {}  # content -> the clip that has it, of those that are kept
    todo = [n for n in names if not (records / f"{n}.json").exists()]
    verdicts = _judged(cfg, todo)
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
            write_json(records / f"{name}.json", to_json(verdict))
        if not verdict.reasons:
            first.setdefault(verdict.content, name)
    counts = Counter(next(iter(read_record(records / f"{n}.json").reasons), "kept") for n in names)
    told = dict(sorted(counts.items(), key=lambda x: (x[0] != "kept", -x[1], x[0])))
    write_json(cfg.out / "curated.json", told)
    for fate, count in told.items():
        print(f"{count:6}  {fate}")
    return told


def clip_names(folder: Path) -> list[str]:
    """The clips of a folder, in order. ValueError where there are none."""
    names = sorted(p.stem for p in folder.glob("*.safetensors")) if folder.is_dir() else []
    if not names:
        raise ValueError(f"clips: there are no clips (.safetensors) in {folder}; render or import some first")
    return names


def read_record(path: Path) -> Verdict:
    """A verdict from its file."""
    return from_json(Verdict, json.loads(path.read_text(encoding="utf-8")))


def look(path: Path, limits: Limits) -> Verdict:
    """The verdict on a file; one that is no clip is dropped for it."""
    try:
        clip = Clip.load(path)
    except ValueError as e:
        return Verdict({"unreadable": str(e).removeprefix(f"{path}: ")}, {}, None, "")
    if min(clip.video.shape) < 1:
        return Verdict({"empty": f"its video has no pictures: {list(clip.video.shape)}"}, {}, None, "")
    return judge(clip, limits)


def write_json(path: Path, data: Any) -> None:
    """Under a temporary name, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _judged(cfg: CurateConfig, names: list[str]) -> Iterator[Verdict]:
    """The verdicts on clips, in their order."""
    paths = [cfg.clips / f"{n}.safetensors" for n in names]
    workers = min(cfg.processes or os.cpu_count() or 1, max(1, len(names)))
    if workers == 1:
        yield from (look(p, cfg.limits) for p in paths)
        return
    with pool(workers) as some:
        yield from some.map(look, paths, [cfg.limits] * len(paths))


def _keep(cfg: CurateConfig, name: str, verdict: Verdict) -> float:
    """Write a clip that is kept; returns the factor that it was scaled by."""
    clip, factor = rescaled(Clip.load(cfg.clips / f"{name}.safetensors"), cfg.limits)
    assert verdict.tags is not None
    told = {f"tag_{k}": str(v) for k, v in to_json(verdict.tags).items()}
    replace(clip, extra={**clip.extra, **told}).save(cfg.out / f"{name}.safetensors")
    return factor


def _same_limits(path: Path, about: dict[str, Any]) -> None:
    """ValueError where the folder was begun with other limits or from other clips: its records would mean two things."""
    if not path.exists():
        write_json(path, about)
        return
    if json.loads(path.read_text(encoding="utf-8")) != about:
        raise ValueError(
            f"out: {path.parent} holds clips that were judged by other limits or come from elsewhere; use a new folder"
        )
