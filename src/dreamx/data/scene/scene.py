"""A scene from a seed: a place one can walk through, and the words for it. A pure function of its arguments.

Plan coordinates are x east, y north, z up; the world of the cameras is OpenCV's: x east, y down, z north, so that gravity
is +y. The simulator knows nothing of clips; ``render`` looks at a scene, ``walker`` walks in it, ``caption`` talks about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dreamx.data.scene import interior, layouts
from dreamx.data.scene.build import Builder, Landmark, Paint
from dreamx.data.scene.textures import COLOURS, SKIES, Picture, sky
from dreamx.events import STYLE_WORDS
from dreamx.geometry.camera import Camera, lens_from_fov, rigid

STYLES = tuple(STYLE_WORDS)
KINDS = ("room", "maze", "park", "plaza")
FOV = 70.0  # degrees from top to bottom, of every picture of the data set
EYE = 1.5  # metres above the ground
RADIUS = 0.35  # of the walker, metres
CELL = 0.1  # of the map of free places, metres
DOME = 70.0  # radius of the sky, metres: nothing is farther
_HALF = {"room": 8.0, "maze": 20.0, "park": 22.0, "plaza": 20.0}


@dataclass(frozen=True)
class MeshPart:
    """All faces that share a surface: triangles ``[n, 3]`` over corners ``[m, 3]``, normals, texture places, the texture."""

    corners: NDArray[np.float64]
    normals: NDArray[np.float64]
    places: NDArray[np.float64]
    triangles: NDArray[np.int64]
    texture: Picture
    glow: bool


@dataclass(frozen=True)
class Scene:
    """A place. ``blocked [n, n]`` says where a walker of 0.35 m does not fit: row 0 is south, column 0 west, cells of 0.1 m."""

    seed: int
    style: str
    kind: str
    place: str
    hour: str
    sun: float
    landmarks: tuple[Landmark, ...]
    parts: tuple[MeshPart, ...]
    blocked: NDArray[np.bool_]
    half: float
    indoors: bool = False
    standing: NDArray[np.float64] | None = None
    """Where a walk may begin, plan coordinates ``[n, 2]``; None: the free places near the middle."""

    def free(self, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Can a walker stand at these plan coordinates? Shape of the input."""
        n = len(self.blocked)
        col = np.floor((np.asarray(x) + self.half) / CELL).astype(int)
        row = np.floor((np.asarray(y) + self.half) / CELL).astype(int)
        inside = (row >= 0) & (row < n) & (col >= 0) & (col < n)
        return inside & ~self.blocked[row.clip(0, n - 1), col.clip(0, n - 1)]

    def start(self, index: int) -> Camera:
        """A good place to begin, the same for every call: level, room to walk, something to look at."""
        rng = np.random.default_rng([self.seed, index, 7])
        reach = self.ground()
        best, at = -1.0, (0.0, 0.0, 0.0)
        for _ in range(16):
            x, y = reach[int(rng.integers(len(reach)))]
            h = float(rng.uniform(0, 360))
            score = self._interest(float(x), float(y), h) + float(rng.uniform(0, 0.5))
            if score > best:
                best, at = score, (float(x), float(y), h)
        return stand(*at)

    def ground(self) -> NDArray[np.float64]:
        """Free places ``[n, 2]`` where the scene is worth a visit."""
        if self.standing is not None:
            return self.standing
        row, col = np.nonzero(~self.blocked)
        p = np.asarray(np.stack([col + 0.5, row + 0.5], -1) * CELL - self.half, np.float64)
        return p[np.abs(p).max(-1) < {"room": 6.0, "maze": 8.4, "park": 12.0, "plaza": 9.5}[self.kind]]

    def _interest(self, x: float, y: float, heading: float) -> float:
        """Open ground ahead and around, landmarks within the view."""
        f = np.radians(heading)
        ahead = np.arange(0.3, 5.0, 0.3)
        clear = self.free(x + ahead * np.cos(f), y + ahead * np.sin(f))
        run = float(ahead[int(np.argmin(clear))] if not clear.all() else 5.0)
        around = np.radians(np.arange(0, 360, 45))
        room = float(self.free(x + 0.5 * np.cos(around), y + 0.5 * np.sin(around)).mean())
        seen = 0.0
        for mark in self.landmarks:
            dx, dy = mark.x - x, mark.y - y
            off = (np.degrees(np.arctan2(dy, dx)) - heading + 180) % 360 - 180
            seen += float(abs(off) < 28 and 1.5 < np.hypot(dx, dy) < 11 and self.sees(x, y, mark))
        return min(run, 3.0) + 1.5 * room + 0.9 * min(seen, 3.0)

    def sees(self, x: float, y: float, mark: Landmark) -> bool:
        """Is a landmark in plain view from here? Outdoors things are low or tall enough; between walls the way must be free."""
        if self.kind in ("park", "plaza") or (self.standing is not None and not self.indoors):
            return True
        reach = max(0.0, 1.0 - 1.3 / max(float(np.hypot(mark.x - x, mark.y - y)), 1e-6))
        t = np.linspace(0.0, reach, 16)
        return bool(self.free(x + t * (mark.x - x), y + t * (mark.y - y)).all())


