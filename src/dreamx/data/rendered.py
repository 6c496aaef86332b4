"""The simulator's first-person walks as a source of a run: each clip a pure function of its number."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from dreamx.clip import Clip
from dreamx.data.engine import Halt
from dreamx.data.render import Renderer
from dreamx.data.scene import Scene, scene
from dreamx.data.simulate import SimulateConfig, make_clip


@dataclass(frozen=True)
class Rendered:
    """Scenes and clips as ``cfg`` says; ``cfg.out`` and ``cfg.processes`` are not looked at."""

    cfg: SimulateConfig

    @property
    def names(self) -> list[str]:
        """Scene and number of each clip."""
        seeds = range(self.cfg.first_seed, self.cfg.first_seed + self.cfg.scenes)
        return [f"{seed:07d}_{index:02d}" for seed in seeds for index in range(self.cfg.clips)]

    def clip(self, i: int) -> Clip:
        """Render clip ``i``. ``Halt`` where this machine cannot draw."""
        seed, index = self.cfg.first_seed + i // self.cfg.clips, i % self.cfg.clips
        try:
            place, renderer = _stage(self.cfg, seed)
        except ValueError as e:
            raise (Halt(str(e)) if "cannot draw" in str(e) else e) from e
        return make_clip(self.cfg, place, renderer, index)


def _stage(cfg: SimulateConfig, seed: int) -> tuple[Scene, Renderer]:
    """The scene and its renderer, those of the last clip if they are the same: the clips of a scene come one after another."""
    about = (seed, cfg.width, cfg.height, cfg.styles, cfg.kinds)
    if about not in _OPEN:
        _OPEN.clear()
        _CLOSE.close()
        rng = np.random.default_rng([seed, 3])
        place = scene(seed, str(rng.choice(cfg.styles)), str(rng.choice(cfg.kinds)))
        _OPEN[about] = place, _CLOSE.enter_context(Renderer(place, cfg.width, cfg.height))
    return _OPEN[about]


_OPEN: dict[tuple[int, int, int, tuple[str, ...], tuple[str, ...]], tuple[Scene, Renderer]] = {}
_CLOSE = ExitStack()
