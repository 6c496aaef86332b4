"""The map of a scene: ways around what stands there, free rectangles, lines of sight. Nothing is drawn here."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamx.data.scene.scene import CELL, EYE, FOV, Scene
from dreamx.data.sim.bodies import EventSpot

_GRID = 3  # map cells to one cell of the way finder
REACH = {"room": 6.0, "maze": 8.4, "park": 12.0, "plaza": 9.5}  # metres from the middle that are worth a visit


class Rejected(Exception):
    """A path or an event that is not taken; the words are the reason, the same for every case of it."""


@dataclass(frozen=True)
class StandingPlace:
    """A pose on the plan: metres, degrees from east to north, degrees up."""

    x: float
    y: float
    heading: float
    pitch: float = 0.0


def some_free(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """A free place near the middle of the scene."""
    if scene.standing is not None:
        x, y = scene.standing[int(rng.integers(len(scene.standing)))]
        return float(x), float(y)
    reach = REACH[scene.kind]
    for _ in range(200):
        x, y = rng.uniform(-reach, reach, 2)
        if scene.free(x, y):
            return float(x), float(y)
    raise Rejected("no free ground")


def in_line(scene: Scene, a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Can one walk straight from a to b?"""
    n = max(2, int(np.hypot(b[0] - a[0], b[1] - a[1]) / (CELL / 2)))
    t = np.linspace(0, 1, n)
    return bool(scene.free(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])).all())


def open_way(scene: Scene, x: float, y: float, heading: float, far: float) -> float:
    """Metres that are free ahead, up to ``far``."""
    f, t = np.radians(heading), np.arange(CELL, far + CELL, CELL)
    free = scene.free(x + t * np.cos(f), y + t * np.sin(f))
    return float(far if free.all() else t[int(np.argmin(free))] - CELL)


def find_way(scene: Scene, a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners of a short way from a to b, without a: A* on a coarse grid, corners cut where free. Rejected: there is none."""
    coarse = _coarse(scene)
    n, size = len(coarse), CELL * _GRID

    def cell(p: tuple[float, float]) -> tuple[int, int]:
        return min(max(int((p[1] + scene.half) / size), 0), n - 1), min(max(int((p[0] + scene.half) / size), 0), n - 1)

    start, goal = cell(a), cell(b)
    came, cost, queue = {start: start}, {start: 0.0}, [(0.0, start)]
    while queue:
        _, at = heapq.heappop(queue)
        if at == goal:
            break
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            to = (at[0] + di, at[1] + dj)
            if (
                not (0 <= to[0] < n and 0 <= to[1] < n)
                or (coarse[to] and to != goal)
                or (di and dj and (coarse[at[0], to[1]] or coarse[to[0], at[1]]))
            ):
                continue
            new = cost[at] + float(np.hypot(di, dj))
            if new < cost.get(to, np.inf):
                cost[to], came[to] = new, at
                heapq.heappush(queue, (new + float(np.hypot(goal[0] - to[0], goal[1] - to[1])), to))
    if goal not in came:
        raise Rejected("no way to the goal")
    cells = [goal]
    while cells[-1] != start:
        cells.append(came[cells[-1]])
    corners = [a, *[((j + 0.5) * size - scene.half, (i + 0.5) * size - scene.half) for i, j in cells[-2:0:-1]], b]
    way, at = [], 0
    while at < len(corners) - 1:
        to = next((k for k in range(len(corners) - 1, at + 1, -1) if in_line(scene, corners[at], corners[k])), at + 1)
        way.append(corners[to])
        at = to
    return way


def _coarse(scene: Scene) -> NDArray[np.bool_]:
    n = len(scene.blocked) // _GRID
    return scene.blocked[: n * _GRID, : n * _GRID].reshape(n, _GRID, n, _GRID).max((1, 3))


def find_spot(scene: Scene, rng: np.random.Generator, length: float, width: float) -> EventSpot:
    """A free rectangle; the rim of the walker's own radius around the map's walls may belong to it. Rejected: none found."""
    for _ in range(250):
        x, y = some_free(scene, rng)
        heading = float(rng.choice((0, 90, 180, 270)) if scene.kind in ("maze", "room") else rng.uniform(0, 360))
        spot = EventSpot(x, y, heading, length, width)
        u = np.arange(-length / 2 + 0.2, length / 2 - 0.15, 0.15)
        v = np.arange(-width / 2 + 0.3, max(width / 2 - 0.3, -width / 2 + 0.31), 0.15)
        p = np.array([spot.at(float(i), float(j))[:2] for i in (u[0], u[-1]) for j in (v[0], v[-1])])
        if not scene.free(p[:, 0], p[:, 1]).all():
            continue
        p = np.array([spot.at(float(i), float(j))[:2] for i in u for j in v])
        if scene.free(p[:, 0], p[:, 1]).all():
            return spot
    raise Rejected("no room for the event")


def find_view(scene: Scene, rng: np.random.Generator, spot: EventSpot, tall: float, aside: bool = False) -> StandingPlace:
    """Somewhere to see a spot from, all of it in the picture if the place allows. Rejected: none found.

    ``aside``: never along its length, where things hide one another.
    """
    want = max(0.5 * spot.length / np.tan(np.radians(FOV / 2)) + 0.6, 1.15 * tall + 0.5)
    best: tuple[float, StandingPlace] | None = None
    for _ in range(120):
        a, far = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(1.7, max(want + 1.2, 3.0)))
        x, y = float(spot.x + far * np.cos(a)), float(spot.y + far * np.sin(a))
        if not scene.free(x, y) or not in_line(scene, (x, y), (spot.x, spot.y)):
            continue
        u, v = (spot.way(1.0)[i] * (x - spot.x) + spot.way(1.0)[1 - i] * (y - spot.y) * (1 if i == 0 else -1) for i in (0, 1))
        if abs(u) < spot.length / 2 + 0.3 and abs(v) < spot.width / 2 + 0.4:
            continue  # one would stand in it
        broad = abs(np.sin(a - np.radians(spot.heading)))  # 1: one looks across its length
        if aside and broad < 0.35:
            continue
        ends = [spot.at(k * spot.length / 2, 0)[:2] for k in (-0.9, 0.9)]
        seen = sum(in_line(scene, (x, y), end) for end in ends)
        score = seen + 0.5 * float(broad) - 0.5 * abs(far - max(want * (0.5 + 0.5 * float(broad)), 1.1 * tall))
        if best is None or score > best[0]:
            heading = float(np.degrees(np.arctan2(spot.y - y, spot.x - x)))
            best = score, StandingPlace(x, y, heading, -float(np.degrees(np.arctan2(EYE - 0.45 * tall, far))))
    if best is None:
        raise Rejected("nowhere to see it from")
    return best[1]
