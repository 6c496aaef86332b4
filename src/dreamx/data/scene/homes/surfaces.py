"""Surfaces of home places: reflectance as a function of the point on the face.

A surface is a function ``(Spot, Grain) -> [n, 3]`` of reflectance in sRGB, 0 to 1. Detail stands at several sizes, from 3 cm to
some metres, so that a wall has something to show from every distance. Units are metres; ``u`` runs along a face, ``v`` up it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamx.data.scene.textures import noise

Array = NDArray[Any]  # of float64


@dataclass(frozen=True)
class SurfacePoint:
    """Points of one face: ``u``, ``v [n]`` along and up it (metres, or bays), ``xyz [n, 3]`` in the plan, its colour ``[3]``."""

    u: Array
    v: Array
    xyz: Array
    colour: Array
    key: int
    """Tells faces apart, for what is drawn by chance."""


class Grain:
    """Tables of noise, read at any place. ``fine`` scales everything that only a photograph has: 1, or 0 for flat looks."""

    def __init__(self, style: str, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 17])
        self.style = style
        self.fine = {"photoreal": 1.0, "game": 0.0, "stylised": 0.0}[style]
        self._soft = noise(rng, 256, 1.3)
        self._rough = noise(rng, 256, 0.6)
        self._chance = rng.uniform(0, 1, 4096)

    def soft(self, x: Array, y: Array, size: float) -> Array:
        """Clouds of about ``size`` metres, zero mean, unit variance."""
        return self._read(self._soft, x, y, 32 / size)

    def rough(self, x: Array, y: Array, size: float) -> Array:
        """Grain of about ``size`` metres."""
        return self._read(self._rough, x, y, 4 / size)

    def chance(self, *which: Array | int) -> Array:
        """A number in 0..1 for each whole-numbered place, the same at every call."""
        key = np.zeros(1, np.int64)
        for k, w in enumerate(which):
            key = key + np.floor(np.asarray(w, float)).astype(np.int64) * (73856093, 19349663, 83492791, 49979687)[k % 4]
        key = (key ^ (key >> 13)) * 1274126177
        return self._chance[(key ^ (key >> 16)) % len(self._chance)]

    @staticmethod
    def _read(table: Array, x: Array, y: Array, scale: float) -> Array:
        n = len(table)
        a, b = x * scale, y * scale
        i, j = np.floor(a).astype(int), np.floor(b).astype(int)
        p, q = a - i, b - j
        p, q = p * p * (3 - 2 * p), q * q * (3 - 2 * q)
        at = lambda di, dj: table[(j + dj) % n, (i + di) % n]  # noqa: E731
        return (at(0, 0) * (1 - p) + at(1, 0) * p) * (1 - q) + (at(0, 1) * (1 - p) + at(1, 1) * p) * q


Surface = Callable[[SurfacePoint, Grain], Array]


def shaded(colour: Array, by: Array) -> Array:
    """A colour ``[3]`` or ``[n, 3]`` times a brightness ``[n]``."""
    return colour * np.asarray(by)[..., None]


def blend(a: Array, b: Array, share: Array) -> Array:
    """``a`` where ``share [n]`` is 0, ``b`` where it is 1."""
    s = np.clip(share, 0, 1)[..., None]
    return a * (1 - s) + b * s


def plain(s: SurfacePoint, g: Grain) -> Array:
    """Paint: hardly anything, in photographs a breath of dirt."""
    return shaded(s.colour, 1 + g.fine * (0.03 * g.soft(s.u, s.v, 1.0) + 0.02 * g.rough(s.u, s.v, 0.05)))


def plaster(s: SurfacePoint, g: Grain) -> Array:
    """A rendered wall: clouds, stains that run down, dark feet."""
    up = s.xyz[:, 2]
    cloud = 0.05 * g.soft(s.u, s.v, 2.5) + 0.03 * g.rough(s.u, s.v, 0.1)
    foot = -0.22 * np.exp(-up / 0.5) * (1 + 0.4 * g.soft(s.u, s.v, 0.6))
    streak = -0.10 * np.clip(g.soft(s.u, s.v * 0.08, 0.7) - 0.8, 0, 1)
    if g.style == "game":
        cloud = 0.12 * (g.chance(s.u / 0.25, s.v / 0.25, s.key) - 0.5)
        foot = -0.12 * (up < 0.5)
        streak = 0 * up
    if g.style == "stylised":
        cloud, streak = 0.05 * np.sign(g.soft(s.u, s.v, 2.0) - 0.3), 0 * up
        foot = -0.14 * (up + 0.12 * g.soft(s.u, s.v, 0.8) < 0.45)
    return shaded(s.colour, 1 + cloud + foot + streak)


def _courses(s: SurfacePoint, width: float, height: float) -> tuple[Array, Array, Array, Array]:
    """Bricks: which row and column, and how far from the nearest joint across and up (metres)."""
    row = np.floor(s.v / height)
    u = s.u / width + 0.5 * (row % 2)
    column = np.floor(u)
    across = np.minimum(u - column, column + 1 - u) * width
    up = np.minimum(s.v / height - row, row + 1 - s.v / height) * height
    return row, column, across, up


def brick(s: SurfacePoint, g: Grain) -> Array:
    """Bricks of 24 by 8 cm; in games twice as large."""
    k = 1.0 if g.style == "photoreal" else 2.0
    row, column, across, up = _courses(s, 0.26 * k, 0.09 * k)
    joint = np.minimum(across, up) < 0.007 * k
    tone = 0.80 + 0.38 * g.chance(row, column, s.key % 7) + 0.06 * g.fine * g.rough(s.u, s.v, 0.04)
    return (
        np.where(joint[:, None], 0.55 * s.colour + 0.28, shaded(s.colour, tone))
        * (1 - 0.15 * np.exp(-s.xyz[:, 2] / 0.4))[:, None]
    )


def ashlar(s: SurfacePoint, g: Grain) -> Array:
    """Blocks of cut stone, 80 by 40 cm, each of its own tone; moss at the feet in photographs and games."""
    row, column, across, up = _courses(s, 0.8, 0.4)
    edge = np.minimum(across, up)
    tone = 0.84 + 0.30 * g.chance(row, column, 5)
    if g.style == "game":
        tone = tone * (0.92 + 0.16 * g.chance(s.u / 0.1, s.v / 0.1, s.key))
    tone = tone + g.fine * (0.06 * g.rough(s.u, s.v, 0.06) + 0.05 * g.soft(s.u, s.v, 0.5))
    out = shaded(s.colour, np.where(edge < 0.025, 0.62, np.where(edge < 0.05, 1.06, 1.0)) * tone)
    moss = (0.5 - s.xyz[:, 2]) * 2 + 0.7 * g.soft(s.u, s.v, 0.7)
    return blend(out, shaded(np.array((0.34, 0.44, 0.20)), 0.9 + 0.2 * g.chance(s.u / 0.1, s.v / 0.1, 3)), (moss > 0.6) * 0.7)


def tiles(s: SurfacePoint, g: Grain) -> Array:
    """Roof tiles in rows of 25 cm with round ends."""
    k = 1.0 if g.style == "photoreal" else 1.8
    row = np.floor(s.v / (0.26 * k))
    u = s.u / (0.22 * k) + 0.5 * (row % 2)
    column = np.floor(u)
    across, up = u - column - 0.5, s.v / (0.26 * k) - row
    tip = up < 0.30 * (2 * across) ** 2 + 0.10
    tone = (0.82 + 0.30 * g.chance(row, column, s.key % 5)) * (0.88 + 0.16 * up)
    tone = tone + 0.08 * g.fine * g.soft(s.u, s.v, 1.5)
    return shaded(s.colour, np.where(tip, 0.58 * tone, tone))


def planks(s: SurfacePoint, g: Grain) -> Array:
    """Boards of 18 cm that run up the face, with grain and nails."""
    board = np.floor(s.u / 0.18)
    off = s.u / 0.18 - board
    length = np.floor(s.v / 1.9 + 7 * g.chance(board, s.key))
    tone = 0.78 + 0.36 * g.chance(board, length, s.key)
    fibre = g.soft(s.u * 6, s.v * 0.5 + board * 3.7, 0.5)
    tone = tone + g.fine * 0.09 * fibre + (0.06 * np.sign(fibre - 0.9) if g.style == "stylised" else 0.0)
    return shaded(s.colour, np.where((off < 0.06) | (off > 0.94), 0.5 * tone, tone))


def boards(s: SurfacePoint, g: Grain) -> Array:
    """A floor of boards that run along the face."""
    return planks(SurfacePoint(s.v, s.u, s.xyz, s.colour, s.key), g)


def timber(s: SurfacePoint, g: Grain) -> Array:
    """Half-timbering: dark beams about panels of plaster, one storey of one bay for each unit of ``u`` and ``v``."""
    a, b = s.u - np.floor(s.u), s.v - np.floor(s.v)
    brace = np.abs(a - 0.5) * 1.15 + 0.04
    lean = (g.chance(np.floor(s.u), np.floor(s.v), s.key) > 0.55) & (np.abs(b - brace) < 0.05)
    beam = (a < 0.045) | (a > 0.955) | (b < 0.07) | (b > 0.95) | lean
    wood = shaded(np.array((0.30, 0.19, 0.11)), 1 + 0.18 * g.soft(s.u * 9, s.v * 9, 0.8))
    panel = shaded(s.colour, 1 + 0.05 * g.soft(s.u * 2, s.v * 2, 1.0))
    return np.where(beam[:, None], wood, panel)


def cells(g: Grain, x: Array, y: Array, size: float, key: int = 0) -> tuple[Array, Array]:
    """Stones: the distance to the nearest joint (share of ``size``) and a number in 0..1 for each stone (Voronoi cells)."""
    a, b = x / size, y / size
    i, j = np.floor(a), np.floor(b)
    first, second, who = np.full(a.shape, 9.0), np.full(a.shape, 9.0), np.zeros(a.shape)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            p = i + di + 0.5 + 0.7 * (g.chance(i + di, j + dj, key) - 0.5)
            q = j + dj + 0.5 + 0.7 * (g.chance(i + di, j + dj, key + 1) - 0.5)
            d = np.hypot(a - p, b - q)
            closer = d < first
            second = np.where(closer, first, np.minimum(second, d))
            who = np.where(closer, g.chance(i + di, j + dj, key + 2), who)
            first = np.where(closer, d, first)
    return second - first, who


def cobbles(s: SurfacePoint, g: Grain) -> Array:
    """Paving of round stones, 25 cm; square slabs in games, broad ones in drawings."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    if g.style == "game":
        tone = 0.80 + 0.34 * g.chance(x / 0.5, y / 0.5, 1)
        return shaded(s.colour, tone * (0.93 + 0.14 * g.chance(x / 0.125, y / 0.125, 2)))
    size = 0.28 if g.style == "photoreal" else 0.7
    gap, who = cells(g, x, y, size)
    tone = 0.76 + 0.36 * who + g.fine * (0.10 * g.soft(x, y, 3.0) + 0.05 * g.rough(x, y, 0.05))
    return shaded(s.colour, np.where(gap < 0.13, 0.62, 1.0 + 0.08 * g.fine * np.clip(gap, 0, 0.6)) * tone)


