"""Single pictures of many places, with what is in them: what the feature networks of ``eval`` learn from, and are compared with.

A file of stills holds pictures from random free places of some scenes, level or nearly so, with the kind, the look and the hour of each, which
things are in plain view, and its depth. Every file is a pure function of its name and the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamx.data.places import ALL_KINDS, place
from dreamx.data.render import Renderer
from dreamx.data.scene import EYE, KINDS, STYLES, Scene, stand
from dreamx.data.textures import SKIES
from dreamx.geometry.camera import Camera, lens_from_fov, rotation, se3_inverse

#: Things that pictures are asked for: the nouns of landmarks of random scenes.
THINGS = (
    "tree", "house", "tower", "hall", "block", "bench", "lamp", "fountain", "sphere", "obelisk", "statue", "stall", "pavilion", "pond",
    "pillar", "ball", "crate", "cone", "window", "picture", "sofa", "bed", "shelf", "table", "fridge", "plant",
)  # fmt: skip
HOURS = tuple(SKIES)
REACH = 16.0  # metres within which a thing counts as in view
CLOSE = 1.2  # metres that something may stand before the middle of a thing and still be a part of it


@dataclass(frozen=True)
class Stills:
    """Pictures uint8 ``[N, 3, H, W]`` with metric depth ``[N, H, W]``; ``kind``, ``look``, ``hour``: indices ``[N]`` into ``ALL_KINDS``,
    ``STYLES``, ``HOURS``; ``things``: bool ``[N, len(THINGS)]``."""

    pictures: Tensor
    depth: Tensor
    kind: Tensor
    look: Tensor
    hour: Tensor
    things: Tensor


def shoot(scene: Scene, count: int, size: tuple[int, int], fov: float, rng: np.random.Generator, tilt: float = 8.0) -> Stills:
    """``count`` pictures of ``size`` (height, width) from free places of a scene, looking up or down by at most ``tilt`` degrees."""
    lens = torch.tensor(lens_from_fov(fov, size[1], size[0]))
    cameras = [free_view(scene, lens, rng, tilt) for _ in range(count)]
    with Renderer(scene, size[1], size[0]) as renderer:
        shot = [renderer.render(camera) for camera in cameras]
    things = torch.stack([in_view(scene, camera, depth) for camera, (_, depth) in zip(cameras, shot, strict=True)])
    one = torch.ones(count, dtype=torch.long)
    return Stills(
        torch.stack([p for p, _ in shot]),
        torch.stack([d for _, d in shot]),
        one * ALL_KINDS.index(scene.kind),
        one * STYLES.index(scene.style),
        one * HOURS.index(scene.hour),
        things,
    )


def free_view(scene: Scene, lens: Tensor, rng: np.random.Generator, tilt: float = 0.0) -> Camera:
    """A camera at a free place with some room ahead, so that few pictures show nothing but a wall."""
    ground = scene.ground()
    x = y = heading = 0.0
    for _ in range(20):
        x, y = (float(v) for v in ground[int(rng.integers(len(ground)))])
        heading = float(rng.uniform(0, 360))
        f, ahead = np.radians(heading), np.arange(0.2, 1.6, 0.2)
        if scene.free(x + ahead * np.cos(f), y + ahead * np.sin(f)).all():
            break
    camera = stand(x, y, heading)
    pose = camera.pose.clone()
    pose[:3, :3] = pose[:3, :3] @ rotation("x", torch.tensor(float(rng.uniform(-tilt, tilt))))
    return Camera(pose, lens)


def in_view(scene: Scene, camera: Camera, depth: Tensor) -> Tensor:
    """Which of ``THINGS`` stand in plain view, by the scene's landmarks and the picture's depth ``[H, W]``: bool ``[len(THINGS)]``."""
    seen = torch.zeros(len(THINGS), dtype=torch.bool)
    view = se3_inverse(camera.pose.double())
    rows, columns = depth.shape
    for mark in scene.landmarks:
        noun = thing(mark.words)
        if noun is None or seen[noun]:
            continue
        for height in (0.5, EYE, 2.6):
            x, y, z = (view[:3, :3] @ torch.tensor([mark.x, -height, mark.y], dtype=torch.float64) + view[:3, 3]).tolist()
            if not 0.3 < z < REACH:
                continue
            u, v = (float(camera.lens[i]) * p / z + float(camera.lens[i + 2]) for i, p in ((0, x), (1, y)))
            if 0.02 < u < 0.98 and 0.02 < v < 0.98 and float(depth[int(v * rows), int(u * columns)]) > z - CLOSE - 0.25 * z:
                seen[noun] = True
    return seen


def thing(words: str) -> int | None:
    """Which of ``THINGS`` a landmark is, by the first of them that its words name."""
    named = [THINGS.index(w) for w in words.replace(",", " ").split() if w in THINGS]
    return named[0] if named else None


def cat(parts: list[Stills]) -> Stills:
    """Several sets as one."""
    return Stills(*(torch.cat([getattr(p, f) for p in parts]) for f in Stills.__dataclass_fields__))


def scene_of(seed: int, kinds: tuple[str, ...], styles: tuple[str, ...]) -> Scene:
    """The scene of a seed among these kinds and looks, each equally often; home places keep their own look."""
    rng = np.random.default_rng([seed, 41])
    kind, style = str(rng.choice(kinds)), str(rng.choice(styles))
    return place(seed, style if kind in KINDS else None, kind)


def save(stills: Stills, path: Path) -> None:
    """Write a set, whole or not at all; depth goes to float16 at a quarter of the size."""
    from safetensors.torch import save_file

    quarter = stills.depth[:, 2::4, 2::4].half().contiguous()
    temporary = path.with_suffix(".tmp")
    save_file({**{f: getattr(stills, f) for f in Stills.__dataclass_fields__}, "depth": quarter}, temporary)
    temporary.replace(path)


def load(path: Path) -> Stills:
    """Read what ``save`` wrote. ValueError, one sentence, where it is something else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return Stills(**load_file(path))
    except (SafetensorError, TypeError) as e:
        raise ValueError(f"{path}: this is no file of stills ({e}); make it again with dreamx data stills") from e
