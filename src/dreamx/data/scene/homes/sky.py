"""The sky of a home place: a dome with clouds, a sun, and hills in layers all around, unlike in every direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamx.data.scene.homes.surfaces import Array, Grain
from dreamx.data.scene.textures import Colour

ROWS, COLUMNS = 512, 2048


@dataclass(frozen=True)
class Sky:
    """Colours are sRGB, 0 to 1. ``ridges``: (height in degrees, colour) of hills, the farthest first; ``clouds`` 0 to 1."""

    zenith: Colour
    horizon: Colour
    glow: Colour
    ridges: tuple[tuple[float, Colour], ...]
    clouds: float = 0.4
    cloud: Colour = (1.0, 1.0, 1.0)
    sun_size: float = 3.0
    """Radius of its disc in degrees; 0 draws none."""
    trees: bool = True
    """Is the nearest range wooded?"""


def paint_sky(sky: Sky, azimuth: float, height: float, style: str, seed: int) -> NDArray[np.uint8]:
    """``[512, 2048, 3]``: columns are azimuth from east to north, rows run from the zenith to 30 degrees below the horizon."""
    g = Grain(style, seed)
    rng = np.random.default_rng([seed, 23])
    e = np.linspace(90, -30, ROWS)[:, None] + np.zeros((1, COLUMNS))
    a = ((np.arange(COLUMNS) + 0.5) * 360 / COLUMNS)[None] + np.zeros((ROWS, 1))
    up = np.clip(e / 55, 0, 1)[..., None] ** 0.65
    out = np.array(sky.horizon) * (1 - up) + np.array(sky.zenith) * up
    if style == "stylised":
        band = np.floor(up * 6) / 6
        out = np.array(sky.horizon) * (1 - band) + np.array(sky.zenith) * band
    away = (a - azimuth + 180) % 360 - 180
    d = np.hypot(away * np.cos(np.radians(e)), e - height)
    halo = 0.55 * np.exp(-((d / 24) ** 2)) if style != "stylised" else 0.5 * (d < 9)
    light = np.clip(halo + 1.0 * (d < sky.sun_size), 0, 1)[..., None]
    out = out + light * (np.array(sky.glow) - out)
    flat = 1 / np.tan(np.radians(np.clip(e, 3, 89)))
    x, y = flat * np.cos(np.radians(a)), flat * np.sin(np.radians(a))
    if style == "game":
        x, y = np.floor(x * 5) / 5, np.floor(y * 5) / 5
    puff = g.soft(x, y, 9.0) + 0.45 * g.soft(x, y, 3.2) + (0.2 * g.soft(x, y, 1.2) if style == "photoreal" else 0)
    cover = np.clip((puff - (2.0 - 2.4 * sky.clouds)) * (1.0 if style == "photoreal" else 9.0), 0, 1) * np.clip(e / 12, 0, 1)
    shade = np.clip(puff - 1.6, 0, 1)[..., None] * 0.25
    out = out + 0.92 * cover[..., None] * (np.array(sky.cloud) * (1 - shade) - out)
    for k, (top, colour) in enumerate(sky.ridges):
        line = _ridge(a[0], top, 3 + 2 * k, rng)
        if style == "game":
            line = np.repeat(line[::16], 16)
        last = k == len(sky.ridges) - 1
        if last and sky.trees:
            line = line + 0.9 * np.abs(g.soft(a[0] * 0.5, 0 * a[0], 1.4)) * (style != "game")
        hill = e < line[None]
        deep = np.clip((line[None] - e) / max(top, 1), 0, 1)[..., None]
        tone = np.array(colour) * (1 - 0.18 * deep)
        if style == "photoreal":
            tone = tone * (1 + 0.07 * g.soft(a * 0.12, e * 0.3, 1.5))[..., None]
        out = np.where(hill[..., None], tone, out)
    return np.clip(out * 255, 0, 255).astype(np.uint8)


def _ridge(azimuth: Array, top: float, waves: int, rng: np.random.Generator) -> Array:
    """The skyline of a range: ``top`` degrees at its highest, never the same twice around."""
    line = np.zeros_like(azimuth)
    for k in (1, 2, waves, 2 * waves + 1, 4 * waves + 3, 9 * waves + 5):
        line = line + rng.uniform(0.5, 1.0) / k**0.75 * np.sin(np.radians(azimuth) * k + rng.uniform(0, 6.28))
    line = line - line.min()
    return top * (0.25 + 0.75 * line / line.max())
