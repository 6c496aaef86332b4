"""Light that is computed once: every face of a place gets its own texels, with sun, soft shadows, sky and bounced colour.

The faces of a ``Builder`` are cut into texels of one atlas. Light is gathered by rays (MuJoCo's) on a coarser grid and multiplied
onto the reflectance of ``surfaces``. The result is one mesh with one texture that needs no lamps, and draws fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamx.data.scene.build import TILE, Builder, Paint
from dreamx.data.scene.homes.fittings import BAYS
from dreamx.data.scene.homes.light import Caster, Faces, Gatherer, Light, developed, linear
from dreamx.data.scene.homes.palette import tone
from dreamx.data.scene.homes.surfaces import Array, Grain, Surface, SurfacePoint

PAD = 2  # texels about each face, so that its neighbours do not shine through when it is drawn small
LARGEST = 2048  # texels along one face


def gather(b: Builder) -> Faces:
    """The faces of a builder; the paint's surface is measured in metres, or in bays where the builder counts those."""
    paints = tuple(b.meshes)
    corners = np.concatenate([np.stack(b.meshes[p].corners) for p in paints])
    normals = np.concatenate([np.stack(b.meshes[p].normals) for p in paints])
    places = np.concatenate([np.stack(b.meshes[p].places) * (1.0 if p.pattern in BAYS else TILE) for p in paints])
    which = np.repeat(np.arange(len(paints)), [len(b.meshes[p].corners) for p in paints])
    return Faces(corners, normals, places, which, paints)


def _grid(quad: Array, s: Array, t: Array) -> Array:
    """Bilinear: ``[..., 4, k]`` at ``s``, ``t [n]`` in 0..1 -> ``[..., n, k]``."""
    a, b, c, d = (quad[..., None, i, :] for i in range(4))
    s, t = s[:, None], t[:, None]
    return (a * (1 - s) + b * s) * (1 - t) + (d * (1 - s) + c * s) * t


def _sides(corners: Array) -> tuple[Array, Array]:
    """The longer of each pair of opposite edges ``[n]``, metres."""
    edge = lambda i, j: np.linalg.norm(corners[:, i] - corners[:, j], axis=-1)  # noqa: E731
    return np.maximum(edge(0, 1), edge(3, 2)), np.maximum(edge(1, 2), edge(0, 3))


