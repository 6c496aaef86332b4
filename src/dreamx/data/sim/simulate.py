"""``dreamx data simulate`` and ``dreamx data render``: a folder of clips, made by a pool of processes.

A walk is drawn at once. Of every other subset takes are found first, without drawing; then the accepted ones are drawn. The
folder gets one ``.safetensors`` a clip, named by scene seed, subset (but for walks) and index, and ``takes/`` with what was tried
for each scene and why it was turned down; why walks failed is in ``skipped.txt``. What is there is not made again. Every clip is
a pure function of its name and the settings, so a run that was killed and started again ends with the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamx import atomic
from dreamx.data.opengl import refuse_without_simulator
from dreamx.data.output_options import open_folder, refuse_other_pictures
from dreamx.data.scene.render import Renderer
from dreamx.data.sim.clips import ATTEMPTS, TWINS, accepted, drawn
from dreamx.data.sim.jobs import run_jobs
from dreamx.data.sim.simulated import WALKS, SimulateConfig, Simulated, clip_path, every_clip, the_scene
from dreamx.data.sim.take import SUBSETS, Take
from dreamx.data.sim.walks import WALK
from dreamx.data.sim.weather_walks import ON_FOOT
from dreamx.geometry.camera import lens_from_fov
from dreamx.plaintext import read_json


def render(cfg: SimulateConfig = WALKS) -> int:
    """``dreamx data render``: the same, with other defaults."""
    return simulate(cfg)


def simulate(cfg: SimulateConfig) -> int:
    """Find and draw what is missing; returns how many clips there are now. ValueError when the machine cannot draw."""
    if cfg.into.dataset:
        return cfg.into.run(Simulated.of(cfg), cfg.out, cfg.processes)[0]
    _claim(cfg)
    others = [subset for subset in cfg.subset if subset not in ON_FOOT]
    missing = {n: clip_path(cfg, *n) for n in every_clip(cfg) if not clip_path(cfg, *n).exists()}
    walks = {_job(seed, subset): (cfg, seed, subset) for seed, subset, _ in missing if subset in ON_FOOT}
    todo = {f"{s:07d}": (cfg, s) for s in cfg.seeds if others and not _takes(cfg, s).exists()}
    if walks or todo:
        refuse_without_simulator()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns) as progress:
        if set(cfg.subset) & set(ON_FOOT):
            lost = run_jobs(draw_walks, walks, cfg.processes, _bar(progress, "walks drawn", len(walks), cfg.clips, cfg.frames))
            _say_skipped(cfg.out / "skipped.txt", lost)
        if others:
            lost = run_jobs(search, todo, cfg.processes, _bar(progress, "scenes searched", len(todo)))
            draw = {
                path.stem: (cfg, *n)
                for n, path in missing.items()
                if n[1] not in ON_FOOT and _takes(cfg, n[0]).exists() and not _gone(cfg, *n).exists()
            }
            lost |= run_jobs(draw_clip, draw, cfg.processes, _bar(progress, "clips drawn", len(draw), frames=cfg.frames))
            _report(cfg, lost)
    return sum(clip_path(cfg, *n).exists() for n in every_clip(cfg))


def _bar(progress: Progress, words: str, jobs: int, each: int = 1, frames: int = 0) -> Callable[[str], None]:
    """Begin a bar for some jobs of so many clips ``each``; what comes back is called as each job ends."""
    bar = progress.add_task(words, total=jobs * each, rate="")

    def done(_: str) -> None:
        progress.advance(bar, each)
        speed = progress.tasks[bar].speed
        progress.update(bar, rate=f"{speed * frames:.0f} frames/s" if speed and frames else "")

    return done


def draw_walks(cfg: SimulateConfig, seed: int, subset: str = WALK) -> None:
    """All missing walks of a subset through one scene."""
    here = the_scene(cfg, seed, WALK)
    with Renderer(here, cfg.width, cfg.height) as renderer:
        for index in range(cfg.clips):
            target = clip_path(cfg, seed, subset, index)
            if not target.exists():
                ON_FOOT[subset](here, renderer, index, cfg.shot).save(target)


def search(cfg: SimulateConfig, seed: int) -> None:
    """Phase one of a scene: for each clip the first attempt that is accepted, and why those before it were not."""
    torch.set_num_threads(1)
    here, found = the_scene(cfg, seed, ""), {}
    for subset in cfg.subset:
        for index in range(0 if subset in ON_FOOT else cfg.clips):
            tried: list[str] = []
            for _, take in accepted(here, subset, index, cfg.shot):
                if isinstance(take, Take):
                    break
                tried.append(take)
            found[f"{subset}_{index:02d}"] = {"attempt": len(tried), "rejected": tried}
    _write(_takes(cfg, seed), {"scene": seed, "style": here.style, "kind": here.kind, "clips": found})


def draw_clip(cfg: SimulateConfig, seed: int, subset: str, index: int) -> None:
    """Phase two of a clip: draw what was accepted; where it turns out to be hidden, the next attempts, until one is good."""
    torch.set_num_threads(1)
    first = read_json(_takes(cfg, seed))["clips"][f"{subset}_{index:02d}"]["attempt"]
    clip, tried = drawn(the_scene(cfg, seed, subset), subset, index, cfg.shot, first)
    if clip is None:
        _write(_gone(cfg, seed, subset, index), {"rejected": tried, "given_up": ATTEMPTS})
        return
    if tried:
        _write(_after(cfg, seed, subset, index), {"rejected": tried})
    clip.save(clip_path(cfg, seed, subset, index))


def _takes(cfg: SimulateConfig, seed: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}.json"


def _after(cfg: SimulateConfig, seed: int, subset: str, index: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}_{subset}_{index:02d}.drawn.json"


def _gone(cfg: SimulateConfig, seed: int, subset: str, index: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}_{subset}_{index:02d}.none.json"


def _write(path: Path, said: dict[str, object]) -> None:
    atomic.write_text(path, json.dumps(said, indent=1, sort_keys=True) + "\n")


def _claim(cfg: SimulateConfig) -> None:
    """A folder is of one setting: what is in it was found under it. ValueError names the first field that differs. In a folder of
    walks alone there may be more scenes and clips of each another time, and its manifest is that of ``dreamx data render``."""
    fields = ("frames", "width", "height", "fps", "fov", "styles", "kinds")
    walks = (r"\d{7,}_\d{2,}\.safetensors", r"skipped\.txt") if set(cfg.subset) & set(ON_FOOT) else ()
    if cfg.walks_alone:
        settings = {name: getattr(cfg, name) for name in fields}
        lens = lens_from_fov(cfg.fov, cfg.width, cfg.height)
        old = partial(refuse_other_pictures, cfg.out, cfg.frames, cfg.width, cfg.height, cfg.fps, lens)
        open_folder(cfg.out, "clips of dreamx data render", walks, settings, old=old)
        return
    fields = ("subset", "clips", *fields, "held_out")
    now = json.loads(json.dumps({name: getattr(cfg, name) for name in fields}))
    path = cfg.out / "takes" / "settings.json"  # of before there were manifests
    before = read_json(path) if path.exists() else now
    if other := [name for name in fields if before.get(name) != now[name]]:
        raise ValueError(
            f"simulate.{other[0]}: {cfg.out} was begun with {before.get(other[0])}, not {now[other[0]]}; use another folder"
        )
    names = (rf"\d{{7,}}_({'|'.join((*SUBSETS, *TWINS, *ON_FOOT))})_\d{{2,}}\.safetensors",)
    open_folder(cfg.out, "clips of dreamx data simulate", (*names, *walks), now, "takes")


def _job(seed: int, subset: str) -> str:
    return str(seed) if subset == WALK else f"{seed} {subset}"


def _say_skipped(path: Path, lost: dict[str, str]) -> None:
    """Write the failures of this run, which tried all missing walks: the same after a run that was killed."""
    if not lost:
        path.unlink(missing_ok=True)
        return
    lines = (f"scene {job}: {why}\n" for job, why in sorted(lost.items(), key=lambda x: (int(x[0].split()[0]), x[0])))
    atomic.write_text(path, "".join(lines))


def _report(cfg: SimulateConfig, lost: dict[str, str]) -> None:
    """Write the number of takes rejected by each rule, and the failures, to ``takes/report.json``."""
    counts: Counter[str] = Counter()
    for path in sorted((cfg.out / "takes").glob("[0-9]*.json")):
        said = read_json(path)
        for clip in said.get("clips", {"": said}).values():
            counts.update(clip["rejected"])
    _write(cfg.out / "takes" / "report.json", {"rejected": dict(counts), "failed": lost})
