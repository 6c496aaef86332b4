"""Overlays on a picture whose depth is known: soft shadows under things, lamplight, another sky, fog, rain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamx.data.scene.scene import DOME, Scene
from dreamx.data.sim.bodies import Array, Weather
from dreamx.geometry.camera import Camera, rays

Rgb = NDArray[np.float32]
Depth = NDArray[np.float32]
_DROPS, _AROUND, _FALL = 2200, 6.0, 7.0  # drops about the camera, metres around it, metres per second
_STREAK = 0.045  # seconds that a drop leaves on the picture


@dataclass(frozen=True)
class Blob:
    """A ball that casts a shadow: middle ``[3]`` on the plan, radius in metres, how solid it is."""

    at: Array
    radius: float
    alpha: float


def laid_over(rgb: Rgb, depth: Depth, ids: NDArray[np.int16], camera: Camera, scene: Scene, blobs: Sequence[Blob],
              weather: Weather, moment: float) -> Rgb:  # fmt: skip
    """The picture ``[H, W, 3]`` (0 to 255) with shadows, light, sky, fog and rain."""
    h, w = depth.shape
    ray = rays(camera.lens.float(), h, w).numpy()  # [H, W, 3], z = 1
    turn, at = camera.pose[:3, :3].numpy(), camera.pose[:3, 3].numpy()
    way = ray @ turn.T
    far = depth * np.linalg.norm(ray, axis=-1)
    sky = far > 0.85 * DOME
    point = at + way * depth[..., None]  # x, down, z
    out = rgb * _shade(point, sky | (ids > 0), scene, blobs)[..., None]
    out = out * np.asarray(weather.light, np.float32)
    if weather.share > 0 or weather.fog > 0:
        rise = np.clip(-way[..., 1] / np.linalg.norm(way, axis=-1), 0, 1)[..., None]
        zenith, horizon = (255 * np.asarray(c, np.float32) for c in weather.sky)
        other = horizon + np.clip(rise / 0.7, 0, 1) ** 0.7 * (zenith - horizon)
        share = np.where(sky, 0.92 * weather.share, 0.0)[..., None]
        out = out + share * (other - out)
        thick = np.where(sky, 1 - np.exp(-weather.fog * 45 / (1 + 5 * rise[..., 0])), 1 - np.exp(-weather.fog * far))[..., None]
        out = out + thick * (horizon - out)
    if weather.rain > 0:
        out = _rain(out.astype(np.float32), depth, camera, scene.seed, weather.rain, moment)
    return out.astype(np.float32)


def _shade(point: NDArray[np.float32], excluded: NDArray[np.bool_], scene: Scene, blobs: Sequence[Blob]) -> NDArray[np.float32]:
    """Return the brightness of the ground, 0.5 to 1, in shadows of what is above it. Hard-edged in drawings, square in games."""
    shade = np.ones(point.shape[:2], np.float32)
    ground = (np.abs(point[..., 1]) < 0.04) & ~excluded
    if not blobs or not ground.any():
        return shade
    p = point[ground][:, (0, 2)]  # [N, 2] on the plan
    if scene.style == "game":
        p = (np.floor(p / 0.08) + 0.5) * 0.08
    a = np.radians(scene.sun)
    slant = 0.12 if scene.indoors else 0.55
    away = -np.array((np.cos(a), np.sin(a))) * slant
    light = np.ones(len(p))
    for blob in blobs:
        height = max(float(blob.at[2]), 0.0)
        d = np.linalg.norm(p - (blob.at[:2] + away * height), axis=-1) / (1.1 * blob.radius + 0.04 + 0.06 * height)
        soft = np.clip(1.25 - d, 0, 0.6) / 0.6 if scene.style == "photoreal" else (d < 1).astype(float)
        light *= 1 - 0.42 * blob.alpha * soft / (1 + 0.35 * height)
    shade[ground] = np.maximum(light, 0.55)
    return shade


def _rain(rgb: Rgb, depth: Depth, camera: Camera, seed: int, strength: float, moment: float) -> Rgb:
    """Streaks of drops that fall through a box around the camera, fixed in the world, behind what is nearer."""
    h, w = depth.shape
    rng = np.random.default_rng([seed, 23])
    home = rng.uniform(0, 2 * _AROUND, (_DROPS, 3))
    rank = np.arange(_DROPS) / _DROPS
    eye = camera.pose[:3, 3].double().numpy()
    turn = camera.pose[:3, :3].double().numpy()
    fx, fy, cx, cy = camera.lens.double().tolist()
    samples = np.linspace(0, _STREAK, 15)
    bright = np.zeros((h, w), np.float32)
    for late in samples:
        p = home + np.array((0.0, _FALL, 0.0)) * (moment + late)
        p = (p - eye) % (2 * _AROUND) - _AROUND  # the box goes with the camera, the drops do not
        x, y, z = (p @ turn).T
        near = (z > 0.35) & (rank < strength)
        u, v = (fx * x[near] / z[near] + cx) * w, (fy * y[near] / z[near] + cy) * h
        inside = (u >= 0) & (u < w) & (v >= 0) & (v < h)
        i, j, d = v[inside].astype(int), u[inside].astype(int), z[near][inside]
        seen = d < depth[i, j]
        np.maximum.at(bright, (i[seen], j[seen]), (0.5 / (1 + 0.18 * d[seen])).astype(np.float32))
    return (rgb + bright[..., None] * (np.array((214, 222, 232), np.float32) - rgb)).astype(np.float32)
