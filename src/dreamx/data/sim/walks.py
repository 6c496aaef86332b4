"""Clips from the simulator: a folder with one file a clip, named by scene seed and index, made by a pool of processes.

A clip that is there is not made again, so an interrupted run goes on where it stopped. A scene that fails is tried once more and
then skipped, with the reason in ``skipped.txt``. The same clips as a dataset: ``Rendered``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import torch
import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamx import atomic
from dreamx.bounds import FieldOfView, FrameCount, FrameRate, OutputFolder, Pixels, PositiveInt, Seed, Workers
from dreamx.clip import Clip, refuse_held_out
from dreamx.data.opengl import CannotDraw, refuse_without_simulator
from dreamx.data.output_options import Into, open_folder, refuse_other_pictures
from dreamx.data.scene.caption import caption
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import ALL_KINDS, place
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import KINDS, STYLES, Scene
from dreamx.data.scene.walker import clear, keys_for, path
from dreamx.data.sim.jobs import run_jobs
from dreamx.geometry.camera import Camera, lens_from_fov
from dreamx.geometry.controls import Speed


@dataclass(frozen=True)
class SimulateConfig:
    """Render walks through places."""

    out: OutputFolder
    """Folder of the clips, or of the dataset."""
    scenes: PositiveInt = 300
    """Scenes, one a seed."""
    clips: PositiveInt = 4  # for each scene
    """Walks through each."""
    frames: FrameCount = 81
    """Frames of a walk."""
    width: Pixels = 64
    """Pixels."""
    height: Pixels = 64
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
    """Looks of the random scenes, one drawn for each; a home place has its own."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of random scenes, and home places by name (village, cottage, castle, island, winter, workshop)."""
    evaluation: bool = False  # may the seeds be those reserved for evaluation?
    """Allow the seeds that are reserved for evaluation."""
    into: Annotated[Into, tyro.conf.arg(name="")] = Into()
    """A dataset in place of clips, and on what it is made."""

    def __post_init__(self) -> None:
        least = {"scenes": 1, "clips": 1, "frames": 1, "width": 1, "height": 1}
        check_places(self, least, {"styles": STYLES, "kinds": ALL_KINDS})


class Places(Protocol):
    """Of which scenes clips are made, and through which lens."""

    @property
    def scenes(self) -> int: ...
    @property
    def first_seed(self) -> int: ...
    @property
    def fov(self) -> float: ...
    @property
    def evaluation(self) -> bool: ...


def check_places(cfg: Places, least: Mapping[str, int], some: Mapping[str, tuple[str, ...]]) -> None:
    """ValueError, with the field, for numbers below their ``least``, for choices that are not ``some`` of those that there are,
    for a lens that nobody has, and for seeds of evaluation."""
    for name, number in least.items():
        if getattr(cfg, name) < number:
            raise ValueError(f"simulate.{name} must be {number} or more, not {getattr(cfg, name)}")
    for name, known in some.items():
        got = getattr(cfg, name)
        if not got or set(got) - set(known):
            raise ValueError(f"simulate.{name} must be some of {', '.join(known)}, not {', '.join(got) or 'nothing'}")
    if cfg.first_seed < 0:
        raise ValueError(f"simulate.first_seed must be 0 or more, not {cfg.first_seed}")
    if not 20 <= cfg.fov <= 120:
        raise ValueError(f"simulate.fov must lie between 20 and 120 degrees, not {cfg.fov}")
    if not cfg.evaluation:
        refuse_held_out(cfg.first_seed + cfg.scenes - 1)


def clip_path(cfg: SimulateConfig, seed: int, index: int) -> Path:
    """Return the file of the clip of this scene and index."""
    return cfg.out / f"{seed:07d}_{index:02d}.safetensors"


def simulate(cfg: SimulateConfig) -> int:
    """Render what is missing; returns how many clips there are now. ValueError when the machine cannot draw."""
    if cfg.into.dataset:
        return cfg.into.run(Rendered.of(cfg), cfg.out, cfg.processes)[0]
    _claim(cfg)
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.scenes)
    todo = {str(s): (cfg, s) for s in seeds if not all(clip_path(cfg, s, i).exists() for i in range(cfg.clips))}
    if todo:
        refuse_without_simulator()
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(todo) * cfg.clips, rate="")

        def done(_: str) -> None:
            progress.advance(bar, cfg.clips)
            speed = progress.tasks[0].speed
            progress.update(bar, rate=f"{speed * cfg.frames:.0f} frames/s" if speed else "")

        lost = run_jobs(make_scene, todo, cfg.processes, done)
    _say_skipped(cfg.out / "skipped.txt", lost)
    return sum(clip_path(cfg, s, i).exists() for s in seeds for i in range(cfg.clips))


