"""Light in a home place: where it comes from, and how much of it falls on a point, found by rays (MuJoCo's)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamx.data.opengl import without_drawing
from dreamx.data.scene.build import Paint
from dreamx.data.scene.homes.palette import tone
from dreamx.data.scene.homes.surfaces import Array
from dreamx.data.scene.textures import Colour


@dataclass(frozen=True)
class Light:
    """Sun and sky of a scene. Colours are linear; ``sun`` is strength times colour, ``azimuth`` and ``height`` are degrees."""

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
        mj = without_drawing()
        self.style, self._mj = style, mj
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
        """Cast ``rays [k, 3]`` from ``point [3]``; return the index of what each meets (-1: the sky), and how far."""
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
