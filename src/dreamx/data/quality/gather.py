"""Gather verdicts of every clip of a place, kept or dropped: read where it was curated, else judged anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.clip_list import clip_names
from dreamx.data.output_options import is_dataset
from dreamx.data.quality.curate import fate, look, read_record
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.verdict import ClipVerdict, judge, verdict_of
from dreamx.plaintext import read_json

if TYPE_CHECKING:
    from dreamx.data.dataset import Clips, Dataset


@dataclass(frozen=True)
class Gathered:
    """verdicts: by name. limits: by which they were found. clip: reads one by its name, also one that was dropped; ValueError
    where it is gone."""

    verdicts: dict[str, ClipVerdict]
    limits: Limits
    clip: Callable[[str], Clip]


def gathered(place: Path, limits: Limits) -> Gathered:
    """All of a dataset, of a folder that was curated or of any folder of clips. ``limits``: for what was not curated. ValueError
    where there is nothing."""
    if is_dataset(place):
        from dreamx.data.dataset import Dataset  # here, because a folder of clips is read without their libraries

        return _of_dataset(Dataset(str(place)), limits)
    source = place
    if (place / "limits.json").exists():
        about = read_json(place / "limits.json")
        if not isinstance(about, dict) or not {"limits", "clips"} <= about.keys():
            raise ValueError(f"clips: {place / 'limits.json'} is none of dreamx data curate; give the folder that it wrote")
        limits, source = _said(about["limits"]), Path(str(about["clips"]))
        verdicts = {p.stem: read_record(p) for p in sorted((place / "records").glob("*.json"))}
        if not verdicts:
            raise ValueError(f"clips: {place} has no records yet; run dreamx data curate to its end first")
    else:
        verdicts = {n: look(place / f"{n}.safetensors", limits) for n in track(clip_names(place), "clips")}
    return Gathered(verdicts, limits, lambda name: Clip.load(source / f"{name}.safetensors"))


def _of_dataset(clips: Dataset, limits: Limits) -> Gathered:
    limits = _limits(clips.info["dreamx"].get("run"), limits)
    verdicts: dict[str, ClipVerdict] = {}
    lies: dict[str, tuple[str, str]] = {}  # where those that were dropped can be seen, and as what
    for i, name in enumerate(track(clips.names, "clips")):
        found = verdict_of(clips.row(i).extra)
        verdicts[name] = found if found is not None else judge(clips.clip(i), limits)
    for line in clips.dropped:
        name = str(line["name"])
        while name in verdicts:  # the same name twice is a reason to be dropped
            name += "~"
        found = verdict_of(line.get("extra", {})) or ClipVerdict({}, {}, None, "")
        reasons = found.reasons or {fate(line): str(line["reason"])}
        verdicts[name] = ClipVerdict(reasons, found.measures, found.tags, found.content, found.scale)
        lies[name] = str(line.get("place", "")), str(line["name"])

    def clip(name: str) -> Clip:
        if name not in lies:
            return clips.clip(clips.names.index(name))
        there = _read(lies[name][0])
        return there.clip(there.names.index(lies[name][1]))

    return Gathered(verdicts, limits, clip)


def _said(limits: Any) -> Limits:
    """Limits as a run wrote them, which may have had fewer."""
    known = to_json(Limits())
    return from_json(Limits, known | limits if isinstance(limits, dict) else limits)


def _limits(run: Any, otherwise: Limits) -> Limits:
    """Those of the last run that judged, of the runs on the way."""
    while isinstance(run, dict):
        for stage in run.get("stages", ()):
            if stage.get("stage") == "Judged":
                return _said(stage["config"]["limits"])
        run = run.get("before")
    return otherwise


@cache
def _read(place: str) -> Clips:
    from dreamx.data.dataset import read

    return read(place)