def grass(s: SurfacePoint, g: Grain) -> Array:
    """A meadow: patches, tufts, and flowers here and there."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    if g.style == "game":
        tone = 0.82 + 0.22 * g.chance(x / 0.5, y / 0.5, 1) + 0.18 * (g.chance(x / 0.125, y / 0.125, 2) - 0.5)
        return shaded(s.colour, tone)
    if g.style == "stylised":
        tone = 1 + 0.07 * np.sign(g.soft(x, y, 2.5)) + 0.06 * (g.rough(x, y * 0.35, 0.12) > 1.4)
        return shaded(s.colour, tone)
    tone = 1 + 0.14 * g.soft(x, y, 4.0) + 0.12 * g.rough(x, y * 0.6, 0.07) + 0.08 * g.soft(x, y, 0.5)
    dry = blend(shaded(s.colour, tone), shaded(np.array((0.62, 0.58, 0.30)), tone), 0.5 * (g.soft(x + 40, y, 5.0) - 0.4))
    flower = (g.chance(x / 0.09, y / 0.09, 9) > 0.995) & (g.soft(x, y + 50, 3.0) > 0.2)
    return np.where(flower[:, None], np.array((0.95, 0.90, 0.70)), dry)


def gravel(s: SurfacePoint, g: Grain) -> Array:
    """A path: small stones and ruts."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    if g.style == "game":
        return shaded(s.colour, 0.86 + 0.26 * g.chance(x / 0.125, y / 0.125, 4))
    if g.style == "stylised":
        return shaded(s.colour, 1 + 0.08 * (cells(g, x, y, 0.5)[0] < 0.1) * -1 + 0.03 * np.sign(g.soft(x, y, 1.5)))
    return shaded(s.colour, 1 + 0.09 * g.soft(x, y, 1.5) + 0.12 * g.rough(x, y, 0.05) + 0.06 * (cells(g, x, y, 0.12)[1] - 0.5))