def pack(width: NDArray[np.int64], height: NDArray[np.int64], side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Rectangles onto shelves of a square; None where they do not fit. Returns the lower left texel of each."""
    order = np.argsort(-height, kind="stable")
    x, y, shelf = 0, 0, 0
    xs, ys = np.zeros_like(width), np.zeros_like(width)
    for i in order:
        w, h = int(width[i]) + 2 * PAD, int(height[i]) + 2 * PAD
        if x + w > side:
            x, y, shelf = 0, y + shelf, 0
        if y + h > side:
            return None
        xs[i], ys[i], shelf = x + PAD, y + PAD, max(shelf, h)
        x += w
    return xs, ys


def _smooth(grid: Array) -> Array:
    """A grid ``[h, w, 3]`` softened by (1 2 1) both ways."""
    for axis in (0, 1):
        if grid.shape[axis] > 2:
            p = np.concatenate([grid.take([0], axis), grid, grid.take([-1], axis)], axis)
            n = grid.shape[axis]
            grid = (p.take(range(n), axis) + 2 * p.take(range(1, n + 1), axis) + p.take(range(2, n + 2), axis)) / 4
    return grid


@dataclass(frozen=True)
class Baked:
    """One mesh with its texture: what ``scene.MeshPart`` holds, with places in the atlas 0..1."""

    corners: Array
    normals: Array
    places: Array
    texture: NDArray[np.uint8]


def bake(
    b: Builder,
    surfaces: dict[str, Surface],
    light: Light,
    outdoors: bool,
    side: int = 4096,
    density: float = 24.0,
    samples: float = 2.5,
) -> Baked:
    """Bake a builder's faces: ``density`` texels and ``samples`` of light a metre, fewer where they do not fit in ``side``."""
    faces, grain = gather(b), Grain(b.style)
    across, up = _sides(faces.corners)
    near = np.where(faces.corners[:, :, 2].min(1) > 5.0, 0.6, 1.0)
    while True:
        w = np.clip(np.ceil(across * density * near), 4, LARGEST).astype(np.int64)
        h = np.clip(np.ceil(up * density * near), 4, LARGEST).astype(np.int64)
        places = pack(w, h, side)
        if places is not None:
            break
        density *= 0.92
    caster = Caster(faces, b.style)
    atlas = np.zeros((side, side, 3), np.float32)
    for k, paint in enumerate(faces.paints):
        own = np.nonzero(faces.which == k)[0]
        _paint(atlas, faces, own, paint, (w, h, *places), grain, surfaces)
    _light(atlas, faces, (w, h, *places), (across, up), caster, light, outdoors, samples)
    x, y = places
    unit = (
        np.stack([np.stack([x, y], -1), np.stack([x + w, y], -1), np.stack([x + w, y + h], -1), np.stack([x, y + h], -1)], 1)
        / side
    )
    texture = np.ascontiguousarray((atlas[::-1] + 0.5).astype(np.uint8))
    return Baked(faces.corners.reshape(-1, 3), faces.normals.reshape(-1, 3), unit.reshape(-1, 2), texture)


Boxes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _paint(atlas: NDArray[np.float32], faces: Faces, own: NDArray[np.int64], paint: Paint, boxes: Boxes, grain: Grain,
           surfaces: dict[str, Surface]) -> None:  # fmt: skip
    """Reflectance (sRGB 0..1) of the faces ``own`` into their boxes, edges repeated into the padding."""
    w, h, x, y = boxes
    counts = (w[own] + 2 * PAD) * (h[own] + 2 * PAD)
    u, xyz = np.empty((int(counts.sum()), 2)), np.empty((int(counts.sum()), 3))
    at = 0
    for i, n in zip(own, counts, strict=True):
        s, t = _texels(int(w[i]), int(h[i]))
        u[at : at + n], xyz[at : at + n] = _grid(faces.places[i], s, t), _grid(faces.corners[i], s, t)
        at += int(n)
    spot = SurfacePoint(u[:, 0], u[:, 1], xyz, tone(paint.colour, grain.style), paint.variant * 31 + len(paint.colour))
    rgb = np.broadcast_to(surfaces[paint.pattern](spot, grain), xyz.shape)
    at = 0
    for i, n in zip(own, counts, strict=True):
        box = (slice(y[i] - PAD, y[i] + h[i] + PAD), slice(x[i] - PAD, x[i] + w[i] + PAD))
        atlas[box] = rgb[at : at + n].reshape(h[i] + 2 * PAD, w[i] + 2 * PAD, 3)
        at += int(n)


def _texels(w: int, h: int) -> tuple[Array, Array]:
    """Middles of the texels of a face and its padding, as shares of the face (those of the padding lie on its edge)."""
    s = np.clip((np.arange(-PAD, w + PAD) + 0.5) / w, 0.5 / w, 1 - 0.5 / w)
    t = np.clip((np.arange(-PAD, h + PAD) + 0.5) / h, 0.5 / h, 1 - 0.5 / h)
    return np.tile(s, h + 2 * PAD), np.repeat(t, w + 2 * PAD)


def _light(atlas: NDArray[np.float32], faces: Faces, boxes: Boxes, sides: tuple[Array, Array], caster: Caster, light: Light,
           outdoors: bool, samples: float) -> None:  # fmt: skip
    """Multiply light onto reflectance, and develop."""
    w, h, x, y = boxes
    lit = Gatherer(caster, light, outdoors)
    for i in range(len(w)):
        box = (slice(y[i] - PAD, y[i] + h[i] + PAD), slice(x[i] - PAD, x[i] + w[i] + PAD))
        rgb = linear(atlas[box].astype(np.float64))
        if faces.paints[faces.which[i]].glow:
            atlas[box] = 255 * np.clip(atlas[box], 0, 1)
            continue
        a, b = (int(np.clip(round(float(side[i]) * samples), 2, 256)) for side in sides)
        s, t = np.tile((np.arange(a) + 0.5) / a, b), np.repeat((np.arange(b) + 0.5) / b, a)
        normals = _grid(faces.normals[i], s, t)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
        e = _smooth(lit(_grid(faces.corners[i], s, t), normals).reshape(b, a, 3))
        s, t = _texels(int(w[i]), int(h[i]))
        p, q = np.clip(s * a - 0.5, 0, a - 1), np.clip(t * b - 0.5, 0, b - 1)
        p0, q0 = np.minimum(p.astype(int), a - 2), np.minimum(q.astype(int), b - 2)
        p, q = (p - p0)[:, None], (q - q0)[:, None]
        e = (e[q0, p0] * (1 - p) + e[q0, p0 + 1] * p) * (1 - q) + (e[q0 + 1, p0] * (1 - p) + e[q0 + 1, p0 + 1] * p) * q
        atlas[box] = developed(rgb * e.reshape(rgb.shape), light.exposure)
