"""Clips from the simulator: a folder with one file a clip, named by scene seed and index, made by a pool of processes.

A clip that is there is not made again, so an interrupted run goes on where it stopped. A scene that fails is tried once more and
then skipped, with the reason in ``skipped.txt``.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamx.clip import Clip, refuse_held_out
from dreamx.data.caption import caption
from dreamx.data.render import Renderer
from dreamx.data.scene import KINDS, STYLES, Scene, scene
from dreamx.data.walker import clear, keys_for, path
from dreamx.geometry.camera import Camera, lens_from_fov
from dreamx.geometry.controls import Speed


@dataclass(frozen=True)
class SimulateConfig:
    """What to render. ``fov`` is vertical, degrees; ``processes`` 0 means one for each core."""

    out: Path
    scenes: int = 300
    clips: int = 4  # for each scene
    frames: int = 81
    width: int = 64
    height: int = 64
    fps: float = 16.0
    fov: float = 70.0
    first_seed: int = 0
    processes: int = 0
    styles: tuple[str, ...] = STYLES
    kinds: tuple[str, ...] = KINDS
    evaluation: bool = False  # may the seeds be those reserved for evaluation?

    def __post_init__(self) -> None:
        for name in ("scenes", "clips", "frames", "width", "height"):
            if getattr(self, name) < 1:
                raise ValueError(f"simulate.{name} must be 1 or more, not {getattr(self, name)}")
        for name, known in (("styles", STYLES), ("kinds", KINDS)):
            got = getattr(self, name)
            if not got or set(got) - set(known):
                raise ValueError(f"simulate.{name} must be some of {', '.join(known)}, not {', '.join(got) or 'nothing'}")
        if self.first_seed < 0:
            raise ValueError(f"simulate.first_seed must be 0 or more, not {self.first_seed}")
        if not 20 <= self.fov <= 120:
            raise ValueError(f"simulate.fov must lie between 20 and 120 degrees, not {self.fov}")
        if not self.evaluation:
            refuse_held_out(self.first_seed + self.scenes - 1)


def clip_path(cfg: SimulateConfig, seed: int, index: int) -> Path:
    """Where the clip of this scene and index lies."""
    return cfg.out / f"{seed:07d}_{index:02d}.safetensors"


def simulate(cfg: SimulateConfig) -> int:
    """Render what is missing; returns how many clips the folder now holds. ValueError when the machine cannot draw."""
    cfg.out.mkdir(parents=True, exist_ok=True)
    for half_written in cfg.out.glob("*.tmp"):
        half_written.unlink()
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.scenes)
    todo = {s: 0 for s in seeds if not all(clip_path(cfg, s, i).exists() for i in range(cfg.clips))}
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(todo) * cfg.clips, rate="")
        while todo:
            todo = _round(cfg, todo, progress, bar)
    return sum(clip_path(cfg, s, i).exists() for s in seeds for i in range(cfg.clips))


def _round(cfg: SimulateConfig, todo: dict[int, int], progress: Progress, bar: object) -> dict[int, int]:
    """Every seed once, in a pool; returns the seeds to try again, with how often each has failed."""
    again: dict[int, int] = {}
    workers = min(cfg.processes or os.cpu_count() or 1, len(todo))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(make_scene, cfg, seed): seed for seed in todo}
        for job in as_completed(waiting):
            seed = waiting[job]
            try:
                job.result()
            except ValueError as e:
                if "cannot draw" in str(e):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
                again.update(_failed(cfg, seed, todo[seed], e))
            except (Exception, BrokenProcessPool) as e:
                again.update(_failed(cfg, seed, todo[seed], e))
            if seed not in again:
                progress.advance(bar, cfg.clips)  # pyright: ignore[reportArgumentType]
                speed = progress.tasks[0].speed
                progress.update(bar, rate=f"{speed * cfg.frames:.0f} frames/s" if speed else "")  # pyright: ignore[reportArgumentType]
    return again


def _failed(cfg: SimulateConfig, seed: int, before: int, why: BaseException) -> dict[int, int]:
    """Once more for a scene that failed the first time; a line in the log for one that failed twice."""
    if before == 0:
        return {seed: 1}
    last = traceback.extract_tb(why.__traceback__)[-1] if why.__traceback__ else None
    with (cfg.out / "skipped.txt").open("a") as log:
        log.write(f"scene {seed}: {type(why).__name__}: {why} ({f'{Path(last.filename).name}:{last.lineno}' if last else '?'})\n")
    return {}


def make_scene(cfg: SimulateConfig, seed: int) -> None:
    """All missing clips of one scene."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 3])
    place = scene(seed, str(rng.choice(cfg.styles)), str(rng.choice(cfg.kinds)))
    with Renderer(place, cfg.width, cfg.height) as renderer:
        for index in range(cfg.clips):
            target = clip_path(cfg, seed, index)
            if not target.exists():
                make_clip(cfg, place, renderer, index).save(target)


def make_clip(cfg: SimulateConfig, place: Scene, renderer: Renderer, index: int) -> Clip:
    """One walk through a scene, rendered. A pure function of the configuration, the scene and the index."""
    rng = np.random.default_rng([place.seed, index, 11])
    start = place.start(index)
    start = Camera(start.pose, torch.tensor(lens_from_fov(cfg.fov, cfg.width, cfg.height)))
    keys = keys_for(place, start, cfg.frames, rng, Speed(fps=cfg.fps))
    cameras, actions = path(start, keys, Speed(fps=cfg.fps))
    if not clear(place, cameras):
        raise RuntimeError(f"the walk of clip {index} runs into something")
    pictures = [renderer.render(cameras[i]) for i in range(len(cameras))]
    video, depth = torch.stack([p for p, _ in pictures]), torch.stack([d for _, d in pictures]).half()
    return Clip(video, cameras, actions, depth, cfg.fps, caption(place, start, rng), place.style, place.kind, place.seed,
                source="dreamx simulator", licence="Apache-2.0")  # fmt: skip
