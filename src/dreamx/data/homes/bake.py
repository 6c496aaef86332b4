"""Light that is computed once: every face of a place gets its own texels, with sun, soft shadows, sky and bounced colour in them.

The faces of a ``Builder`` are cut into texels of one atlas. Light is gathered by rays (MuJoCo's) on a coarser grid and multiplied onto the
reflectance of ``surfaces``. The result is one mesh with one texture that needs no lamps: it draws faster than a lit scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamx.data.build import TILE, Builder, Paint
from dreamx.data.homes.fittings import BAYS
from dreamx.data.homes.palette import tone
from dreamx.data.homes.surfaces import Array, Grain, Spot, Surface
from dreamx.data.textures import Colour

PAD = 2  # texels about each face, so that its neighbours do not shine through when it is drawn small
LARGEST = 2048  # texels along one face


@dataclass(frozen=True)
class Light:
    """Where light comes from. Colours are linear; ``sun`` is its strength times its colour, ``azimuth`` and ``height`` degrees."""

    azimuth: float
    height: float
    sun: Colour
    zenith: Colour
    horizon: Colour
    bounce: float = 0.35
    """Share of the mean light that a surface which is hit sends on, times its colour."""
    floor: Colour = (0.0, 0.0, 0.0)
    """Light that is everywhere: what several bounces leave."""
    lamps: tuple[tuple[tuple[float, float, float], Colour], ...] = ()
    exposure: float = 1.0
    shadow: Colour = (1.0, 1.0, 1.0)
    """Tint of what the sun does not reach: drawings have violet shadows."""


@dataclass(frozen=True)
class Faces:
    """All faces of a place: corners and normals ``[n, 4, 3]``, places on the surface ``[n, 4, 2]``, which paint ``[n]``."""

    corners: Array
    normals: Array
    places: Array
    which: NDArray[np.int64]
    paints: tuple[Paint, ...]


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


def directions(count: int) -> Array:
    """Unit vectors spread evenly over the sphere ``[count, 3]``: the same for every point, so that light has no grain."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    a = np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(a), r * np.sin(a), z], -1)


def sun_direction(light: Light, spread: float = 0.0) -> Array:
    """Towards the sun ``[3]``, or seven directions over its disc ``[7, 3]`` of ``spread`` degrees."""
    a, h = np.radians(light.azimuth), np.radians(light.height)
    d = np.array((np.cos(h) * np.cos(a), np.cos(h) * np.sin(a), np.sin(h)))
    if not spread:
        return d
    right = np.array((-np.sin(a), np.cos(a), 0.0))
    up = np.cross(d, right)
    k = np.arange(6) * np.pi / 3
    off = np.tan(np.radians(spread)) * (np.cos(k)[:, None] * right + np.sin(k)[:, None] * up)
    out = np.concatenate([d[None], d + off])
    return out / np.linalg.norm(out, axis=1, keepdims=True)


class Caster:
    """Answers what rays hit: one geom for each colour of the faces."""

    def __init__(self, faces: Faces, style: str) -> None:
        import mujoco as mj

        self.style = style
        self._mj: Any = mj
        spec = mj.MjSpec()
        names = [p.colour for p in faces.paints]
        self.colours = sorted(set(names))
        for k, name in enumerate(self.colours):
            own = np.isin(faces.which, [i for i, n in enumerate(names) if n == name])
            c = faces.corners[own]
            first = np.arange(len(c))[:, None] * 4
            triangles = np.concatenate([first + np.array((0, 1, 2)), first + np.array((0, 2, 3))])
            flat = c.reshape(-1, 3)
            v = flat[triangles]
            area = np.linalg.norm(np.cross(v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]), axis=-1)
            triangles = triangles[area > 1e-8]
            spec.add_mesh(name=f"g{k}", uservert=flat.ravel().tolist(), userface=triangles.ravel().tolist(),
                          inertia=mj.mjtMeshInertia.mjMESH_INERTIA_SHELL)  # fmt: skip
            spec.worldbody.add_geom(type=mj.mjtGeom.mjGEOM_MESH, meshname=f"g{k}", contype=0, conaffinity=0)
        self._model = spec.compile()
        self._data = mj.MjData(self._model)
        mj.mj_kinematics(self._model, self._data)
        mj.mj_comPos(self._model, self._data)

    def cast(self, point: Array, rays: Array, reach: float = 150.0) -> tuple[NDArray[np.int32], Array]:
        """Which colour each ray from ``point [3]`` along ``rays [k, 3]`` meets (-1: the sky), and how far."""
        k = len(rays)
        hit, far = np.full(k, -1, np.int32), np.zeros(k)
        self._mj.mj_multiRay(self._model, self._data, point, rays.ravel(), None, 1, -1, hit, far, None, k, reach)
        return hit, far


