"""Walls with doors and windows in them, and furniture: for home places that have an inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.homes.things import At, key, turned

THICK = 0.24  # of a wall, metres


@dataclass(frozen=True)
class WallOpening:
    """A hole in a wall: its middle, metres from the wall's start, its width, and from which height to which it is open."""

    at: float
    width: float
    low: float = 0.0
    high: float = 2.2


def door(at: float, width: float = 1.5) -> WallOpening:
    return WallOpening(at, width)


def window(at: float, width: float = 1.6, low: float = 0.9, high: float = 2.1) -> WallOpening:
    return WallOpening(at, width, low, high)


def wall(
    b: Builder, a: At, c: At, height: float, left: Paint, right: Paint, holes: tuple[WallOpening, ...] = (), trim: str = "chalk"
) -> None:
    """A wall from ``a`` to ``c`` with ``left`` and ``right`` paint on its two sides, and frames about its holes."""
    length = float(np.hypot(c[0] - a[0], c[1] - a[1]))
    yaw = float(np.degrees(np.arctan2(c[1] - a[1], c[0] - a[0])))

    def piece(s: float, e: float, low: float, high: float) -> None:
        if e - s < 0.01 or high - low < 0.01:
            return
        for aside, paint in ((THICK / 4, left), (-THICK / 4, right)):
            at = turned(a, yaw, (s + e) / 2, aside)
            b.box(at, (e - s, THICK / 2), (low, high), paint, yaw=yaw, solid=False)
        if low < 1.7 and high > 0.3:
            b.block(rectangle(turned(a, yaw, (s + e) / 2), (e - s, THICK), yaw), high)

    edge = 0.0
    for hole in sorted(holes, key=lambda h: h.at):
        s, e = hole.at - hole.width / 2, hole.at + hole.width / 2
        piece(edge, s, 0, height)
        piece(s, e, 0, hole.low)
        piece(s, e, hole.high, height)
        _frame(b, a, yaw, hole, trim)
        edge = e
    piece(edge, length, 0, height)


def _frame(b: Builder, a: At, yaw: float, hole: WallOpening, trim: str) -> None:
    p, deep = Paint(trim, "plain"), THICK + 0.06
    s, e = hole.at - hole.width / 2, hole.at + hole.width / 2
    for x in (s, e):
        b.box(turned(a, yaw, x), (0.10, deep), (hole.low, hole.high), p, yaw=yaw, solid=False)
    b.box(turned(a, yaw, hole.at), (hole.width + 0.1, deep), (hole.high - 0.05, hole.high + 0.06), p, yaw=yaw, solid=False)
    if hole.low > 0:
        b.box(
            turned(a, yaw, hole.at), (hole.width + 0.2, deep + 0.12), (hole.low - 0.05, hole.low + 0.02), p, yaw=yaw, solid=False
        )
        b.box(turned(a, yaw, hole.at), (0.05, 0.06), (hole.low, hole.high), p, yaw=yaw, solid=False)
        b.box(
            turned(a, yaw, hole.at),
            (hole.width, 0.06),
            ((hole.low + hole.high) / 2 + 0.15, (hole.low + hole.high) / 2 + 0.20),
            p,
            yaw=yaw,
            solid=False,
        )


def floor(b: Builder, x: tuple[float, float], y: tuple[float, float], paint: Paint, z: float = 0.012) -> None:
    """A floor that covers a rectangle of the plan."""
    b.quad([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)], paint)


def ceiling(b: Builder, x: tuple[float, float], y: tuple[float, float], z: float, paint: Paint) -> None:
    b.quad([(x[0], y[1], z), (x[1], y[1], z), (x[1], y[0], z), (x[0], y[0], z)], paint)


def rug(b: Builder, at: At, size: At, colour: str, yaw: float = 0.0) -> None:
    base = rectangle(at, size, yaw)
    b.quad(np.column_stack([base, np.full(4, 0.03)]), Paint(colour, "carpet", variant=key(b)), [(0, 0), (1, 0), (1, 1), (0, 1)])


def picture(
    b: Builder, at: At, facing: float, size: At = (1.2, 0.9), frame: str = "walnut", z: float = 1.6, variant: int | None = None
) -> None:
    b.board((*at, z), facing, size, Paint(frame, "picture", variant=key(b) if variant is None else variant))


def table(b: Builder, at: At, size: At = (1.8, 0.9), yaw: float = 0.0, colour: str = "oak") -> None:
    p = Paint(colour, "boards", variant=key(b))
    b.box(at, size, (0.70, 0.77), p, yaw=yaw)
    for corner in rectangle(at, (size[0] - 0.16, size[1] - 0.16), yaw):
        b.box((float(corner[0]), float(corner[1])), (0.08, 0.08), (0, 0.70), p, yaw=yaw, solid=False)


