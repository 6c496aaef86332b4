"""Putting a scene together: flat-faced solids with paint, what they block, and the painted ground they stand on.

Plan coordinates: x east, y north, z up, metres. Everything that shares a paint becomes one mesh, so that a scene is some
twenty draws. Shadows are painted on the ground, not computed: four times cheaper, and they never flicker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from dreamx.data.scene.textures import COLOURS, Colour, Picture, grain, surface, tint

Points = NDArray[np.float64]
TILE = 2.0  # metres that one repeating surface covers


@dataclass(frozen=True)
class Paint:
    """Cover of a face. ``glow`` faces ignore the lamps; ``variant`` tells two drawings of one pattern apart."""

    colour: str
    pattern: str = "plain"
    glow: bool = False
    variant: int = 0


@dataclass
class Mesh:
    """Quads under one paint: corners ``[4, 3]`` counter-clockwise from outside, normals ``[4, 3]``, texture places ``[4, 2]``."""

    corners: list[Points] = field(default_factory=list[Points])
    normals: list[Points] = field(default_factory=list[Points])
    places: list[Points] = field(default_factory=list[Points])


@dataclass(frozen=True)
class Landmark:
    """Something a caption may name and a walker may look at."""

    words: str
    x: float
    y: float


class Builder:
    """A scene that is being built. ``half`` is half the side of its square ground."""

    def __init__(self, style: str, half: float, rng: np.random.Generator) -> None:
        self.style, self.half, self.rng = style, half, rng
        self.meshes: dict[Paint, Mesh] = {}
        self.pictures: dict[Paint, Picture] = {}
        self.blocks: list[tuple[Points, float]] = []  # footprint [n, 2] and height
        self.landmarks: list[Landmark] = []
        self.pixels = 512
        self.map = Image.new("RGB", (self.pixels, self.pixels))
        self.draw = ImageDraw.Draw(self.map)
        self.sun = float(rng.uniform(0, 360))  # azimuth of the sun, degrees from east to north
        self.slant = 0.55  # length of a shadow for each metre of height

    # --- faces -----------------------------------------------------------------------------------------------------

    def quad(self, corners: ArrayLike, paint: Paint, places: ArrayLike | None = None, normals: ArrayLike | None = None) -> None:
        """Four corners counter-clockwise as seen from outside, the first edge at the bottom."""
        c = np.asarray(corners, float)
        if places is None:
            across, up = np.linalg.norm(c[1] - c[0]), np.linalg.norm(c[3] - c[0])
            places = np.array([(0, 0), (across, 0), (across, up), (0, up)]) / TILE
        if normals is None:
            n = np.cross(c[2] - c[0], c[3] - c[1])
            normals = np.tile(n / max(float(np.linalg.norm(n)), 1e-9), (4, 1))
        mesh = self.meshes.setdefault(paint, Mesh())
        mesh.corners.append(c)
        mesh.normals.append(np.asarray(normals, float))
        mesh.places.append(np.asarray(places, float))

    def prism(self, base: ArrayLike, z: tuple[float, float], side: Paint, top: Paint | None = None,
              taper: float = 1.0, bays: tuple[float, float] | None = None, smooth: bool = False) -> None:  # fmt: skip
        """A counter-clockwise base ``[n, 2]`` raised from z[0] to z[1]; ``taper`` scales the top (0 makes a cone).

        ``bays = (width, height)`` fits whole window bays of about that size in metres onto the sides.
        """
        b = np.asarray(base, float)
        middle = b.mean(0)
        t = middle + (b - middle) * taper
        n = len(b)
        low = np.column_stack([b, np.full(n, z[0])])
        high = np.column_stack([t, np.full(n, z[1])])
        for i in range(n):
            j = (i + 1) % n
            places, normals = None, None
            if bays is not None:
                u = max(1, round(float(np.linalg.norm(b[j] - b[i])) / bays[0]))
                v = max(1, round((z[1] - z[0]) / bays[1]))
                places = [(0, 0), (u, 0), (u, v), (0, v)]
            if smooth:
                slope = (1 - taper) * float(np.linalg.norm(b[0] - middle)) ** 2 / (z[1] - z[0])
                out = np.column_stack([b - middle, np.full(n, slope)])
                out = out / np.linalg.norm(out, axis=1, keepdims=True)
                normals = out[[i, j, j, i]]
            self.quad([low[i], low[j], high[j], high[i]], side, places, normals)
        if taper > 0.02:
            for i in range(1, n - 1, 2):
                k = min(i + 2, n - 1)
                pick = [0, i, i + 1, k]
                self.quad(high[pick], top or side, t[pick] / TILE, [(0, 0, 1)] * 4)

    def box(self, at: tuple[float, float], size: tuple[float, float], z: tuple[float, float], paint: Paint,
            top: Paint | None = None, yaw: float = 0.0, solid: bool = True,
            bays: tuple[float, float] | None = None) -> None:  # fmt: skip
        """An upright box about ``at``, turned by ``yaw`` degrees."""
        base = rectangle(at, size, yaw)
        self.prism(base, z, paint, top, bays=bays)
        if solid:
            self.block(base, z[1])

    def round(self, at: tuple[float, float], radius: float, z: tuple[float, float], paint: Paint, taper: float = 1.0,
              top: Paint | None = None, solid: bool = True, sides: int = 10) -> None:  # fmt: skip
        """A cylinder, or with ``taper`` a cone."""
        base = circle(at, radius, sides)
        self.prism(base, z, paint, top, taper, smooth=True)
        if solid:
            self.block(base, z[1])

    def ball(self, at: tuple[float, float, float], radius: tuple[float, float], paint: Paint, sides: int = 10) -> None:
        """A ball or egg about ``at``: radius across, radius upwards."""
        a = np.linspace(0, 2 * np.pi, sides + 1)
        e = np.linspace(-np.pi / 2, np.pi / 2, max(4, sides // 2) + 1)
        unit = np.stack([np.cos(e)[:, None] * np.cos(a), np.cos(e)[:, None] * np.sin(a), np.sin(e)[:, None] + 0 * a], -1)
        points = unit * (radius[0], radius[0], radius[1]) + at
        for i in range(len(e) - 1):
            for j in range(sides):
                pick = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
                self.quad([points[p] for p in pick], paint, [(q / 4, p / 4) for p, q in pick], [unit[p] for p in pick])

    def board(self, at: tuple[float, float, float], facing: float, size: tuple[float, float], paint: Paint) -> None:
        """An upright picture: middle ``at``, its front towards ``facing`` degrees, width and height."""
        f = np.radians(facing)
        right = np.array((-np.sin(f), np.cos(f), 0.0)) * size[0] / 2
        up = np.array((0, 0, size[1] / 2))
        m = np.asarray(at)
        self.quad([m - right - up, m + right - up, m + right + up, m - right + up], paint, [(0, 0), (1, 0), (1, 1), (0, 1)])

    # --- what blocks, what is painted on the ground -------------------------------------------------------------------

    def block(self, footprint: Points, height: float) -> None:
        """A walker cannot stand here; its shadow falls on the ground."""
        self.blocks.append((footprint, height))

    def landmark(self, words: str, at: tuple[float, float]) -> None:
        self.landmarks.append(Landmark(words, at[0], at[1]))

    def to_map(self, points: ArrayLike, pixels: int | None = None) -> list[tuple[float, float]]:
        """Plan metres -> pixels of the ground map (row 0 is north)."""
        p = np.asarray(points, float)
        scale = (pixels or self.pixels) / (2 * self.half)
        return [(float((x + self.half) * scale), float((self.half - y) * scale)) for x, y in p]

    def area(self, points: ArrayLike, colour: Colour) -> None:
        """Paint a polygon of the ground."""
        self.draw.polygon(self.to_map(points), fill=_bytes(tint(colour, self.style)))

    def path(self, points: ArrayLike, width: float, colour: Colour) -> None:
        """Paint a way along a line of points."""
        fill, w = _bytes(tint(colour, self.style)), width * self.pixels / (2 * self.half)
        dots = self.to_map(points)
        self.draw.line(dots, fill=fill, width=round(w), joint="curve")
        for x, y in dots:
            self.draw.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=fill)

    def taken(self, at: tuple[float, float], radius: float) -> bool:
        """Would something of this radius stand in what is there already?"""
        x, y = at
        return any(
            b[:, 0].min() - radius < x < b[:, 0].max() + radius and b[:, 1].min() - radius < y < b[:, 1].max() + radius
            for b, _ in self.blocks
        )

    def ground(self) -> Picture:
        """The painted ground with its grain and shadows, ``[512, 512, 3]``."""
        shade = Image.new("L", self.map.size, 255)
        pen = ImageDraw.Draw(shade)
        a = np.radians(self.sun)
        away = -np.array((np.cos(a), np.sin(a)))
        soft = {"photoreal": 3.0, "game": 0.0, "stylised": 0.0}[self.style]
        for base, height in self.blocks:
            for k in np.linspace(0.0, 1.0, 6):
                pen.polygon(self.to_map(base + away * min(height, 4.0) * self.slant * k), fill=150)
        shade = shade.filter(ImageFilter.GaussianBlur(soft)) if soft else shade
        texels = 128
        g = grain(self.style, self.pixels, texels, self.rng)
        picture = self.map.resize((texels, texels), Image.Resampling.BOX).resize(self.map.size, Image.Resampling.NEAREST) \
            if self.style == "game" else self.map  # fmt: skip
        out = np.asarray(picture, float) * g[..., None] * (np.asarray(shade, float) / 255.0)[..., None]
        return np.clip(out, 0, 255).astype(np.uint8)

    def occupied(self, cell: float, radius: float) -> NDArray[np.bool_]:
        """Cells ``[n, n]`` (row 0 is south, column 0 west) where a walker of this radius does not fit."""
        n = round(2 * self.half / cell)
        full = Image.new("L", (n, n), 0)
        pen = ImageDraw.Draw(full)
        for base, _ in self.blocks:
            pen.polygon(self.to_map(base, n), fill=255, outline=255)
        pen.rectangle((0, 0, n - 1, n - 1), outline=255)
        grown = full.filter(ImageFilter.MaxFilter(2 * int(np.ceil(radius / cell)) + 1))
        return np.asarray(grown)[::-1] > 0

    def picture(self, paint: Paint) -> Picture:
        """The texture of a paint."""
        made = self.pictures.get(paint)
        return made if made is not None else surface(paint.pattern, COLOURS[paint.colour], self.style, self.rng)


def rectangle(at: tuple[float, float], size: tuple[float, float], yaw: float = 0.0) -> Points:
    """Counter-clockwise corners ``[4, 2]``."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    unit = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size) / 2
    return unit @ np.array([(c, s), (-s, c)]) + at


def circle(at: tuple[float, float], radius: float, sides: int = 10) -> Points:
    """Counter-clockwise corners ``[sides, 2]``."""
    a = np.arange(sides) * 2 * np.pi / sides
    return np.stack([np.cos(a), np.sin(a)], -1) * radius + at


def _bytes(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (int(255 * x) for x in colour)
    return r, g, b
