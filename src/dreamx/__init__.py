"""dreamx: an open interactive world model.

    world = dreamx.load("tiny")
    first = world.reset(picture, "a quiet square", seed=7)
    frames = world.step(dreamx.from_keys(["w"] * world.frames_per_step))

The names below are imported when they are first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dreamx.openmp import limit_spinning
from dreamx.version import __version__

if TYPE_CHECKING:
    from dreamx.clip import Clip
    from dreamx.env import Env
    from dreamx.frames import Frames
    from dreamx.geometry import KEYS, Camera, Controls, Speed, from_keys, walk
    from dreamx.model.dit import DiT
    from dreamx.rollout import rollout
    from dreamx.vector_env import VectorEnv
    from dreamx.world import World, load

__all__ = [
    "KEYS",
    "Camera",
    "Clip",
    "Controls",
    "DiT",
    "Env",
    "Frames",
    "Speed",
    "VectorEnv",
    "World",
    "__version__",
    "from_keys",
    "load",
    "rollout",
    "walk",
]

limit_spinning()  # before any of them loads torch

_HOMES = {
    "dreamx.geometry": ("KEYS", "Camera", "Controls", "Speed", "from_keys", "walk"),
    "dreamx.clip": ("Clip",),
    "dreamx.env": ("Env",),
    "dreamx.frames": ("Frames",),
    "dreamx.model.dit": ("DiT",),
    "dreamx.rollout": ("rollout",),
    "dreamx.vector_env": ("VectorEnv",),
    "dreamx.world": ("World", "load"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'dreamx' has no attribute {name!r}")
