"""The true video of a path through a held-out scene: chosen by geometry alone, rendered once, kept in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamx import data, geometry
from dreamx.clip import Clip
from dreamx.eval import baselines
from dreamx.geometry.camera import Camera, cat, rigid, rotation
from dreamx.geometry.controls import KEYS, Speed, from_keys, key_vector, walk
from dreamx.geometry.path import out_and_back, turn

PATHS = ("walk", "turn360", "out_and_back")
_STARTS = 40  # places of a scene that are tried before it counts as having no clear path
_HEADINGS = (0.0, 30.0, -30.0, 60.0, -60.0, 90.0, -90.0, 135.0, -135.0, 180.0)


class Place(Protocol):
    """What is asked of a scene: where a path may begin, and whether a camera may stand above these x and z (metres)."""

    def start(self, index: int) -> Camera: ...
    def free(self, x: Tensor, z: Tensor) -> bool: ...


@dataclass(frozen=True)
class View:
    """How the model looks at a world: picture, lens, frames per second."""

    height: int
    width: int
    lens: tuple[float, ...]
    fps: float


def scripts(path: str, seed: int, fps: float) -> list[list[str]]:
    """The key presses that a path may consist of, best first: 5 s of walking, a whole turn, 2.5 s out and as much back.

    A walk bends gently (a quarter of the frames turn), and more where the place is narrow. Left comes first for even seeds.
    """
    left, right = ("jl", "lj")[seed % 2]
    if path == "turn360":
        return [turn(round(360 / Speed().degrees_per_second * fps), left)]
    if path == "out_and_back":
        return [out_and_back(2 * round(2.5 * fps))]
    if path == "walk":
        bends = [(side, every) for every in (4, 2, 1) for side in (left, right)]
        return [["w" + side * (i % every == 0) for i in range(round(5 * fps))] for side, every in bends]
    raise ValueError(f"path {path!r} is not one of {', '.join(PATHS)}")


def clear_path(place: Place, path: str, seed: int, view: View) -> tuple[list[str], Camera]:
    """The first start, heading and script that touch nothing: the keys of frames 1 .., and the cameras of frames 0 ..

    Deterministic and blind to every model. ValueError when the scene has no such path.
    """
    for start in _starts(place, view):
        for keys in scripts(path, seed, view.fps):
            cameras = cat([start[None], walk(start, from_keys(keys, Speed(fps=view.fps)))])
            if place.free(cameras.pose[:, 0, 3], cameras.pose[:, 2, 3]):
                return keys, cameras
    raise ValueError(f"scene {seed}: no clear {path} from any of {_STARTS} places; use another seed")


def _starts(place: Place, view: View) -> Iterator[Camera]:
    lens = torch.tensor(view.lens)
    for index in range(_STARTS):
        start = place.start(index)
        r, p = start.pose[:3, :3], start.pose[:3, 3]
        for heading in _HEADINGS:
            yield Camera(rigid(r @ rotation("y", torch.tensor(heading)), p), lens)


def held(clip: Clip) -> list[str]:
    """The keys that led to each frame but the first."""
    return ["".join(k for k, on in zip(KEYS, row, strict=True) if on) for row in clip.actions[1:].tolist()]


def render_truth(seed: int, path: str, view: View) -> Clip:
    """Walk a path through the scene of a seed, and render every frame with its depth."""
    from dreamx.data.caption import caption
    from dreamx.data.render import render_path
    from dreamx.data.scene import scene

    place = scene(seed)
    keys, cameras = clear_path(_Plan(place), path, seed, view)
    video, depth = render_path(place, cameras, view.width, view.height)
    actions = torch.stack([torch.zeros(len(KEYS)), *(key_vector(k) for k in keys)])
    return Clip(video, cameras, actions, depth.half(), view.fps, caption(place), place.style, place.kind, seed)