def stand(x: float, y: float, heading: float, fov: float = FOV) -> Camera:
    """A level camera at eye height on the plan, looking ``heading`` degrees from east to north."""
    h = np.radians(heading)
    c, s = float(np.cos(h)), float(np.sin(h))
    r = torch.tensor([[s, 0.0, c], [0.0, 1.0, 0.0], [-c, 0.0, s]])  # columns: right, down, forward
    return Camera(rigid(r, torch.tensor([x, -EYE, y])), torch.tensor(lens_from_fov(fov, 1, 1)))


def scene(seed: int, style: str | None = None, kind: str | None = None) -> Scene:
    """The scene of a seed. ``style`` and ``kind`` are drawn from the seed where they are None.

    ValueError: a style or kind that is not one of ``STYLES`` and ``KINDS``, a negative seed.
    """
    if seed < 0:
        raise ValueError(f"scene: seed must be 0 or more, not {seed}")
    if style is not None and style not in STYLES:
        raise ValueError(f"scene: style {style!r} is not one of {', '.join(STYLES)}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"scene: kind {kind!r} is not one of {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, 1])
    drawn_kind, drawn_style = str(rng.choice(KINDS)), str(rng.choice(STYLES))
    style, kind = style or drawn_style, kind or drawn_kind
    b = Builder(style, _HALF[kind], rng)
    hour = str(rng.choice(list(SKIES), p=(0.35, 0.15, 0.2, 0.2, 0.1)))
    place = {"room": interior.room, "maze": layouts.maze, "park": layouts.park, "plaza": layouts.plaza}[kind](b)
    parts = [mesh_part(b, paint) for paint in b.meshes]
    parts += _surroundings(b, hour)
    return Scene(seed, style, kind, place, hour, b.sun, tuple(b.landmarks), tuple(parts), b.occupied(CELL, RADIUS), b.half,
                 indoors=kind == "room")  # fmt: skip


def mesh_part(b: Builder, paint: Paint) -> MeshPart:
    """All that is built in one paint."""
    mesh = b.meshes[paint]
    corners, normals, places = (np.concatenate(x) for x in (mesh.corners, mesh.normals, mesh.places))
    return MeshPart(corners, normals, places, _triangles(len(mesh.corners)), b.picture(paint), paint.glow)


def _triangles(quads: int) -> NDArray[np.int64]:
    first = np.arange(quads)[:, None] * 4
    return np.concatenate([first + np.array((0, 1, 2)), first + np.array((0, 2, 3))])


def dome(columns: int, rows: int, margin: float, texture: Picture) -> MeshPart:
    """The sky as a dome seen from inside; ``margin``: share of the texture's height that is left out above and below."""
    azimuth, elevation = np.linspace(0, 2 * np.pi, columns + 1), np.radians(np.linspace(-30, 90, rows + 1))
    point = np.stack([np.cos(elevation)[:, None] * np.cos(azimuth), np.cos(elevation)[:, None] * np.sin(azimuth),
                      np.sin(elevation)[:, None] + 0 * azimuth], -1)  # fmt: skip
    quads, places = [], []
    for i in range(rows):
        for j in range(columns):
            for p, q in ((i, j + 1), (i, j), (i + 1, j), (i + 1, j + 1)):
                quads.append(point[p, q] * DOME + (0, 0, EYE))
                places.append((q / columns, margin + (1 - 2 * margin) * p / rows))
    corners = np.array(quads)
    return MeshPart(corners, -corners / DOME, np.array(places), _triangles(rows * columns), texture, True)


def skirt(near: NDArray[np.float64], half: float, texture: Picture, glow: bool) -> MeshPart:
    """The far ground, from the four corners ``near``, ``half`` from the middle, out to the sky."""
    far = near / half * (DOME + 5)
    corners = np.concatenate([np.stack([far[i], far[(i + 1) % 4], near[(i + 1) % 4], near[i]]) for i in range(4)])
    return MeshPart(corners, np.tile(_UP, (16, 1)), np.tile(_UNIT, (4, 1)), _triangles(4), texture, glow)


_UP, _UNIT = (0.0, 0.0, 1.0), np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)


def _surroundings(b: Builder, hour: str) -> list[MeshPart]:
    """The painted ground, a skirt of its colour out to the sky, and the sky as a dome seen from inside."""
    h, ground = b.half, b.ground()
    corners = np.array([(-h, -h, 0), (h, -h, 0), (h, h, 0), (-h, h, 0)], float)
    edge = np.broadcast_to(np.median(np.concatenate([ground[0], ground[-1]]), 0), (64, 64, 3)).astype(np.uint8)
    hills = [
        COLOURS[str(c)] for c in b.rng.permutation(["green", "teal", "purple", "blue", "brown", "grey", "orange", "lime"])[:5]
    ]
    return [
        MeshPart(corners, np.tile(_UP, (4, 1)), _UNIT, _triangles(1), ground, False),
        skirt(corners, h, edge, False),
        dome(32, 10, 0.002, sky(hour, b.style, b.sun, hills, b.rng)),
    ]