def _claim(cfg: SimulateConfig) -> None:
    """The folder is of one setting; how many scenes and clips of each there are may grow."""
    fields = ("frames", "width", "height", "fps", "fov", "styles", "kinds")
    lens = lens_from_fov(cfg.fov, cfg.width, cfg.height)
    open_folder(
        cfg.out,
        "clips of dreamx data render",
        (r"\d{7,}_\d{2,}\.safetensors", r"skipped\.txt"),
        {name: getattr(cfg, name) for name in fields},
        old=lambda: refuse_other_pictures(cfg.out, cfg.frames, cfg.width, cfg.height, cfg.fps, lens),
    )


def _say_skipped(path: Path, lost: dict[str, str]) -> None:
    """Write the failures of this run, which tried all missing clips: the same after a run that was killed."""
    if not lost:
        path.unlink(missing_ok=True)
        return
    lines = (f"scene {seed}: {why}\n" for seed, why in sorted(lost.items(), key=lambda x: int(x[0])))
    atomic.write_text(path, "".join(lines))


def make_scene(cfg: SimulateConfig, seed: int) -> None:
    """All missing clips of one scene."""
    here = the_scene(cfg, seed)
    with Renderer(here, cfg.width, cfg.height) as renderer:
        for index in range(cfg.clips):
            target = clip_path(cfg, seed, index)
            if not target.exists():
                make_clip(cfg, here, renderer, index).save(target)


def the_scene(cfg: SimulateConfig, seed: int) -> Scene:
    """The scene of a seed, in one of the looks and kinds that are asked for; a home place has its own look."""
    rng = np.random.default_rng([seed, 3])
    style, kind = str(rng.choice(cfg.styles)), str(rng.choice(cfg.kinds))
    return place(seed, None if kind in HOMES else style, kind)


def make_clip(cfg: SimulateConfig, here: Scene, renderer: Renderer, index: int) -> Clip:
    """One walk through a scene, rendered. A pure function of the configuration, the scene and the index."""
    rng = np.random.default_rng([here.seed, index, 11])
    start = here.start(index)
    start = Camera(start.pose, torch.tensor(lens_from_fov(cfg.fov, cfg.width, cfg.height)))
    keys = keys_for(here, start, cfg.frames, rng, Speed(fps=cfg.fps))
    cameras, actions = path(start, keys, Speed(fps=cfg.fps))
    if not clear(here, cameras):
        raise RuntimeError(f"the walk of clip {index} runs into something")
    pictures = [renderer.render(cameras[i]) for i in range(len(cameras))]
    video, depth = torch.stack([p for p, _ in pictures]), torch.stack([d for _, d in pictures]).half()
    return Clip(video, cameras, actions, depth, cfg.fps, caption(here, start, rng), here.style, here.kind, here.seed,
                source="dreamx simulator", licence="Apache-2.0")  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """The clips of ``cfg`` as a source of a run (``dreamx.data.engine``): each a pure function of its number."""

    cfg: SimulateConfig

    @staticmethod
    def of(cfg: SimulateConfig) -> Rendered:
        """Without what the clips do not depend on."""
        return Rendered(replace(cfg, out=Path(), processes=0, into=Into()))

    @property
    def names(self) -> list[str]:
        """Scene and number of each clip."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        seeds = range(self.cfg.first_seed, self.cfg.first_seed + self.cfg.scenes)
        return [clip_path(self.cfg, seed, index).stem for seed in seeds for index in range(self.cfg.clips)]

    def clip(self, i: int) -> Clip:
        """Render clip ``i``. ``Halt`` where this machine cannot draw."""
        from dreamx.data.engine import Halt

        seed, index = self.cfg.first_seed + i // self.cfg.clips, i % self.cfg.clips
        try:
            here, renderer = _open(self.cfg, seed)
        except CannotDraw as e:
            raise Halt(str(e)) from e
        return make_clip(self.cfg, here, renderer, index)


def _open(cfg: SimulateConfig, seed: int) -> tuple[Scene, Renderer]:
    """The scene and its renderer, those of the last clip if they are the same: the clips of a scene come one after another."""
    about = (seed, cfg.width, cfg.height, cfg.styles, cfg.kinds)
    if about not in _OPEN:
        _OPEN.clear()
        _CLOSE.close()
        here = the_scene(cfg, seed)
        _OPEN[about] = here, _CLOSE.enter_context(Renderer(here, cfg.width, cfg.height))
    return _OPEN[about]


_OPEN: dict[tuple[int, int, int, tuple[str, ...], tuple[str, ...]], tuple[Scene, Renderer]] = {}
_CLOSE = ExitStack()
