"""Things of home places: trees, houses, towers, fences. Each draws itself into a Builder and blocks the ground it stands on."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle

At = tuple[float, float]


def key(b: Builder) -> int:
    """A number that tells this thing's faces from those of its like."""
    return int(b.rng.integers(1, 9999))


def turned(at: At, yaw: float, along: float, aside: float = 0.0) -> At:
    """``along`` metres from ``at`` towards ``yaw`` degrees, and ``aside`` to its left."""
    f = np.radians(yaw)
    return float(at[0] + along * np.cos(f) - aside * np.sin(f)), float(at[1] + along * np.sin(f) + aside * np.cos(f))


def distance(at: At, a: At, c: At) -> float:
    """Return the distance of a place from the segment between two others, metres."""
    d, p = np.subtract(c, a), np.subtract(at, a)
    s = float(np.clip(np.dot(p, d) / np.dot(d, d), 0, 1))
    return float(np.hypot(*(p - s * d)))


def broadleaf(b: Builder, at: At, colour: str, height: float = 6.0, bark: str = "walnut", block: float | None = None) -> None:
    """A tree whose crown is a heap of balls; in games of cubes."""
    k, r = key(b), 0.055 * height
    crown, trunk = Paint(colour, "leaves", variant=k), Paint(bark, "bark", variant=k)
    b.round(at, r, (0, height * 0.62), trunk, taper=0.6, solid=False, sides=8)
    b.block(circle(at, max(block or r + 0.15, 0.3), 8), height)
    wide = 0.30 * height
    if b.style == "game":
        for z0, z1, w in ((0.42, 0.62, 1.9), (0.55, 0.82, 1.5), (0.82, 0.96, 0.9)):
            b.box(at, (wide * w, wide * w), (height * z0, height * z1), crown, solid=False)
        return
    b.ball((*at, height * 0.70), (wide * 0.85, height * 0.24), crown, sides=10)
    for i in range(6):
        a = i * np.pi / 3 + b.rng.uniform(-0.3, 0.3)
        d, s = wide * b.rng.uniform(0.50, 0.72), wide * b.rng.uniform(0.42, 0.60)
        z = height * b.rng.uniform(0.55, 0.78)
        b.ball((float(at[0] + d * np.cos(a)), float(at[1] + d * np.sin(a)), z), (s, s * 0.85), crown, sides=8)


def conifer(b: Builder, at: At, colour: str = "fir", height: float = 7.0, snowy: bool = False) -> None:
    """A fir: skirts of branches, each smaller than that below; with snow on top where ``snowy``."""
    k = key(b)
    b.round(at, 0.04 * height, (0, height * 0.25), Paint("walnut", "bark", variant=k), solid=False, sides=6)
    b.block(circle(at, 0.09 * height, 8), height)
    for i in range(5):
        z, r = height * (0.14 + 0.17 * i), height * (0.25 - 0.045 * i)
        low = Paint(colour, "leaves", variant=k)
        if b.style == "game":
            b.box(at, (2 * r, 2 * r), (z, z + height * 0.11), low, Paint("snow", "snow") if snowy else None, solid=False)
            continue
        b.round(at, r, (z, z + height * 0.10), low, taper=0.62, solid=False, sides=9)
        b.round(at, r * 0.62, (z + height * 0.10, z + height * 0.24), Paint("snow", "snow", variant=k) if snowy else low,
                taper=0.12, solid=False, sides=9)  # fmt: skip


def palm(b: Builder, at: At, height: float = 6.0, lean: float = 0.0) -> None:
    """A palm: a bent trunk, and a crown of leaves that hang."""
    k = key(b)
    f = np.radians(lean)
    steps = 6
    for i in range(steps):
        z0, z1 = height * i / steps, height * (i + 1) / steps
        off = 0.9 * (i / steps) ** 2
        b.round((float(at[0] + off * np.cos(f)), float(at[1] + off * np.sin(f))), 0.20 - 0.014 * i, (z0, z1 + 0.05),
            Paint("oak", "bark", variant=k),
                taper=0.85, solid=False, sides=7)  # fmt: skip
    b.block(circle(at, 0.4, 8), height)
    top = np.array((at[0] + 0.8 * np.cos(f), at[1] + 0.8 * np.sin(f), height))
    leaf = Paint("palm", "leaves", variant=k)
    for i in range(9):
        a = 2 * np.pi * i / 9
        out, side = np.array((np.cos(a), np.sin(a), 0.0)), np.array((-np.sin(a), np.cos(a), 0.0))
        p = [top, top + 1.2 * out + (0, 0, 0.45), top + 2.4 * out + (0, 0, -0.35)]
        w = [0.10, 0.42, 0.06]
        for j in (0, 1):
            q = [p[j] - w[j] * side, p[j + 1] - w[j + 1] * side, p[j + 1] + w[j + 1] * side, p[j] + w[j] * side]
            b.quad(q, leaf)
            b.quad([q[3], q[2], q[1], q[0]], leaf)
    for i in range(3):
        a = 2.1 * i
        b.ball(
            (float(top[0] + 0.2 * np.cos(a)), float(top[1] + 0.2 * np.sin(a)), height - 0.18),
            (0.15, 0.17),
            Paint("walnut", "plain"),
            sides=6,
        )


