"""Simulated clips: of which settings they are, and each as a pure function of its name; ``Simulated`` is a source of datasets."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from dreamx.bounds import FieldOfView, FrameCount, FrameRate, OutputFolder, Pixels, PositiveInt, Seed, Workers
from dreamx.clip import Clip, refuse_held_out
from dreamx.config import to_json
from dreamx.data.opengl import CannotDraw
from dreamx.data.output_options import Into
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import ALL_KINDS, place
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import KINDS, STYLES, Scene
from dreamx.data.sim.clips import ATTEMPTS, TWINS, drawn
from dreamx.data.sim.take import SUBSETS, SimulatedShot
from dreamx.data.sim.walks import WALK
from dreamx.data.sim.weather_walks import ON_FOOT


@dataclass(frozen=True)
class SimulateConfig:
    """Simulate clips: walks, clips in first and third person, and events."""

    out: OutputFolder
    """Folder of the clips, or of the dataset."""
    subset: tuple[str, ...] = tuple(SUBSETS)
    """Some of walk (in which nothing moves), weather (the same walks, with fog, rain, night or darkness), both also in home
    places; first_person, third_person, events, and still: the same clips as events, in which nothing happens."""
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
    """Looks of the random scenes, one drawn for each; a home place has its own."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of random scenes; of walk and weather also home places (village, cottage, castle, island, winter, workshop)."""
    evaluation: bool = False  # may the seeds be those reserved for evaluation?
    """Allow the seeds that are reserved for evaluation."""
    held_out: bool = False
    """Say everything in the phrasings that are kept for evaluation; walks have none."""
    into: Annotated[Into, tyro.conf.arg(name="")] = Into()
    """A dataset in place of clips, and on what it is made."""

    def __post_init__(self) -> None:
        frames, side, kinds = (1, 1, ALL_KINDS) if set(self.subset) <= set(ON_FOOT) else (9, 8, KINDS)
        least = {"scenes": 1, "clips": 1, "frames": frames, "width": side, "height": side, "first_seed": 0}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"simulate.{name} must be {number} or more, not {getattr(self, name)}")
        for name, known in {"subset": (*ON_FOOT, *SUBSETS, *TWINS), "styles": STYLES, "kinds": kinds}.items():
            got = getattr(self, name)
            if not got or set(got) - set(known):
                raise ValueError(f"simulate.{name} must be some of {', '.join(known)}, not {', '.join(got) or 'nothing'}")
        if not 20 <= self.fov <= 120:
            raise ValueError(f"simulate.fov must lie between 20 and 120 degrees, not {self.fov}")
        if not (self.walks_alone or 1 <= self.fps <= 120):
            raise ValueError(f"simulate.fps must lie between 1 and 120, not {self.fps}")
        if not self.evaluation:
            refuse_held_out(self.first_seed + self.scenes - 1)
        if self.held_out and (self.walks_alone or not self.evaluation):
            raise ValueError("simulate.held_out: those phrasings are kept for evaluation; add --evaluation and its seeds")

    @property
    def walks_alone(self) -> bool:
        """Whether there is nothing but walks."""
        return set(self.subset) == {WALK}

    @property
    def seeds(self) -> range:
        """The seeds of the scenes."""
        return range(self.first_seed, self.first_seed + self.scenes)

    @property
    def shot(self) -> SimulatedShot:
        return SimulatedShot(self.frames, self.fps, self.width, self.height, self.fov, self.held_out)


#: Of ``dreamx data render``: as the worlds that we ship were trained on.
WALKS = SimulateConfig(tyro.MISSING, (WALK,), scenes=300, clips=4, width=64, height=64)


def every_clip(cfg: SimulateConfig) -> list[tuple[int, str, int]]:
    """Return scene seed, subset and index of each clip, in order."""
    return [(seed, subset, index) for seed in cfg.seeds for subset in cfg.subset for index in range(cfg.clips)]


def clip_path(cfg: SimulateConfig, seed: int, subset: str, index: int) -> Path:
    """Return the file of a clip."""
    which = "" if subset == WALK else f"_{subset}"
    return cfg.out / f"{seed:07d}{which}_{index:02d}.safetensors"


def the_scene(cfg: SimulateConfig, seed: int, subset: str) -> Scene:
    """The scene of a seed, in one of the looks and kinds that are asked for; a home place has its own look. Walks have scenes of
    their own."""
    rng = np.random.default_rng([seed, 3 if subset in ON_FOOT else 31])
    style, kind = str(rng.choice(cfg.styles)), str(rng.choice(cfg.kinds))
    return place(seed, None if kind in HOMES else style, kind)


@dataclass(frozen=True)
class Simulated:
    """The clips of ``cfg`` as a source of a run (``dreamx.data.engine``): each is sought and drawn in one go, as in a folder."""

    cfg: SimulateConfig

    @staticmethod
    def of(cfg: SimulateConfig) -> Simulated:
        """Without what the clips do not depend on."""
        return Simulated(replace(cfg, out=Path(), processes=0, into=Into()))

    @property
    def names(self) -> list[str]:
        """Scene, subset and number of each clip."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return [clip_path(self.cfg, *which).stem for which in self._which]

    @cached_property
    def _which(self) -> list[tuple[int, str, int]]:
        return every_clip(self.cfg)

    def recorded(self) -> tuple[str, dict[str, Any]]:
        """Its name and fields in the records of a run: walks alone are recorded as when a simulator of their own made them."""
        said = to_json(self.cfg)
        if self.cfg.walks_alone:
            return "Rendered", {"cfg": {k: v for k, v in said.items() if k not in ("subset", "held_out")}}
        return "Simulated", {"cfg": said}

    def clip(self, i: int) -> Clip:
        """Find and draw clip ``i``. ``Halt`` where this machine cannot draw; ValueError where nothing could be accepted."""
        from dreamx.data.engine import Halt

        seed, subset, index = self._which[i]
        try:
            if subset in ON_FOOT:
                return ON_FOOT[subset](*_open(self.cfg, seed), index, self.cfg.shot)
            clip, tried = drawn(the_scene(self.cfg, seed, subset), subset, index, self.cfg.shot)
        except CannotDraw as e:
            raise Halt(str(e)) from e
        if clip is None:
            why = ", ".join(f"{count} x {reason}" for reason, count in Counter(tried).most_common(4))
            raise ValueError(f"none of {ATTEMPTS} attempts is good: {why}")
        return clip


def _open(cfg: SimulateConfig, seed: int) -> tuple[Scene, Renderer]:
    """The scene and its renderer, those of the last walk if they are the same: the walks of a scene come one after another."""
    about = (seed, cfg.width, cfg.height, cfg.styles, cfg.kinds)
    if about not in _OPEN:
        _OPEN.clear()
        _CLOSE.close()
        here = the_scene(cfg, seed, WALK)
        _OPEN[about] = here, _CLOSE.enter_context(Renderer(here, cfg.width, cfg.height))
    return _OPEN[about]


_OPEN: dict[tuple[int, int, int, tuple[str, ...], tuple[str, ...]], tuple[Scene, Renderer]] = {}
_CLOSE = ExitStack()
