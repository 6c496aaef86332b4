"""Walks: a place in which nothing moves, seen by the eye of somebody who walks through it."""

from __future__ import annotations

import numpy as np
import torch

from dreamx.clip import Clip
from dreamx.data.scene.caption import caption
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import Scene
from dreamx.data.sim.take import SimulatedShot
from dreamx.data.sim.walker import clear, keys_for, path
from dreamx.geometry.camera import Camera, lens_from_fov

WALK = "walk"  # the subset


def film_walk(here: Scene, renderer: Renderer, index: int, shot: SimulatedShot) -> Clip:
    """One walk through a scene, rendered. A pure function of the scene, the index and the shot."""
    rng = np.random.default_rng([here.seed, index, 11])
    start = Camera(here.start(index).pose, torch.tensor(lens_from_fov(shot.fov, shot.width, shot.height)))
    cameras, actions = path(start, keys_for(here, start, shot.frames, rng, shot.speed), shot.speed)
    if not clear(here, cameras):
        raise RuntimeError(f"the walk of clip {index} runs into something")
    pictures = [renderer.render(cameras[i]) for i in range(len(cameras))]
    video, depth = torch.stack([p for p, _ in pictures]), torch.stack([d for _, d in pictures]).half()
    return Clip(video, cameras, actions, depth, shot.fps, caption(here, start, rng), here.style, here.kind, here.seed,
                source="dreamx simulator", licence="Apache-2.0")  # fmt: skip
