"""``dreamx data simulate``: clips in two phases. First takes are found, without drawing; then the accepted ones are drawn.

The folder gets one ``.safetensors`` a clip, named by scene seed, subset and index, and ``takes/`` with what was tried for each
scene and why it was turned down. What is there is not made again. Every clip is a pure function of its name and the settings, so
a run that was killed and started again ends with the same bytes. The same clips as a dataset: ``Simulated``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamx import atomic
from dreamx.bounds import FieldOfView, FrameCount, FrameRate, OutputFolder, Pixels, PositiveInt, Seed, Workers
from dreamx.clip import Clip
from dreamx.data.opengl import CannotDraw, refuse_without_simulator
from dreamx.data.output_options import Into, open_folder
from dreamx.data.scene.scene import KINDS, STYLES, Scene, scene
from dreamx.data.sim.clips import ATTEMPTS, TWINS, accepted, film
from dreamx.data.sim.jobs import run_jobs
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.take import SUBSETS, SimulatedShot, Take
from dreamx.data.sim.walks import check_places
from dreamx.plaintext import read_json


@dataclass(frozen=True)
class SimConfig:
    """Simulate clips in first and third person, and events."""

    out: OutputFolder
    """Folder of the clips, or of the dataset."""
    subset: tuple[str, ...] = tuple(SUBSETS)
    """Some of first_person, third_person, events, and still: the same clips as events, in which nothing happens."""
    scenes: PositiveInt = 100
    """Scenes, one a seed."""
    clips: PositiveInt = 1
    """Clips of each subset in each scene."""
    frames: FrameCount = 81
    """Frames of a clip."""
    width: Pixels = 128
    """Pixels."""
    height: Pixels = 128
    """Pixels."""
    fps: FrameRate = 16.0
    """Frames a second."""
    fov: FieldOfView = 70.0
    """Vertical field of view, degrees."""
    first_seed: Seed = 0
    """Seed of the first scene."""
    processes: Workers = 0
    """Worker processes; 0: one for each core."""
    styles: tuple[str, ...] = STYLES
    """Looks to draw from."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of place to draw from."""
    evaluation: bool = False  # may the seeds be those reserved for evaluation?
    """Allow the seeds that are reserved for evaluation."""
    held_out: bool = False
    """Say everything in the phrasings that are kept for evaluation."""
    into: Annotated[Into, tyro.conf.arg(name="")] = Into()
    """A dataset in place of clips, and on what it is made."""

    def __post_init__(self) -> None:
        least = {"scenes": 1, "clips": 1, "frames": 9, "width": 8, "height": 8}
        check_places(self, least, {"subset": (*SUBSETS, *TWINS), "styles": STYLES, "kinds": KINDS})
        if not 1 <= self.fps <= 120:
            raise ValueError(f"simulate.fps must lie between 1 and 120, not {self.fps}")
        if self.held_out and not self.evaluation:
            raise ValueError("simulate.held_out: those phrasings are kept for evaluation; add --evaluation and its seeds")

    @property
    def shot(self) -> SimulatedShot:
        return SimulatedShot(self.frames, self.fps, self.width, self.height, self.fov, self.held_out)


def simulate(cfg: SimConfig) -> int:
    """Find and draw what is missing; returns how many clips there are now. ValueError when the machine cannot draw."""
    if cfg.into.dataset:
        return cfg.into.run(Simulated.of(cfg), cfg.out, cfg.processes)[0]
    _claim(cfg)
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.scenes)
    if not all(_takes(cfg, s).exists() for s in seeds):
        refuse_without_simulator()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        todo = {f"{s:07d}": (cfg, s) for s in seeds if not _takes(cfg, s).exists()}
        bar = progress.add_task("scenes searched", total=len(todo))
        lost = run_jobs(search, todo, cfg.processes, lambda _: progress.advance(bar))
        names = [(s, subset, i) for s in seeds if _takes(cfg, s).exists() for subset in cfg.subset for i in range(cfg.clips)]
        draw = {
            clip_path(cfg, *n).stem: (cfg, *n) for n in names if not clip_path(cfg, *n).exists() and not _gone(cfg, *n).exists()
        }
        bar = progress.add_task("clips drawn", total=len(draw))
        lost |= run_jobs(draw_clip, draw, cfg.processes, lambda _: progress.advance(bar))
    _report(cfg, lost)
    return sum(clip_path(cfg, s, subset, i).exists() for s in seeds for subset in cfg.subset for i in range(cfg.clips))


def clip_path(cfg: SimConfig, seed: int, subset: str, index: int) -> Path:
    """Return the file of a clip."""
    return cfg.out / f"{seed:07d}_{subset}_{index:02d}.safetensors"


def search(cfg: SimConfig, seed: int) -> None:
    """Phase one of a scene: for each clip the first attempt that is accepted, and why those before it were not."""
    torch.set_num_threads(1)
    place, found = the_scene(cfg, seed), {}
    for subset in cfg.subset:
        for index in range(cfg.clips):
            tried: list[str] = []
            for _, take in accepted(place, subset, index, cfg.shot):
                if isinstance(take, Take):
                    break
                tried.append(take)
            found[f"{subset}_{index:02d}"] = {"attempt": len(tried), "rejected": tried}
    _write(_takes(cfg, seed), {"scene": seed, "style": place.style, "kind": place.kind, "clips": found})


