"""The home places by name, as scenes: built and lit once a machine, then read from the user's cache."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from dreamx import atomic
from dreamx.data.scene.build import Builder
from dreamx.data.scene.homes import (
    bake,
    castle,
    cottage,
    fittings,
    island,
    village,
    winter,
    workshop,
)
from dreamx.data.scene.homes.sky import paint_sky
from dreamx.data.scene.scene import CELL, RADIUS, MeshPart, Scene, dome, skirt
from dreamx.source_hash import source_hash

HOMES: dict[str, ModuleType] = {m.NAME: m for m in (village, cottage, castle, island, winter, workshop)}


@cache
def home(name: str) -> Scene:
    """A home place as a scene, baked on the first call on a machine (a minute or two). ValueError for an unknown name."""
    if name not in HOMES:
        raise ValueError(f"home: {name!r} is not one of {', '.join(HOMES)}")
    m = HOMES[name]
    number = list(HOMES).index(name)
    b = Builder(m.STYLE, m.HALF, np.random.default_rng([number, 29]))
    ground = m.build(b)
    ground.lay(b)
    file = _file(m)
    if file.is_file():
        baked = load_file(file)
    else:
        table = {**fittings.SURFACES, "ground": ground.surface(fittings.SURFACES, m.STYLE)}
        made = bake.bake(b, table, m.LIGHT, outdoors=m.SKY is not None)
        baked = {"corners": made.corners, "normals": made.normals, "places": made.places, "texture": made.texture}
        _keep(file, baked)
    quads = np.arange(len(baked["corners"]) // 4)[:, None] * 4
    triangles = np.concatenate([quads + np.array((0, 1, 2)), quads + np.array((0, 2, 3))])
    parts = [MeshPart(baked["corners"], baked["normals"], baked["places"], triangles, baked["texture"], True)]
    if m.SKY is not None:
        parts += _surroundings(m, number)
    blocked = b.occupied(CELL, RADIUS)
    return Scene(number, m.STYLE, name, m.WORDS, "noon", b.sun, tuple(b.landmarks), tuple(parts), blocked, m.HALF,
                 indoors=m.SKY is None, standing=reachable(blocked, m.HALF, m.SPAWN))  # fmt: skip


def reachable(blocked: NDArray[np.bool_], half: float, spawn: tuple[float, float]) -> NDArray[np.float64]:
    """Free places ``[n, 2]`` that one can walk to from ``spawn``, on a grid of 0.3 m. ValueError where ``spawn`` is not free."""
    step = 3
    free = ~blocked[::step, ::step]
    at = tuple(int((v + half) / CELL / step) for v in (spawn[1], spawn[0]))
    if not free[at]:
        raise ValueError(f"spawn {spawn} stands in something; choose another")
    found = np.zeros_like(free)
    found[at] = True
    while True:
        grown = found.copy()
        grown[1:] |= found[:-1]
        grown[:-1] |= found[1:]
        grown[:, 1:] |= found[:, :-1]
        grown[:, :-1] |= found[:, 1:]
        grown &= free
        if (grown == found).all():
            break
        found = grown
    row, column = np.nonzero(found)
    return np.asarray((np.stack([column, row], -1) * step + 0.5) * CELL - half, np.float64)


def _file(m: ModuleType) -> Path:
    """Return the cache file of a place's baked faces; its name holds a digest of all that they are made by."""
    code = source_hash(m.__name__, bake.__name__)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dreamx" / "homes"
    return folder / f"{m.NAME}-{code}.safetensors"


def _keep(file: Path, baked: dict[str, NDArray[np.generic]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic.whole(file) as temporary:
        save_file(baked, temporary)


def _surroundings(m: ModuleType, seed: int) -> list[MeshPart]:
    """The dome of the sky, and the far ground out to it in the colour of the nearest hills."""
    h, tone = m.HALF, np.array(m.FAR)
    near = np.array([(-h, -h, -0.02), (h, -h, -0.02), (h, h, -0.02), (-h, h, -0.02)])
    near_share = np.linspace(0, 1, 64)[:, None, None] * np.ones((1, 64, 1))
    colour = tone * near_share + (0.75 * tone + 0.25 * np.array(m.SKY.horizon)) * (1 - near_share)
    return [
        dome(64, 24, 0.001, paint_sky(m.SKY, m.LIGHT.azimuth, m.LIGHT.height, m.STYLE, seed)),
        skirt(near, h, np.clip(255 * colour[::-1], 0, 255).astype(np.uint8), True),
    ]