def sand(s: SurfacePoint, g: Grain) -> Array:
    """A beach: ripples that the wind made."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    if g.style == "game":
        return shaded(s.colour, 0.92 + 0.14 * g.chance(x / 0.25, y / 0.25, 5))
    ripple = np.sin(14 * (x + 0.35 * y) + 2.2 * g.soft(x, y, 1.2))
    return shaded(s.colour, 1 + 0.035 * ripple + 0.05 * g.soft(x, y, 2.0) + 0.04 * g.fine * g.rough(x, y, 0.05))


def snow(s: SurfacePoint, g: Grain) -> Array:
    """Snow: soft drifts, bluish in the hollows; a spark here and there."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    drift = g.soft(x, y, 3.0) if g.style != "stylised" else 0.9 * np.sign(g.soft(x, y, 3.0) - 0.2)
    out = blend(np.broadcast_to(s.colour, (len(x), 3)), np.array((0.72, 0.80, 0.95)), 0.16 + 0.16 * drift)
    return out + 0.06 * (g.chance(x / 0.06, y / 0.06, 6) > 0.992)[:, None]


def water(s: SurfacePoint, g: Grain) -> Array:
    """Water: broad waves and light rings, as seen from above and aside."""
    x, y = s.xyz[:, 0], s.xyz[:, 1]
    if g.style == "game":
        wave = 0.10 * (g.chance(x / 0.5, y / 0.5, 7) > 0.8) + 0.06 * (g.chance(x / 0.25, y / 0.25, 8) - 0.5)
        return s.colour * (1 + wave)[:, None]
    ring = np.abs(g.soft(x * 1.0, y * 2.0, 1.6))
    glint = np.clip(0.22 - ring, 0, 1) * (1.6 if g.style == "photoreal" else 0) + 0.25 * (ring < 0.09) * (g.style == "stylised")
    return shaded(s.colour, 1 + 0.10 * g.soft(x, y * 2, 3.0)) + glint[:, None] * 0.6