def draw_clip(cfg: SimConfig, seed: int, subset: str, index: int) -> None:
    """Phase two of a clip: draw what was accepted; where it turns out to be hidden, the next attempts, until one is good."""
    torch.set_num_threads(1)
    place = the_scene(cfg, seed)
    first = read_json(_takes(cfg, seed))["clips"][f"{subset}_{index:02d}"]["attempt"]
    clip, tried = drawn(cfg, place, subset, index, first)
    if clip is None:
        _write(_gone(cfg, seed, subset, index), {"rejected": tried, "given_up": ATTEMPTS})
        return
    if tried:
        _write(_after(cfg, seed, subset, index), {"rejected": tried})
    clip.save(clip_path(cfg, seed, subset, index))


def drawn(cfg: SimConfig, place: Scene, subset: str, index: int, first: int = 0) -> tuple[Clip | None, list[str]]:
    """The first attempt from number ``first`` on that is accepted and, drawn, shows what it should; or None. And why the others
    were not."""
    tried: list[str] = []
    for _, take in accepted(place, subset, index, cfg.shot, first):
        try:
            if isinstance(take, Take):
                return film(take, subset, cfg.shot), tried
            tried.append(take)
        except Rejected as e:
            tried.append(str(e))
    return None, tried


@dataclass(frozen=True)
class Simulated:
    """The clips of ``cfg`` as a source of a run (``dreamx.data.engine``): each is sought and drawn in one go, as in a folder."""

    cfg: SimConfig

    @staticmethod
    def of(cfg: SimConfig) -> Simulated:
        """Without what the clips do not depend on."""
        return Simulated(replace(cfg, out=Path(), processes=0, into=Into()))

    @property
    def names(self) -> list[str]:
        """Scene, subset and number of each clip."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return [clip_path(self.cfg, *which).stem for which in self._which]

    def clip(self, i: int) -> Clip:
        """Find and draw clip ``i``. ``Halt`` where this machine cannot draw; ValueError where nothing could be accepted."""
        from dreamx.data.engine import Halt

        seed, subset, index = self._which[i]
        try:
            clip, tried = drawn(self.cfg, the_scene(self.cfg, seed), subset, index)
        except CannotDraw as e:
            raise Halt(str(e)) from e
        if clip is None:
            why = ", ".join(f"{count} x {reason}" for reason, count in Counter(tried).most_common(4))
            raise ValueError(f"none of {ATTEMPTS} attempts is good: {why}")
        return clip

    @cached_property
    def _which(self) -> list[tuple[int, str, int]]:
        c = self.cfg
        seeds = range(c.first_seed, c.first_seed + c.scenes)
        return [(seed, subset, index) for seed in seeds for subset in c.subset for index in range(c.clips)]


def the_scene(cfg: SimConfig, seed: int) -> Scene:
    """The scene of a seed, in one of the looks and layouts that are asked for."""
    rng = np.random.default_rng([seed, 31])
    return scene(seed, str(rng.choice(cfg.styles)), str(rng.choice(cfg.kinds)))


def _takes(cfg: SimConfig, seed: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}.json"


def _after(cfg: SimConfig, seed: int, subset: str, index: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}_{subset}_{index:02d}.drawn.json"


def _gone(cfg: SimConfig, seed: int, subset: str, index: int) -> Path:
    return cfg.out / "takes" / f"{seed:07d}_{subset}_{index:02d}.none.json"


def _write(path: Path, said: dict[str, object]) -> None:
    atomic.write_text(path, json.dumps(said, indent=1, sort_keys=True) + "\n")


def _claim(cfg: SimConfig) -> None:
    """A folder is of one setting: what is in it was found under it. ValueError names the first field that differs."""
    fields = ("subset", "clips", "frames", "width", "height", "fps", "fov", "styles", "kinds", "held_out")
    now = json.loads(json.dumps({name: getattr(cfg, name) for name in fields}))
    path = cfg.out / "takes" / "settings.json"  # of before there were manifests
    before = read_json(path) if path.exists() else now
    if other := [name for name in fields if before.get(name) != now[name]]:
        raise ValueError(
            f"simulate.{other[0]}: {cfg.out} was begun with {before.get(other[0])}, not {now[other[0]]}; use another folder"
        )
    names = (rf"\d{{7,}}_({'|'.join((*SUBSETS, *TWINS))})_\d{{2,}}\.safetensors",)
    open_folder(cfg.out, "clips of dreamx data simulate", names, now, "takes")


def _report(cfg: SimConfig, lost: dict[str, str]) -> None:
    """Write the number of takes rejected by each rule, and the failures, to ``takes/report.json``."""
    counts: Counter[str] = Counter()
    for path in sorted((cfg.out / "takes").glob("[0-9]*.json")):
        said = read_json(path)
        for clip in said.get("clips", {"": said}).values():
            counts.update(clip["rejected"])
    _write(cfg.out / "takes" / "report.json", {"rejected": dict(counts), "failed": lost})
