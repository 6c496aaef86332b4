"""The home places by name, as scenes: built, lit and kept in a folder of the user's cache, so that a place is baked once a machine."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from dreamx.data.build import Builder
from dreamx.data.homes import castle, cottage, island, village, winter, workshop
from dreamx.data.homes.bake import bake
from dreamx.data.homes.fittings import SURFACES
from dreamx.data.homes.sky import paint_sky
from dreamx.data.scene import CELL, DOME, EYE, RADIUS, Part, Scene

HOMES: dict[str, ModuleType] = {m.NAME: m for m in (village, cottage, castle, island, winter, workshop)}


def home(name: str, side: int = 4096, density: float = 24.0, samples: float = 2.5) -> Scene:
    """A home place. ValueError where there is none of that name."""
    if name not in HOMES:
        raise ValueError(f"home: {name!r} is not one of {', '.join(HOMES)}")
    m = HOMES[name]
    number = list(HOMES).index(name)
    b = Builder(m.STYLE, m.HALF, np.random.default_rng([number, 29]))
    plan = m.build(b)
    plan.lay(b)
    b.sun = m.LIGHT.azimuth
    baked = bake(b, {**SURFACES, "ground": plan.surface(SURFACES, m.STYLE)}, m.LIGHT, m.SKY is not None, side, density, samples)
    first = np.arange(len(baked.corners) // 4)[:, None] * 4
    triangles = np.concatenate([first + np.array((0, 1, 2)), first + np.array((0, 2, 3))])
    parts = [Part(baked.corners, baked.normals, baked.places, triangles, baked.texture, True)]
    if m.SKY is not None:
        parts += _surroundings(m, number)
    return Scene(number, m.STYLE, name, m.WORDS, "noon", b.sun, tuple(b.landmarks), tuple(parts), b.occupied(CELL, RADIUS), m.HALF)


def _surroundings(m: ModuleType, seed: int) -> list[Part]:
    """The dome of the sky, and the far ground out to it in the colour of the nearest hills."""
    columns, rows = 64, 24
    azimuth, elevation = np.linspace(0, 2 * np.pi, columns + 1), np.radians(np.linspace(-30, 90, rows + 1))
    point = np.stack([np.cos(elevation)[:, None] * np.cos(azimuth), np.cos(elevation)[:, None] * np.sin(azimuth),
                      np.sin(elevation)[:, None] + 0 * azimuth], -1)  # fmt: skip
    quads, places = [], []
    for i in range(rows):
        for j in range(columns):
            for p, q in ((i, j + 1), (i, j), (i + 1, j), (i + 1, j + 1)):
                quads.append(point[p, q] * DOME + (0, 0, EYE))
                places.append((q / columns, 0.001 + 0.998 * p / rows))
    dome = np.array(quads)
    n = np.arange(rows * columns)[:, None] * 4
    triangles = np.concatenate([n + np.array((0, 1, 2)), n + np.array((0, 2, 3))])
    picture = paint_sky(m.SKY, m.LIGHT.azimuth, m.LIGHT.height, m.STYLE, seed)
    sky = Part(dome, -dome / DOME, np.array(places), triangles, picture, True)
    h, e = m.HALF, DOME + 5
    near = np.array([(-h, -h, -0.02), (h, -h, -0.02), (h, h, -0.02), (-h, h, -0.02)])
    far = near / h * e
    skirt = np.concatenate([np.stack([far[i], far[(i + 1) % 4], near[(i + 1) % 4], near[i]]) for i in range(4)])
    tone = np.array(m.FAR if hasattr(m, "FAR") else m.SKY.ridges[-1][1])
    grad = np.linspace(0, 1, 64)[:, None, None] * np.ones((1, 64, 1))
    colour = np.clip(255 * (tone * grad + (0.75 * tone + 0.25 * np.array(m.SKY.horizon)) * (1 - grad)), 0, 255)
    unit = np.tile(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float), (4, 1))
    k = np.arange(4)[:, None] * 4
    corners = np.concatenate([k + np.array((0, 1, 2)), k + np.array((0, 2, 3))])
    up = np.tile((0.0, 0.0, 1.0), (16, 1))
    return [sky, Part(skirt, up, unit, corners, colour[::-1].astype(np.uint8), True)]
