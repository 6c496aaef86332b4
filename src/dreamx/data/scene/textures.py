"""Surfaces: small repeating pictures for the three looks, and the sky.

photoreal grain is band-limited noise, game is coarse square texels, stylised is flat colour. Structure (bricks, planks,
windows, stripes) is large on purpose: it has to be legible when the whole picture is 64 pixels wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Picture = NDArray[np.uint8]
SIDE = 64  # texels of a repeating surface

#: Colours that have a name, so that captions can say them.
COLOURS: dict[str, Colour] = {
    "red": (0.82, 0.16, 0.14),
    "orange": (0.95, 0.52, 0.12),
    "yellow": (0.95, 0.80, 0.20),
    "green": (0.25, 0.62, 0.25),
    "teal": (0.10, 0.60, 0.58),
    "blue": (0.18, 0.38, 0.80),
    "purple": (0.50, 0.26, 0.68),
    "pink": (0.93, 0.50, 0.64),
    "white": (0.92, 0.91, 0.88),
    "cream": (0.91, 0.83, 0.66),
    "brown": (0.48, 0.30, 0.17),
    "grey": (0.56, 0.57, 0.60),
    "sky blue": (0.52, 0.76, 0.93),
    "dark blue": (0.12, 0.18, 0.42),
    "lime": (0.62, 0.82, 0.22),
}


def tint(colour: Colour, style: str) -> Colour:
    """The colour as the look shows it: muted in photographs, loud in games, light in drawings."""
    c = np.array(colour)
    grey = c.mean()
    c = {
        "photoreal": grey + 0.82 * (c - grey),
        "game": grey + 1.12 * (c - grey),
        "stylised": 0.12 + 0.90 * (grey + 1.05 * (c - grey)),
    }[style]
    r, g, b = np.clip(c, 0.02, 1.0)
    return float(r), float(g), float(b)


def noise(rng: np.random.Generator, side: int, roughness: float) -> NDArray[np.float64]:
    """Tileable noise ``[side, side]`` of zero mean and unit variance, spectrum ``1 / f ** roughness``."""
    f = np.fft.fftfreq(side) * side
    r = np.hypot(f[:, None], f[None, :])
    r[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) / r**roughness
    spectrum[0, 0] = 0.0
    x = np.fft.ifft2(spectrum).real
    return (x / x.std()).astype(np.float64)


def grain(style: str, side: int, texels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The brightness ``[side, side]`` that the look lays over any surface, about 1; ``texels`` squares a side for games."""
    if style == "photoreal":
        return 1.0 + 0.05 * noise(rng, side, 1.0)
    if style == "game":
        coarse = 1.0 + 0.10 * rng.uniform(-1.0, 1.0, (texels, texels))
        return np.kron(coarse, np.ones((side // texels, side // texels))).astype(np.float64)
    return np.ones((side, side))


def surface(pattern: str, colour: Colour, style: str, rng: np.random.Generator) -> Picture:
    """One repeating surface ``[64, 64, 3]``. ``pattern`` is a key of the table below."""
    g = grain(style, SIDE, 8, rng)[..., None]
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    drawn = _PATTERNS[pattern](np.array(tint(colour, style)), x, y, rng)
    return np.clip(drawn * g * 255.0, 0, 255).astype(np.uint8)


Drawn = NDArray[np.float64]
Ints = NDArray[np.int64]


def _plain(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    return np.broadcast_to(c, (SIDE, SIDE, 3))


def _brick(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    shift = (y // 16 % 2) * 16
    mortar = (y % 16 < 2) | ((x + shift) % 32 < 2)
    shade = rng.uniform(0.86, 1.10, (4, 2))[y // 16, ((x + shift) // 32) % 2]
    return np.where(mortar[..., None], 0.72 * c + 0.16, c * shade[..., None])


def _planks(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    shade = rng.uniform(0.80, 1.15, 4)[x // 16]
    return c * np.where(x % 16 < 1, 0.6, shade)[..., None]


def _leaves(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    blobs = np.kron(rng.uniform(0.68, 1.22, (8, 8)), np.ones((8, 8)))
    return c * blobs[..., None]


def _stripes(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    return np.where((x // 16 % 2 == 0)[..., None], c, np.array((0.93, 0.92, 0.88)))


def _checker(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    return np.where(((x // 32 + y // 32) % 2 == 0)[..., None], c, 0.45 * c + 0.45)


def _windows(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    """One storey of one bay: a dark pane in a light frame."""
    frame = (abs(x - 31.5) < 17) & (abs(y - 31.5) < 20)
    pane = (abs(x - 31.5) < 13) & (abs(y - 31.5) < 16)
    glass = np.array((0.20, 0.27, 0.36)) + 0.25 * (y / SIDE)[..., None]
    out = np.where(frame[..., None], np.array((0.90, 0.88, 0.82)), c)
    return np.where(pane[..., None], glass, out)


def _glass(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    """A bright window seen from inside: sky over a green edge, white bars."""
    bars = (abs(x - 31.5) < 3) | (abs(y - 31.5) < 3) | (abs(x - 31.5) > 28) | (abs(y - 31.5) > 28)
    view = np.where((y > 12)[..., None], np.array((0.62, 0.84, 1.0)), np.array((0.45, 0.70, 0.38)))
    return np.where(bars[..., None], np.array((0.97, 0.97, 0.95)), view)


def _picture(c: Drawn, x: Ints, y: Ints, rng: np.random.Generator) -> Drawn:
    """A framed picture: a ground, a band and a disc in three strong colours."""
    names = rng.permutation(list(COLOURS))
    a, b, d = (np.array(COLOURS[str(n)]) for n in names[:3])
    out = np.where((y < rng.integers(16, 44))[..., None], a, b)
    disc = np.hypot(x - rng.integers(20, 44), y - rng.integers(20, 44)) < rng.integers(10, 18)
    out = np.where(disc[..., None], d, out)
    return np.where(((abs(x - 31.5) > 27) | (abs(y - 31.5) > 27))[..., None], c, out)


_PATTERNS = {
    "plain": _plain,
    "brick": _brick,
    "planks": _planks,
    "leaves": _leaves,
    "stripes": _stripes,
    "checker": _checker,
    "windows": _windows,
    "glass": _glass,
    "picture": _picture,
}

#: hour -> zenith, horizon, sun colour, how the caption says it
SKIES: dict[str, tuple[Colour, Colour, Colour, str]] = {
    "noon": ((0.22, 0.48, 0.88), (0.72, 0.86, 0.96), (1.0, 0.98, 0.85), "under a clear blue sky"),
    "cloudy": ((0.55, 0.63, 0.72), (0.82, 0.85, 0.87), (0.95, 0.95, 0.92), "under a pale cloudy sky"),
    "sunset": ((0.32, 0.30, 0.62), (0.98, 0.66, 0.40), (1.0, 0.86, 0.50), "at sunset"),
    "morning": ((0.40, 0.64, 0.90), (0.98, 0.88, 0.72), (1.0, 0.95, 0.75), "in the morning light"),
    "dusk": ((0.10, 0.11, 0.30), (0.52, 0.36, 0.56), (0.95, 0.90, 0.85), "at dusk"),
}


def sky(hour: str, style: str, sun: float, hills: list[Colour], rng: np.random.Generator) -> Picture:
    """The sky all around, ``[128, 512, 3]``: columns are azimuth (0 to 360 degrees), rows run from the zenith to the ground.

    The last quarter of the rows lies below the horizon. ``sun`` is its azimuth in degrees; ``hills`` are the colours of
    the far ranges in as many directions, so that the horizon tells where one looks.
    """
    rows, cols = 128, 512
    zenith, horizon, glow, _ = SKIES[hour]
    elevation = np.linspace(90.0, -30.0, rows)[:, None]
    azimuth = (np.arange(cols) + 0.5)[None] * 360.0 / cols
    up = np.clip(elevation / 60.0, 0, 1)[..., None] ** 0.7
    out = up * np.array(zenith) + (1 - up) * np.array(horizon) + np.zeros((rows, cols, 1))
    away = (azimuth - sun + 180.0) % 360.0 - 180.0
    distance = np.hypot(away * np.cos(np.radians(elevation)), elevation - 24.0)
    halo = np.exp(-((distance / 22.0) ** 2)) * 0.5 if style != "stylised" else np.zeros_like(distance)
    disc = (distance < 5.0) * 1.0
    light = np.clip(halo + disc, 0, 1)[..., None]
    clouds = np.tile(noise(rng, 128, 1.6), (1, 4)) if style != "game" else np.kron(noise(rng, 32, 1.2), np.ones((4, 16)))
    cover = np.clip((clouds - (0.2 if hour == "cloudy" else 0.7)) * (1.2 if style == "photoreal" else 9.0), 0, 1)
    cover = cover * np.clip(elevation / 15.0, 0, 1) * 0.85
    out = out + cover[..., None] * (0.5 * np.array(horizon) + 0.5 - out)
    out = out + light * (np.array(glow) - out)
    wave = sum(a * np.sin(np.radians(azimuth) * k + rng.uniform(0, 6.3)) for a, k in ((2.5, 3), (1.5, 7), (0.8, 13)))
    which = (azimuth[0] * len(hills) / 360.0).astype(int)
    range_ = np.array(hills)[which][None] * np.ones((rows, 1, 1))
    range_ = 0.75 * range_ + 0.25 * np.array(horizon)
    out = np.where((elevation < 5.0 + wave)[..., None], range_, out)
    if style == "game":
        out = out[::4, ::4].repeat(4, 0).repeat(4, 1)
    return np.clip(out * 255.0, 0, 255).astype(np.uint8)