def bush(b: Builder, at: At, colour: str = "moss", r: float = 0.7) -> None:
    """A bush of three balls."""
    p = Paint(colour, "leaves", variant=key(b))
    b.block(circle(at, r, 8), r)
    if b.style == "game":
        b.box(at, (1.7 * r, 1.7 * r), (0, 1.2 * r), p, solid=False)
        return
    for i in range(3):
        x, y = turned(at, 120.0 * i + 17, 0.35 * r)
        b.ball((x, y, 0.5 * r), (0.75 * r, 0.7 * r), p, sides=8)


def boulder(b: Builder, at: At, r: float = 0.9, colour: str = "granite") -> None:
    """A rock with a flattened top."""
    p, n = Paint(colour, "rock", variant=key(b)), 7
    base = circle(at, r, n) + b.rng.uniform(-0.18, 0.18, (n, 2)) * r
    b.prism(base, (0, 0.55 * r), p, taper=0.86)
    b.prism(base.mean(0) + (base - base.mean(0)) * 0.86, (0.55 * r, r), p, taper=0.45)
    b.block(base, r)


def hedge(b: Builder, a: At, c: At, height: float = 1.2, width: float = 0.8, colour: str = "moss") -> None:
    """A clipped hedge between two points."""
    bar(b, a, c, width, (0, height), Paint(colour, "leaves", variant=key(b)))


def bar(
    b: Builder, a: At, c: At, width: float, z: tuple[float, float], p: Paint, top: Paint | None = None, solid: bool = True
) -> None:
    length = float(np.hypot(c[0] - a[0], c[1] - a[1]))
    yaw = float(np.degrees(np.arctan2(c[1] - a[1], c[0] - a[0])))
    b.box(((a[0] + c[0]) / 2, (a[1] + c[1]) / 2), (length, width), z, p, top, yaw, solid)


def wall(
    b: Builder, a: At, c: At, height: float = 1.2, width: float = 0.35, paint: Paint | None = None, coping: str = "chalk"
) -> None:
    """A garden wall with a coping of stone."""
    bar(b, a, c, width, (0, height), paint or Paint("sandstone", "ashlar"))
    bar(b, a, c, width + 0.14, (height, height + 0.10), Paint(coping, "plain"), solid=False)


def fence(b: Builder, a: At, c: At, colour: str = "chalk", height: float = 1.0) -> None:
    """Posts and two rails, with pales."""
    p = Paint(colour, "planks", variant=3)
    length = float(np.hypot(c[0] - a[0], c[1] - a[1]))
    yaw = float(np.degrees(np.arctan2(c[1] - a[1], c[0] - a[0])))
    for z in (0.3, 0.72):
        bar(b, a, c, 0.05, (z * height, z * height + 0.09), p, solid=False)
    n = max(2, round(length / 0.45))
    for i in range(n + 1):
        x, y = turned(a, yaw, length * i / n)
        b.box((x, y), (0.14, 0.06), (0, height), p, yaw=yaw, solid=False)
    block_line(b, a, c, 0.2, height)


def block_line(b: Builder, a: At, c: At, width: float, height: float) -> None:
    length = float(np.hypot(c[0] - a[0], c[1] - a[1]))
    yaw = float(np.degrees(np.arctan2(c[1] - a[1], c[0] - a[0])))
    b.block(rectangle(((a[0] + c[0]) / 2, (a[1] + c[1]) / 2), (length, width), yaw), height)


def gable(b: Builder, at: At, size: At, z: tuple[float, float], yaw: float, roof: Paint, end: Paint, over: float = 0.45) -> None:
    """A pitched roof whose ridge runs along the first side, with eaves; the ends are closed."""
    w, d = size
    base = rectangle(at, (w + 2 * over, d + 2 * over), yaw)
    drop = over * (z[1] - z[0]) / (d / 2)
    low = np.column_stack([base, np.full(4, z[0] - drop)])
    e0, e1 = np.append((base[0] + base[3]) / 2, z[1]), np.append((base[1] + base[2]) / 2, z[1])
    for q in ([low[0], low[1], e1, e0], [low[2], low[3], e0, e1]):
        b.quad(q, roof)
        b.quad(
            [q[1], q[0], q[3], q[2]]
            if False
            else [q[0] - (0, 0, 0.12), q[3] - (0, 0, 0.12), q[2] - (0, 0, 0.12), q[1] - (0, 0, 0.12)],
            Paint("walnut", "planks"),
        )
    inner = rectangle(at, size, yaw)
    up = np.column_stack([inner, np.full(4, z[0])])
    t0, t1 = np.append((inner[0] + inner[3]) / 2, z[1]), np.append((inner[1] + inner[2]) / 2, z[1])
    b.quad([up[1], up[2], t1, t1], end)
    b.quad([up[3], up[0], t0, t0], end)