def chair(b: Builder, at: At, yaw: float, colour: str = "pine") -> None:
    """A chair whose back is towards ``yaw`` + 90 degrees."""
    p = Paint(colour, "boards", variant=key(b))
    b.box(at, (0.45, 0.45), (0.42, 0.47), p, yaw=yaw)
    b.box(turned(at, yaw + 90, 0.21), (0.45, 0.05), (0.5, 0.98), p, yaw=yaw, solid=False)
    for corner in rectangle(at, (0.38, 0.38), yaw):
        b.box((float(corner[0]), float(corner[1])), (0.05, 0.05), (0, 0.42), p, yaw=yaw, solid=False)


def shelf(b: Builder, at: At, width: float, yaw: float, height: float = 2.1, wood: str = "walnut") -> None:
    """Book shelves with their front towards ``yaw`` - 90 degrees."""
    k = key(b)
    b.box(at, (width, 0.34), (0, height), Paint(wood, "planks", variant=k), yaw=yaw)
    x, y = turned(at, yaw - 90, 0.175)
    u = max(1, round(width / 0.9))
    f = np.radians(yaw - 90)
    right = np.array((-np.sin(f), np.cos(f), 0.0)) * (width / 2 - 0.05)
    m, up = np.array((x, y, height / 2)), np.array((0, 0, height / 2 - 0.06))
    b.quad(
        [m - right - up, m + right - up, m + right + up, m - right + up],
        Paint(wood, "books", variant=k),
        [(0, 0), (u, 0), (u, 1), (0, 1)],
    )


def sofa(b: Builder, at: At, yaw: float, colour: str, width: float = 2.0) -> None:
    """A sofa with its back towards ``yaw`` + 90 degrees."""
    p = Paint(colour, "plain", variant=key(b))
    b.box(at, (width, 0.85), (0.10, 0.42), p, yaw=yaw)
    b.box(turned(at, yaw + 90, 0.36), (width, 0.22), (0.42, 0.88), p, yaw=yaw, solid=False)
    for side in (-width / 2 + 0.1, width / 2 - 0.1):
        b.box(turned(at, yaw, side), (0.2, 0.85), (0.42, 0.62), p, yaw=yaw, solid=False)
    for side, c in ((-0.5, "ivory"), (0.45, "ochre")):
        b.box(turned(turned(at, yaw, side), yaw + 90, 0.16), (0.45, 0.16), (0.45, 0.80), Paint(c, "plain"), yaw=yaw, solid=False)


def bed(b: Builder, at: At, yaw: float, colour: str) -> None:
    """A bed with its head towards ``yaw`` + 90 degrees."""
    b.box(at, (1.6, 2.1), (0.12, 0.38), Paint("oak", "planks", variant=key(b)), yaw=yaw)
    b.box(at, (1.5, 2.0), (0.38, 0.56), Paint("chalk", "plain"), yaw=yaw, solid=False)
    b.box(
        turned(at, yaw - 90, 0.35),
        (1.62, 1.35),
        (0.40, 0.60),
        Paint(colour, "carpet", variant=key(b)),
        Paint(colour, "plain"),
        yaw,
        solid=False,
    )
    b.box(turned(at, yaw + 90, 1.05), (1.7, 0.1), (0, 1.1), Paint("oak", "planks"), yaw=yaw, solid=False)
    for side in (-0.38, 0.38):
        b.box(
            turned(turned(at, yaw, side), yaw + 90, 0.72),
            (0.6, 0.38),
            (0.56, 0.70),
            Paint("ivory", "plain"),
            yaw=yaw,
            solid=False,
        )


def kitchen(b: Builder, at: At, yaw: float, width: float, colour: str = "mint") -> None:
    """A row of cupboards with a worktop, a sink and a stove; the front is towards ``yaw`` - 90 degrees."""
    b.box(at, (width, 0.62), (0, 0.88), Paint(colour, "planks", variant=key(b)), yaw=yaw)
    b.box(at, (width + 0.06, 0.68), (0.88, 0.94), Paint("granite", "plain"), yaw=yaw, solid=False)
    b.box(turned(at, yaw, width * 0.28), (0.62, 0.64), (0.0, 0.945), Paint("iron", "plain"), yaw=yaw, solid=False)
    for side in (-0.14, 0.14):
        b.round(
            turned(turned(at, yaw, width * 0.28), yaw, side), 0.1, (0.945, 0.96), Paint("coral", "plain"), solid=False, sides=8
        )
    b.round(turned(at, yaw, width * 0.28 - 0.14), 0.13, (0.96, 1.16), Paint("wine", "plain"), solid=False, sides=10)
    b.box(turned(at, yaw, -width * 0.2), (0.6, 0.42), (0.94, 0.95), Paint("slate", "plain"), yaw=yaw, solid=False)
    b.box(turned(at, yaw + 90, 0.16), (width, 0.3), (1.45, 2.1), Paint(colour, "planks", variant=key(b)), yaw=yaw, solid=False)


