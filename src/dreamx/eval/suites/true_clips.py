"""The true video of a path through a held-out scene: chosen by geometry alone, rendered once, kept in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.clip import Clip
from dreamx.data.scene.caption import caption
from dreamx.data.scene.render import render_path
from dreamx.data.scene.scene import KINDS, STYLES, Scene, scene
from dreamx.data.sim import walker
from dreamx.eval import baselines
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.geometry.controls import KEYS, Speed, from_keys, walk
from dreamx.geometry.path import out_and_back, turn
from dreamx.source_hash import source_hash

PATHS = ("walk", "turn360", "out_and_back")
_STARTS = 40  # places of a scene that are tried before it counts as having no clear path
_HEADINGS = (0.0, 30.0, -30.0, 60.0, -60.0, 90.0, -90.0, 135.0, -135.0, 180.0)


@dataclass(frozen=True)
class VideoFormat:
    """Format of the model's video: picture, lens, frames per second."""

    height: int
    width: int
    lens: tuple[float, ...]
    fps: float


@dataclass(frozen=True)
class TrueCase:
    """One path through one scene: what is true, and what geometry alone makes of its first frame (uint8 ``[F, 3, H, W]``)."""

    truth: Clip
    warp: Tensor


def key_scripts(path: str, seed: int, fps: float) -> list[list[str]]:
    """The key presses that a path may consist of, best first: 5 s of walking, one whole turn, 2.5 s out and as much back.

    A walk bends gently (a quarter of its frames turn), and more where the place is narrow. Left is preferred for even seeds.
    """
    sides = ("jl", "lj")[seed % 2]
    if path == "turn360":
        return [turn(round(360 / Speed().degrees_per_second * fps), sides[0])]
    if path == "out_and_back":
        return [out_and_back(2 * round(2.5 * fps))]
    if path == "walk":
        bends = [(every, side) for every in (4, 3, 2, 1) for side in sides]
        return [["w" + side * (i % every == 0) for i in range(round(5 * fps))] for every, side in bends]
    raise ValueError(f"path {path!r} is not one of {', '.join(PATHS)}")


def clear_path(place: Scene, path: str, view: VideoFormat) -> tuple[list[str], Camera]:
    """The first script, start and heading that touch nothing: the keys that lead to frames 1 on, and the camera of frame 0.

    Deterministic, and blind to every model. ValueError when the scene has no such path.
    """
    starts = list(_starts(place, view))
    for keys in key_scripts(path, place.seed, view.fps):
        there = walk(level(view.lens), from_keys(keys, Speed(fps=view.fps)))
        for start in starts:
            if walker.clear(place, Camera(start.pose @ there.pose, there.lens)):
                return keys, start
    raise ValueError(f"scene {place.seed}: no clear {path} from any of {_STARTS} places")


def _starts(place: Scene, view: VideoFormat) -> Iterator[Camera]:
    for index in range(_STARTS):
        pose = place.start(index).pose
        for heading in _HEADINGS:
            yield Camera(pose @ rigid(rotation("y", torch.tensor(heading)), torch.zeros(3)), torch.tensor(view.lens))


def held_keys(actions: Tensor) -> list[str]:
    """The keys of a clip's ``actions [T, 8]`` that led to each frame but the first."""
    return ["".join(k for k, on in zip(KEYS, row, strict=True) if on) for row in actions[1:].tolist()]


def render_truth(seed: int, path: str, view: VideoFormat) -> Clip:
    """A path through the scene of a seed, every frame with its depth. Kinds and styles of scene take turns with the seed."""
    place = scene(seed, STYLES[seed // len(KINDS) % len(STYLES)], KINDS[seed % len(KINDS)])
    keys, start = clear_path(place, path, view)
    cameras, actions = walker.path(start, keys, Speed(fps=view.fps))
    video, depth = render_path(place, cameras, view.width, view.height)
    words = caption(place, start, np.random.default_rng([seed, 13]))
    return Clip(video, cameras, actions, depth.half(), view.fps, words, place.style, place.kind, seed, "dreamx simulator")


def case_files(folder: Path, seed: int, path: str, view: VideoFormat) -> tuple[Path, Path]:
    """Return the files of a case: the truth, and its warp, which is written last."""
    name = f"{seed}-{path}-{view.width}x{view.height}-{simulator_hash()}-{_hash(repr(view).encode())}"
    return folder / f"{name}.safetensors", folder / f"{name}.warp.safetensors"


def load_case(folder: Path, seed: int, path: str, view: VideoFormat) -> TrueCase:
    """The case, from ``folder`` or made and kept there. A change of the simulator's or the warp's code makes it anew."""
    clip_file, warp_file = case_files(folder, seed, path, view)
    if warp_file.exists():  # written last: then both are there
        return TrueCase(Clip.load(clip_file), tensor_file.load(warp_file)["video"])
    folder.mkdir(parents=True, exist_ok=True)
    clip = render_truth(seed, path, view)
    clip.save(clip_file)
    case = TrueCase(clip, warp_of(clip))
    with atomic.whole(warp_file) as temporary:
        save_file({"video": case.warp}, temporary)
    return case


def warp_of(clip: Clip) -> Tensor:
    """The baseline ``warp`` on this clip: its first frame and the true depth of that, seen from all of its cameras."""
    if clip.depth is None:
        raise ValueError("the clip has no depth; the warp baseline needs that of the first frame")
    return baselines.warp(clip.video[0], clip.depth[0], clip.camera[0], clip.camera)


def simulator_hash() -> str:
    """A hash of all code that a case depends on, so that a kept file is never that of another simulator."""
    return source_hash(__name__)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:10]