def leaves(s: SurfacePoint, g: Grain) -> Array:
    """Foliage: clumps of light and dark, and single leaves."""
    x, y = s.u, s.v
    if g.style == "game":
        return shaded(s.colour, 0.62 + 0.60 * g.chance(x / 0.16, y / 0.16, s.key % 97))
    if g.style == "stylised":
        return shaded(s.colour, 1 + 0.13 * np.sign(g.soft(x + s.key, y, 0.8)) + 0.10 * (g.soft(x, y + s.key, 0.5) > 1.2))
    gap, who = cells(g, x + s.key % 31, y, 0.11)
    tone = 0.62 + 0.62 * who + 0.20 * g.soft(x + s.key % 17, y, 0.8) - 0.22 * (gap < 0.12)
    return blend(shaded(s.colour, tone), shaded(np.array((0.78, 0.80, 0.36)), tone), 0.45 * (who - 0.6))


def bark(s: SurfacePoint, g: Grain) -> Array:
    """A trunk: furrows that run up it; birches have dark rings."""
    tone = 1 + (0.24 if g.fine else 0.14) * g.soft(s.u * 5, s.v * 0.7, 0.6)
    ring = (g.soft(s.u * 0.6, s.v * 4, 0.7) > 1.1) & (s.colour.mean() > 0.6)
    return np.where(ring[:, None], np.array((0.20, 0.18, 0.17)), shaded(s.colour, tone))


def rock(s: SurfacePoint, g: Grain) -> Array:
    """Bare rock: cracks and lichen."""
    x, y = s.u + s.xyz[:, 0], s.v + s.xyz[:, 1]
    if g.style == "game":
        return shaded(s.colour, 0.76 + 0.42 * g.chance(s.u / 0.2, s.v / 0.2, s.key % 89))
    crack = cells(g, x, y, 0.7)[0] < 0.05
    tone = 1 + 0.12 * g.soft(x, y, 1.2) + 0.10 * g.fine * g.rough(x, y, 0.07)
    lichen = shaded(np.array((0.60, 0.62, 0.40)), tone)
    return blend(shaded(s.colour, np.where(crack, 0.62, tone)), lichen, g.fine * 0.5 * (g.soft(x, y + 9, 0.9) - 0.8))