def house(b: Builder, at: At, size: At, height: float, yaw: float, wall_: str, roof: str, pattern: str = "window",
          door: str | None = "wine", ridge: float | None = None, chimney: bool = True,
              sign: str | None = None) -> None:  # fmt: skip
    """A house with window bays, a pitched roof of tiles, a door towards ``yaw`` - 90 degrees, a step and a chimney."""
    k = key(b)
    b.box(at, size, (0, height), Paint(wall_, pattern, variant=k), Paint(wall_, "plain"), yaw, bays=(2.6, 2.8))
    b.box(at, (size[0] + 0.12, size[1] + 0.12), (0, 0.35), Paint("granite", "ashlar", variant=k), yaw=yaw, solid=False)
    rise = ridge or 0.42 * size[1]
    end = Paint(wall_, "plaster", variant=k)
    gable(b, at, size, (height, height + rise), yaw, Paint(roof, "tiles", variant=k), end)
    if chimney:
        x, y = turned(at, yaw, size[0] * 0.28, size[1] * 0.12)
        b.box(
            (x, y),
            (0.7, 0.7),
            (height + rise * 0.4, height + rise + 0.8),
            Paint("terracotta", "brick"),
            Paint("coal", "plain"),
            yaw,
            solid=False,
        )
        b.box((x, y), (0.85, 0.85), (height + rise + 0.8, height + rise + 0.95), Paint("granite", "plain"), yaw=yaw, solid=False)
    front = size[1] / 2
    if door:
        x, y = turned(at, yaw - 90, front + 0.03)
        b.board((x, y, 1.15), yaw - 90, (1.25, 2.3), Paint(door, "door", variant=k))
        b.box(turned(at, yaw - 90, front + 0.4), (1.7, 0.8), (0, 0.16), Paint("granite", "plain"), yaw=yaw, solid=False)
        bar(
            b,
            turned(at, yaw - 90, front + 0.35, -0.9),
            turned(at, yaw - 90, front + 0.35, 0.9),
            0.7,
            (2.42, 2.52),
            Paint(roof, "tiles", variant=k),
            solid=False,
        )
    if sign:
        x, y = turned(at, yaw - 90, front + 0.5, 1.3)
        b.board((x, y, 2.75), yaw, (0.9, 0.9), Paint(sign, "sign", variant=k))
        b.board((x, y, 2.75), yaw + 180, (0.9, 0.9), Paint(sign, "sign", variant=k))


def battlements(b: Builder, a: At, c: At, z: float, width: float, paint: Paint) -> None:
    """Merlons along the top of a wall."""
    length = float(np.hypot(c[0] - a[0], c[1] - a[1]))
    yaw = float(np.degrees(np.arctan2(c[1] - a[1], c[0] - a[0])))
    n = max(1, round(length / 1.4))
    for i in range(n):
        b.box(turned(a, yaw, (i + 0.5) * length / n), (0.75, width), (z, z + 0.7), paint, yaw=yaw, solid=False)


def tower(b: Builder, at: At, r: float, height: float, stone: str, roof: str | None, sides: int = 12) -> None:
    """A round tower with slits; a pointed roof, or merlons where there is none."""
    k = key(b)
    p = Paint(stone, "slit", variant=k)
    b.prism(circle(at, r, sides), (0, height), p, Paint(stone, "ashlar"), bays=(2.6, 2.8), smooth=True)
    b.block(circle(at, r, sides), height)
    b.round(at, r * 1.14, (height - 0.5, height), Paint(stone, "ashlar", variant=k), solid=False, sides=sides)
    if roof:
        b.round(at, r * 1.28, (height, height + 2.1 * r), Paint(roof, "tiles", variant=k), taper=0.0, solid=False, sides=sides)
        b.round(at, 0.05, (height + 2.0 * r, height + 2.1 * r + 1.2), Paint("iron", "plain"), solid=False, sides=5)
        x, y = turned(at, 20, 0.55)
        for facing in (110, 290):
            b.board((x, y, height + 2.1 * r + 0.9), facing, (1.0, 0.5), Paint("wine", "plain"))
    else:
        for x, y in circle(at, r * 1.05, 8):
            b.box(
                (float(x), float(y)),
                (0.6, 0.6),
                (height, height + 0.7),
                Paint(stone, "ashlar"),
                yaw=float(np.degrees(np.arctan2(y - at[1], x - at[0]))),
                solid=False,
            )