class Gatherer:
    """Gathers the light that falls on points: what does not depend on the point is computed once."""

    def __init__(self, caster: Caster, light: Light, outdoors: bool, rays: int = 96) -> None:
        self._caster, self._light, self._rays = caster, light, rays
        self._sphere = directions(rays)
        up = np.clip(self._sphere[:, 2], 0, 1)[:, None] ** 0.6
        horizon, zenith, self._sun = (np.array(c) for c in (light.horizon, light.zenith, light.sun))
        sky = horizon * (1 - up) + zenith * up
        sky = np.where(self._sphere[:, 2:] < -0.05, horizon * 0.3, sky) * (1.0 if outdoors else 0.6)
        self._suns = sun_direction(light, 1.3)
        mean = 0.5 * (zenith + horizon) + 0.35 * self._sun
        back = np.stack([light.bounce * mean * linear(tone(c, caster.style)) for c in caster.colours])
        self._sky, self._radiance = sky, np.concatenate([back, np.zeros((1, 3))])  # the last row stands for -1, the sky
        self._weight = 4.0 / rays * np.array(light.shadow)

    def __call__(self, points: Array, normals: Array) -> Array:
        """Points and unit normals ``[n, 3]`` -> linear rgb ``[n, 3]``: sun, sky, what surfaces send on, lamps."""
        cosines, shine = normals @ self._sphere.T, normals @ self._suns.T
        starts = points + 0.03 * normals
        daylight = bool(self._sun.any())
        out = np.empty_like(points)
        for i, start in enumerate(starts):
            seen = np.nonzero(cosines[i] > 0.02)[0]
            sunny = daylight and shine[i, 0] > 0
            rays = np.concatenate([self._sphere[seen], self._suns]) if sunny else self._sphere[seen]
            hit, _ = self._caster.cast(start, rays)
            k = len(seen)
            radiance = np.where(hit[:k, None] < 0, self._sky[seen], self._radiance[hit[:k]])
            out[i] = (cosines[i, seen] @ radiance) * self._weight
            if sunny:
                out[i] += self._sun * float((shine[i].clip(0) * (hit[k:] < 0)).mean())
            if self._light.lamps:
                out[i] += self._lamps(points[i], start, normals[i])
        return out + np.array(self._light.floor)

    def _lamps(self, point: Array, start: Array, normal: Array) -> Array:
        e = np.zeros(3)
        for at, colour in self._light.lamps:
            to = np.array(at) - point
            far = float(np.linalg.norm(to))
            cosine = float(to @ normal) / max(far, 1e-6)
            if cosine > 0 and far < 14:
                hit, d = self._caster.cast(start, (to / far)[None], far)
                if hit[0] < 0 or d[0] > far - 0.35:
                    e += np.array(colour) * cosine / (0.4 + far * far)
        return e


def linear(colour: Array) -> Array:
    """sRGB, 0 to 1, to linear."""
    return np.clip(colour, 0, 1) ** 2.2


def developed(x: Array, exposure: float) -> Array:
    """Linear light to sRGB bytes, with a soft shoulder, so that nothing burns out."""
    x = np.clip(x * exposure, 0, None)
    x = x * (1 + x / 6.25) / (1 + x)
    return np.clip(255 * (1.22 * x) ** (1 / 2.2), 0, 255)


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
    """One mesh with its texture: what ``scene.Part`` holds, with places in the atlas 0..1."""

    corners: Array
    normals: Array
    places: Array
    texture: NDArray[np.uint8]


def bake(b: Builder, surfaces: dict[str, Surface], light: Light, outdoors: bool, side: int = 4096, density: float = 24.0, samples: float = 2.5) -> Baked:
    """Bake a builder's faces: ``density`` texels and ``samples`` of light a metre, at most; fewer where they do not fit in ``side``."""
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
    unit = np.stack([np.stack([x, y], -1), np.stack([x + w, y], -1), np.stack([x + w, y + h], -1), np.stack([x, y + h], -1)], 1) / side
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
    spot = Spot(u[:, 0], u[:, 1], xyz, tone(paint.colour, grain.style), paint.variant * 31 + len(paint.colour))
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
