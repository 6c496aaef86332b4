"""Surfaces with things on them: windows, doors, shelves, signs, pictures. ``u`` and ``v`` count bays (0 to 1 is one of them)."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.homes import surfaces as base
from dreamx.data.scene.homes.surfaces import Array, Grain, Surface, SurfacePoint, blend, shaded

DARK = np.array((0.16, 0.20, 0.26))
WHITE = np.array((0.93, 0.92, 0.88))
WOOD = np.array((0.42, 0.27, 0.16))
SHUTTERS = np.array(((0.20, 0.42, 0.30), (0.55, 0.18, 0.15), (0.18, 0.30, 0.52), (0.62, 0.50, 0.22)))


def _within(s: SurfacePoint) -> tuple[Array, Array, Array, Array]:
    """Return the bay of each point (two indices), and its place within, 0 to 1."""
    i, j = np.floor(s.u), np.floor(s.v)
    return i, j, s.u - i, s.v - j


def _wall(s: SurfacePoint, g: Grain, under: Surface, width: float = 2.6, height: float = 2.8) -> Array:
    return under(SurfacePoint(s.u * width, s.v * height, s.xyz, s.colour, s.key), g)


def window(s: SurfacePoint, g: Grain, under: Surface = base.plaster, shutters: bool = True) -> Array:
    """A bay of a wall with a window of four panes, a sill, and for some houses shutters."""
    i, j, a, b = _within(s)
    x, y = a - 0.5, b - 0.52
    out = _wall(s, g, under)
    half, tall = 0.19, 0.25
    if shutters:
        leaf = (np.abs(x) > half + 0.02) & (np.abs(x) < half + 0.17) & (np.abs(y) < tall)
        slat = 1 - 0.25 * ((b * 34) % 1 < 0.3)
        out = np.where(leaf[:, None], shaded(SHUTTERS[s.key % 4], slat), out)
    frame = (np.abs(x) < half + 0.025) & (np.abs(y) < tall + 0.03)
    pane = (np.abs(x) < half) & (np.abs(y) < tall)
    bars = (np.abs(x) < 0.012) | (np.abs(y - 0.05) < 0.012)
    sky = blend(
        np.broadcast_to(DARK, (len(a), 3)), np.array((0.62, 0.74, 0.86)), 0.55 * (y / tall + 0.4) + 0.15 * np.sin(9 * (x - y))
    )
    lit = g.chance(i, j, s.key) > 0.8
    sky = np.where(lit[:, None], np.array((0.90, 0.74, 0.42)), sky)
    curtain = (np.abs(x) > 0.115) & (g.chance(i, j, s.key + 1) > 0.45)
    sky = np.where(curtain[:, None], 0.5 * sky + 0.4, sky)
    out = np.where(frame[:, None], WHITE, out)
    out = np.where((pane & ~bars)[:, None], sky, out)
    sill = (np.abs(x) < half + 0.06) & (np.abs(y + tall + 0.045) < 0.022)
    box = (np.abs(x) < half + 0.03) & (np.abs(y + tall - 0.02) < 0.06) & (g.chance(i, j, s.key + 2) > 0.6)
    petals = np.where(
        (g.chance(a / 0.02, b / 0.02, s.key) > 0.5)[:, None], np.array((0.85, 0.25, 0.30)), np.array((0.28, 0.48, 0.20))
    )
    out = np.where(box[:, None], petals, out)
    return np.where(sill[:, None], np.array((0.74, 0.72, 0.68)), out)


def timber_window(s: SurfacePoint, g: Grain) -> Array:
    """A bay of half-timbering with a window."""
    return window(
        s, g, lambda t, grain: base.timber(SurfacePoint(t.u / 2.6, t.v / 2.8, t.xyz, t.colour, t.key), grain), shutters=False
    )


def brick_window(s: SurfacePoint, g: Grain) -> Array:
    """A bay of a brick wall with a window."""
    return window(s, g, base.brick)


def slit(s: SurfacePoint, g: Grain) -> Array:
    """A bay of a castle wall: cut stone with a narrow arched slit."""
    _, _, a, b = _within(s)
    out = _wall(s, g, base.ashlar)
    x, y = np.abs(a - 0.5) * 2.6, b * 2.8
    hole = (x < 0.14) & (y > 0.9) & (y < 2.0 - 1.2 * x)
    rim = (x < 0.24) & (y > 0.8) & (y < 2.12 - 1.0 * x)
    out = np.where(rim[:, None], shaded(s.colour, np.full(len(a), 1.15)), out)
    return np.where(hole[:, None], np.array((0.08, 0.08, 0.10)), out)


def arch(s: SurfacePoint, g: Grain) -> Array:
    """A row of arches along a ground floor."""
    _, _, a, b = _within(s)
    out = _wall(s, g, base.ashlar)
    x, y = np.abs(a - 0.5) * 2.6, b * 2.8
    top = 1.5 + np.sqrt(np.clip(0.85**2 - x**2, 0, None))
    rim_top = 1.5 + np.sqrt(np.clip(1.03**2 - x**2, 0, None))
    out = np.where(
        ((x < 1.03) & (y < rim_top))[:, None], shaded(WHITE, 0.92 + 0.1 * g.chance(np.arctan2(y - 1.5, x) * 5, s.key)), out
    )
    return np.where(((x < 0.85) & (y < top))[:, None], np.array((0.15, 0.13, 0.13)), out)


def door(s: SurfacePoint, g: Grain) -> Array:
    """A panelled door in a frame: the face is the door."""
    a, b = s.u, s.v
    edge = (a < 0.07) | (a > 0.93) | (b > 0.95)
    board = (a * 5) % 1
    panel = shaded(s.colour, np.where(board < 0.1, 0.6, 0.95 + 0.14 * g.chance(a * 5, s.key)))
    light = (b > 0.68) & (b < 0.88) & (a > 0.25) & (a < 0.75) & (np.abs(a - 0.5) > 0.015)
    panel = np.where(light[:, None], np.array((0.75, 0.80, 0.72)), panel)
    knob = np.hypot((a - 0.84) * 0.5, b - 0.46) < 0.022
    panel = np.where(knob[:, None], np.array((0.92, 0.78, 0.30)), panel)
    return np.where(edge[:, None], WHITE * 0.92, panel)


def gate(s: SurfacePoint, g: Grain) -> Array:
    """A castle gate: iron bands over dark boards."""
    a, b = s.u, s.v
    wood = shaded(WOOD, 0.75 + 0.4 * g.chance(a * 9, 2))
    band = (np.abs((b * 5) % 1 - 0.5) < 0.08) | (np.abs(a - 0.5) < 0.012)
    stud = (np.hypot((a * 9) % 1 - 0.5, ((b * 5) % 1 - 0.5) * 2.2) < 0.16) & band
    out = np.where(band[:, None], np.array((0.20, 0.20, 0.22)), wood)
    return np.where(stud[:, None], np.array((0.55, 0.54, 0.50)), out)


def books(s: SurfacePoint, g: Grain) -> Array:
    """Shelves of books: four rows for each unit of ``v``."""
    row = np.floor(s.v * 4)
    y = s.v * 4 - row
    spine = np.floor(s.u * 14 + 3 * g.chance(row, s.key))
    tall = 0.60 + 0.30 * g.chance(spine, row, s.key)
    hue = g.chance(spine, row, s.key + 1)
    colour = np.stack(
        [
            0.30 + 0.55 * np.abs(np.sin(5 * hue)),
            0.25 + 0.45 * np.abs(np.sin(5 * hue + 2)),
            0.22 + 0.5 * np.abs(np.sin(5 * hue + 4)),
        ],
        -1,
    )
    gap = (s.u * 14 + 3 * g.chance(row, s.key)) - spine < 0.12
    out = np.where((gap | (y > tall) | (hue > 0.93))[:, None], np.array((0.12, 0.09, 0.07)), colour)
    out = np.where(((np.abs(y - 0.18) < 0.03) & (y < tall))[:, None], out * 1.4 + 0.1, out)
    return np.where((y < 0.09)[:, None] | (s.u % 1 < 0.03)[:, None], shaded(s.colour, np.ones(len(y))), out)


def glass(s: SurfacePoint, g: Grain) -> Array:
    """A window from inside: a garden under the sky, white bars."""
    a, b = s.u, s.v
    bars = (np.abs(a - 0.5) < 0.025) | (np.abs(b - 0.5) < 0.02) | (np.minimum(a, 1 - a) < 0.05) | (np.minimum(b, 1 - b) < 0.05)
    sky = blend(np.broadcast_to(np.array((0.80, 0.92, 1.0)), (len(a), 3)), np.array((0.45, 0.72, 0.98)), b * 1.3 - 0.4)
    hill = b < 0.36 + 0.06 * np.sin(7 * a + s.key) + 0.03 * g.soft(a, b, 0.2)
    view = np.where(hill[:, None], shaded(np.array((0.40, 0.62, 0.32)), 1 + 0.12 * g.soft(a * 3, b * 3, 0.4)), sky)
    return np.where(bars[:, None], np.array((0.97, 0.96, 0.93)), view)


def picture(s: SurfacePoint, g: Grain) -> Array:
    """A framed painting: a landscape, a still life or bars of colour, by the face."""
    a, b = s.u, s.v
    rng = np.random.default_rng([s.key, 5])
    c = rng.uniform(0.15, 0.95, (4, 3))
    kind = s.key % 3
    if kind == 0:  # hills under a sun
        out = np.where((b > 0.55)[:, None], c[0] * 0.4 + 0.55, c[1])
        out = np.where((np.hypot(a - 0.68, b - 0.74) < 0.10)[:, None], np.array((0.98, 0.85, 0.40)), out)
        out = np.where((b < 0.42 + 0.14 * np.sin(6 * a + s.key))[:, None], c[2] * 0.8, out)
        out = np.where((b < 0.24 + 0.10 * np.sin(9 * a + 2))[:, None], c[3] * 0.6, out)
    elif kind == 1:  # a vase on a table
        out = np.broadcast_to(c[0] * 0.5 + 0.2, (len(a), 3))
        out = np.where((b < 0.32)[:, None], c[1] * 0.7, out)
        out = np.where((np.hypot((a - 0.5) * 1.5, b - 0.40) < 0.16)[:, None], c[2], out)
        for k in range(5):
            p = (0.5 + 0.16 * np.cos(1.3 * k), 0.70 + 0.08 * np.sin(2.1 * k))
            out = np.where((np.hypot(a - p[0], b - p[1]) < 0.075)[:, None], c[3] * (0.7 + 0.06 * k), out)
    else:  # bars
        out = c[(np.floor(a * 3).astype(int) + np.floor(b * 2).astype(int)) % 4]
    frame = np.minimum(np.minimum(a, 1 - a), np.minimum(b, 1 - b))
    out = np.where((frame < 0.12)[:, None], WHITE, out)
    return np.where((frame < 0.07)[:, None], shaded(s.colour, 0.9 + 0.2 * (frame * 40 % 1)), out)


def sign(s: SurfacePoint, g: Grain) -> Array:
    """A painted shop sign: a bold shape in a ring."""
    x, y = (s.u - 0.5) * 2, (s.v - 0.5) * 2
    kind = s.key % 4
    shape = (
        np.hypot(x, y) < 0.45,
        (np.abs(x) + np.abs(y)) < 0.55,
        (np.abs(x) < 0.16) | (np.abs(y) < 0.16),
        (y > -0.35) & (y < 0.5 - 1.5 * np.abs(x)),
    )[kind] & (np.hypot(x, y) < 0.62)
    out = np.where(shape[:, None], np.array((0.97, 0.93, 0.80)), np.broadcast_to(s.colour, (len(x), 3)))
    ring = np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.86) < 0.07
    return np.where(ring[:, None], np.array((0.93, 0.78, 0.35)), out)


def stripes(s: SurfacePoint, g: Grain) -> Array:
    """An awning: stripes of 40 cm."""
    return np.where(((s.u / 0.4) % 2 < 1)[:, None], s.colour, WHITE) * (1 + 0.03 * g.soft(s.u, s.v, 0.5))[:, None]


def checker(s: SurfacePoint, g: Grain) -> Array:
    """A tiled floor, dark and light, half a metre."""
    x, y = s.xyz[:, 0] / 0.5, s.xyz[:, 1] / 0.5
    dark = (np.floor(x) + np.floor(y)) % 2 < 1
    joint = (x % 1 < 0.03) | (y % 1 < 0.03)
    out = np.where(dark[:, None], s.colour * 0.42, s.colour) * (0.94 + 0.12 * g.chance(x, y, 4))[:, None]
    return np.where(joint[:, None], 0.6 * out, out)


def carpet(s: SurfacePoint, g: Grain) -> Array:
    """A rug with borders and a pattern of diamonds; the face is the rug."""
    a, b = s.u, s.v
    edge = np.minimum(np.minimum(a, 1 - a), np.minimum(b, 1 - b))
    diamond = (np.abs((a * 5) % 1 - 0.5) + np.abs((b * 3) % 1 - 0.5)) < 0.28
    other = np.roll(s.colour, 1) * 0.8 + 0.15
    out = np.where(diamond[:, None], other, np.broadcast_to(s.colour, (len(a), 3)))
    out = np.where(((edge < 0.10) & (edge > 0.07))[:, None], WHITE * 0.9, out)
    return np.where((edge < 0.04)[:, None], other * 0.7, out) * (1 + 0.05 * g.fine * g.rough(a * 3, b * 3, 0.05))[:, None]


def paper(s: SurfacePoint, g: Grain) -> Array:
    """Wallpaper: stripes and small flowers over a dado of boards."""
    up = s.xyz[:, 2]
    stripe = np.where((s.u / 0.35) % 1 < 0.5, 1.0, 0.93)
    dot = np.hypot((s.u / 0.35) % 1 - 0.25, (s.v / 0.35) % 1 - 0.5) < 0.12
    out = np.where(dot[:, None], s.colour * 0.55 + 0.40, shaded(s.colour, stripe))
    dado = base.planks(SurfacePoint(s.u, s.v, s.xyz, WHITE * 0.95, s.key), g)
    rail = np.abs(up - 0.95) < 0.05
    out = np.where((up < 0.95)[:, None], dado, out)
    return np.where(rail[:, None], WOOD * 1.2, out)


SURFACES: dict[str, Surface] = {
    "plain": base.plain, "plaster": base.plaster, "brick": base.brick, "ashlar": base.ashlar, "tiles": base.tiles,
    "planks": base.planks, "boards": base.boards, "timber": base.timber, "cobbles": base.cobbles, "grass": base.grass,
    "gravel": base.gravel, "sand": base.sand, "snow": base.snow, "water": base.water, "leaves": base.leaves, "bark": base.bark,
    "rock": base.rock, "window": window, "timber window": timber_window, "brick window": brick_window, "slit": slit, "arch": arch,
    "door": door, "gate": gate, "books": books, "glass": glass, "picture": picture, "sign": sign, "stripes": stripes,
    "checker": checker, "carpet": carpet, "paper": paper,
}  # fmt: skip

#: Surfaces whose ``u`` and ``v`` count bays, or run from 0 to 1 over the face; those of all others are metres.
BAYS = {
    "timber",
    "window",
    "timber window",
    "brick window",
    "slit",
    "arch",
    "door",
    "gate",
    "books",
    "glass",
    "picture",
    "sign",
    "carpet",
}