def plant(b: Builder, at: At, height: float = 1.2, pot: str = "terracotta") -> None:
    b.round(at, 0.20, (0, 0.36), Paint(pot, "plain"), taper=1.25, top=Paint("walnut", "plain"), sides=9)
    p = Paint("palm", "leaves", variant=key(b))
    b.round(at, 0.04, (0.36, height * 0.7), Paint("oak", "bark"), solid=False, sides=5)
    for i in range(4):
        x, y = turned(at, 90.0 * i + 20, 0.17)
        b.ball((x, y, height * (0.68 + 0.07 * (i % 3))), (0.24, 0.26), p, sides=8)


def floor_lamp(b: Builder, at: At, shade: str = "ivory") -> None:
    b.round(at, 0.16, (0, 0.05), Paint("iron", "plain"), sides=8)
    b.round(at, 0.025, (0.05, 1.4), Paint("brass", "plain"), solid=False, sides=6)
    b.round(at, 0.26, (1.38, 1.72), Paint("lamp", "plain", glow=True), taper=0.6, solid=False, sides=10)


def pendant(b: Builder, at: At, z: float, ceiling_: float, colour: str = "wine") -> None:
    """A lamp that hangs from the ceiling."""
    b.round(at, 0.015, (z + 0.25, ceiling_), Paint("iron", "plain"), solid=False, sides=5)
    b.round(at, 0.30, (z, z + 0.26), Paint(colour, "plain"), taper=0.25, solid=False, sides=10)
    b.ball((*at, z + 0.02), (0.12, 0.12), Paint("lamp", "plain", glow=True), sides=8)


def crate(b: Builder, at: At, size: float = 0.8, yaw: float = 0.0, colour: str = "pine", z: float = 0.0) -> None:
    b.box(at, (size, size), (z, z + size), Paint(colour, "planks", variant=key(b)), yaw=yaw)


def barrel(b: Builder, at: At, colour: str = "oak") -> None:
    k = key(b)
    b.round(at, 0.32, (0, 0.5), Paint(colour, "planks", variant=k), taper=1.15, sides=12)
    b.round(
        at,
        0.368,
        (0.5, 1.0),
        Paint(colour, "planks", variant=k),
        taper=0.87,
        solid=False,
        top=Paint("walnut", "boards"),
        sides=12,
    )
    for z in (0.16, 0.78):
        b.round(at, 0.36, (z, z + 0.06), Paint("iron", "plain"), solid=False, sides=12)


def gear(b: Builder, at: tuple[float, float, float], facing: float, r: float, colour: str, teeth: int = 12) -> None:
    """A gear wheel on a wall, its front towards ``facing`` degrees."""
    f = np.radians(facing)
    right, out = np.array((-np.sin(f), np.cos(f), 0.0)), np.array((np.cos(f), np.sin(f), 0.0)) * 0.12
    up, m, p = np.array((0, 0, 1.0)), np.asarray(at), Paint(colour, "plain")
    a = np.linspace(0, 2 * np.pi, 4 * teeth, endpoint=False)
    radius = np.where(np.arange(4 * teeth) % 4 < 2, r, 0.84 * r)
    rim = m + out + radius[:, None] * (np.cos(a)[:, None] * right + np.sin(a)[:, None] * up)
    hub = m + out + 0.3 * r * (np.cos(a)[:, None] * right + np.sin(a)[:, None] * up)
    for i in range(len(a)):
        j = (i + 1) % len(a)
        b.quad([hub[i], rim[i], rim[j], hub[j]], p)
        b.quad([rim[i] - out, rim[j] - out, rim[j], rim[i]][::-1], p)
    cap = circle((0, 0), 0.2 * r, 8)
    for i in range(8):
        j = (i + 1) % 8
        q = [m + 1.4 * out + cap[k, 0] * right + cap[k, 1] * up for k in (i, j)]
        b.quad([m + 1.4 * out, q[0], q[1], q[1]], Paint("brass", "plain"))
