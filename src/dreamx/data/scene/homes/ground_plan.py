"""The ground of a home place: a plan of materials, painted with polygons, read by the surface of the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from dreamx.data.scene.build import Builder, Paint
from dreamx.data.scene.homes.palette import tone
from dreamx.data.scene.homes.surfaces import Array, Grain, Surface, SurfacePoint

SCALE = 20  # pixels of the plan a metre


class GroundPlan:
    """A map of the ground's materials. ``half`` is half the side of the square, metres; materials are (surface, colour)."""

    def __init__(self, half: float, surface: str, colour: str, raggedness: float = 0.12) -> None:
        self.half, self.ragged = half, raggedness
        self.materials = [(surface, colour)]
        self._map = Image.new("L", (round(2 * half * SCALE), round(2 * half * SCALE)), 0)
        self._pen = ImageDraw.Draw(self._map)

    def _index(self, surface: str, colour: str) -> int:
        if (surface, colour) not in self.materials:
            self.materials.append((surface, colour))
        return self.materials.index((surface, colour))

    def _dots(self, points: ArrayLike) -> list[tuple[float, float]]:
        return [(float((x + self.half) * SCALE), float((y + self.half) * SCALE)) for x, y in np.asarray(points, float)]

    def area(self, points: ArrayLike, surface: str, colour: str) -> None:
        """Cover a polygon."""
        self._pen.polygon(self._dots(points), fill=self._index(surface, colour))

    def path(self, points: ArrayLike, width: float, surface: str, colour: str) -> None:
        """Cover a way along points."""
        dots, w, fill = self._dots(points), width * SCALE, self._index(surface, colour)
        self._pen.line(dots, fill=fill, width=round(w), joint="curve")
        for x, y in dots:
            self._pen.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=fill)

    def surface(self, surfaces: dict[str, Surface], style: str) -> Surface:
        """Return the ground as a surface; borders between materials are ``ragged``."""
        table = np.asarray(self._map)

        def ground(s: SurfacePoint, g: Grain) -> Array:
            x, y = s.xyz[:, 0], s.xyz[:, 1]
            k = self.ragged * g.fine
            px, py = x + k * g.soft(x, y, 0.7), y + k * g.soft(x + 31, y, 0.7)
            if style == "game":
                px, py = (np.floor(px / 0.5) + 0.5) * 0.5, (np.floor(py / 0.5) + 0.5) * 0.5
            n = len(table)
            i = np.floor((px + self.half) * SCALE).astype(int).clip(0, n - 1)
            j = np.floor((py + self.half) * SCALE).astype(int).clip(0, n - 1)
            here = table[j, i]
            out = np.zeros((len(x), 3))
            for m, (name, colour) in enumerate(self.materials):
                own = here == m
                if own.any():
                    out[own] = surfaces[name](SurfacePoint(s.u[own], s.v[own], s.xyz[own], tone(colour, style), m), g)
            return out

        return ground

    def lay(self, b: Builder) -> None:
        """Put the ground into a builder: one face, so that its light has no seams."""
        h = self.half
        b.quad([(-h, -h, 0), (h, -h, 0), (h, h, 0), (-h, h, 0)], Paint("granite", "ground"))
