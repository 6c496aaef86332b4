"""The winter park: a frozen lake, chalets, snowmen, a lit tree, and a palace of ice."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.homes import rooms as r
from dreamx.data.scene.homes import street
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light
from dreamx.data.scene.homes.sky import Sky

NAME, STYLE, HALF = "winter", "stylised", 32.0
SPAWN = (0, -20)  # a place from which all the rest can be walked to
WORDS = "a winter park with a frozen lake, in the low evening sun"
LIGHT = Light(
    azimuth=300,
    height=26,
    sun=(2.6, 1.9, 1.35),
    zenith=(0.46, 0.52, 0.92),
    horizon=(0.80, 0.66, 0.80),
    floor=(0.10, 0.09, 0.13),
    exposure=0.66,
    shadow=(0.92, 0.94, 1.08),
)
SKY = Sky(
    (0.38, 0.46, 0.82),
    (1.0, 0.78, 0.70),
    (1.0, 0.94, 0.78),
    ((11.0, (0.72, 0.72, 0.90)), (7.0, (0.60, 0.64, 0.84)), (4.4, (0.36, 0.48, 0.58))),
    clouds=0.22,
    cloud=(1.0, 0.90, 0.90),
    sun_size=4.0,
)
FAR = (0.86, 0.86, 0.95)
VIEWS = (
    (0, -20, 90),
    (-12, -10, 45),
    (10, -8, 150),
    (0, 0, 0),
    (14, 8, 200),
    (-6, 12, 300),
    (-22, 4, 350),
    (4, 20, 270),
    (20, -16, 130),
    (-16, -20, 60),
    (8, 14, 90),
    (-14, 16, 320),
)


#: Ways that stay free of trees.
WAYS = (((0, -32), (0, -8)), ((11, -3), (22, -10)), ((22, -10), (32, -12)),
        ((-10, 0), (-22, 3)), ((-22, 3), (-32, 2)), ((5, 9), (8, 22)),
        ((8, 22), (7, 32)))  # fmt: skip


def build(b: Builder) -> GroundPlan:
    """Lay the park out; returns its ground."""
    plan = GroundPlan(HALF, "snow", "snow", raggedness=0.0)
    a = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    lake = np.stack([1.5 + (8.4 + 0.9 * np.sin(2 * a + 1)) * np.cos(a), 1.0 + (6.2 + 0.6 * np.sin(3 * a)) * np.sin(a)], -1)
    ring = (1.5, 1.0) + (lake - (1.5, 1.0)) * 1.42
    plan.path(np.vstack([ring, ring[:1]]), 2.0, "gravel", "lilac")
    for way in (
        [(0, -32), (0, -8)],
        [(11, -3), (22, -10), (32, -12)],
        [(-10, 0), (-22, 3), (-32, 2)],
        [(5, 9), (8, 22), (7, 32)],
    ):
        plan.path(way, 2.2, "gravel", "lilac")
    plan.area((1.5, 1.0) + (lake - (1.5, 1.0)) * 1.07, "snow", "ivory")
    plan.area(lake, "water", "ice")
    b.landmark("frozen lake", (1.5, 1.0))
    plan.area(circle((-14, -14), 4.4, 20), "cobbles", "slate")
    for k, (at, yaw, wall, roof) in enumerate(
        (
            ((-20.5, -15.5), 60, "coral", "navy"),
            ((-13.5, -21.5), 160, "ochre", "wine"),
            ((20.5, 9.5), 290, "walnut", "wine"),
            ((-21.5, 12.5), 40, "sage", "slate"),
        )
    ):
        _chalet(b, at, yaw, wall, roof)
        b.landmark(f"{wall} chalet with snow on its roof", at)
        if k < 2:
            continue
    _lit_tree(b, (-14, -14))
    for at, yaw, c in (((-10.2, -17.0), 40, "wine"), ((-9.4, -11.4), 130, "fir"), ((-17.0, -9.2), 220, "navy")):
        street.stall(b, at, yaw, c, ("red", "yellow", "ivory"))
        b.landmark("market stall with a striped awning", at)
    _palace(b, (14.0, 19.0))
    _bridge(b)
    for at, s, c in (((5.5, -11.5), 1.0, "wine"), ((-8.5, 12.5), 0.8, "fir"), ((15.5, -3.0), 1.15, "navy")):
        _snowman(b, at, s, c)
        b.landmark(f"snowman with a {c} scarf", at)
    _slope(b, (-4.5, 24.0))
    for at in ((2.4, -13), (-2.4, -21), (13.5, -6), (23.5, -8), (-12.5, 3.5), (-23.5, 1), (9.4, 12.6), (5.4, 22)):
        street.lamp_post(b, at)
    for at, yaw in (((-4.6, -9.4), 210), ((12.6, 4.4), 80), ((-7.6, 7.6), 320)):
        street.bench(b, at, yaw, "wine")
    _sleigh(b, (9.0, -17.5))
    rng = np.random.default_rng(13)
    placed = 0
    while placed < 46:
        x, y = (float(v) for v in rng.uniform(-30.5, 30.5, 2))
        if np.hypot(x - 1.5, y - 1) < 13.5 or np.hypot(x + 14, y + 14) < 7.5 or b.taken((x, y), 1.6):
            continue
        if min(t.distance((x, y), p, q) for p, q in WAYS) < 2.6:
            continue
        if placed % 4 == 3:
            t.broadleaf(b, (x, y), ("lilac", "sky", "rose")[placed % 3], float(rng.uniform(4, 6)), "birch")
        else:
            t.conifer(b, (x, y), "fir" if placed % 3 else "teal", float(rng.uniform(5, 9)), snowy=True)
        placed += 1
    for x, y in ((8, -22), (-25, -5), (25, 1), (-12, 25), (25, 22)):
        t.boulder(b, (x, y), float(rng.uniform(0.6, 1.2)), "lilac")
    return plan


def _chalet(b: Builder, at: t.At, yaw: float, wall: str, roof: str) -> None:
    k = t.key(b)
    b.box(at, (6.4, 5.2), (0, 1.2), Paint("slate", "ashlar", variant=k), yaw=yaw)
    b.box(at, (6.4, 5.2), (1.2, 4.0), Paint(wall, "window", variant=k), yaw=yaw, bays=(3.2, 2.8), solid=False)
    t.gable(b, at, (6.4, 5.2), (4.0, 7.0), yaw, Paint("snow", "snow", variant=k), Paint(wall, "planks", variant=k), over=0.7)
    x, y = t.turned(at, yaw, 1.8, 0.8)
    b.box((x, y), (0.8, 0.8), (5.0, 7.6), Paint(roof, "brick"), Paint("snow", "snow"), yaw, solid=False)
    x, y = t.turned(at, yaw - 90, 2.64)
    b.board((x, y, 1.1), yaw - 90, (1.3, 2.2), Paint(roof, "door", variant=k))
    t.bar(
        b,
        t.turned(at, yaw - 90, 3.0, -1.6),
        t.turned(at, yaw - 90, 3.0, 1.6),
        0.9,
        (2.5, 2.65),
        Paint("snow", "snow"),
        solid=False,
    )
    for s in (-1.5, 1.5):
        b.box(t.turned(at, yaw - 90, 3.35, s), (0.14, 0.14), (0, 2.5), Paint("walnut", "planks"), yaw=yaw)


def _lit_tree(b: Builder, at: t.At) -> None:
    t.conifer(b, at, "fir", 9.5, snowy=False)
    rng = np.random.default_rng(2)
    for k in range(46):
        z = rng.uniform(1.8, 8.6)
        rr, a = 2.35 * (1 - z / 10.4), rng.uniform(0, 2 * np.pi)
        b.ball(
            (at[0] + rr * np.cos(a), at[1] + rr * np.sin(a), z),
            (0.15, 0.15),
            Paint(("lamp", "coral", "brass", "sky")[k % 4], "plain", glow=True),
            sides=6,
        )
    b.ball((*at, 9.6), (0.35, 0.35), Paint("lamp", "plain", glow=True), sides=8)
    b.landmark("lit tree", at)


def _palace(b: Builder, at: t.At) -> None:
    ice, pale = Paint("ice", "ashlar", variant=2), Paint("ice", "plain")
    b.box(at, (8, 6), (0, 5), Paint("ice", "arch", variant=3), pale, bays=(2.7, 2.5))
    t.battlements(b, (at[0] - 4, at[1] - 3), (at[0] + 4, at[1] - 3), 5.0, 0.4, ice)
    for dx, dy, h in ((-4, -3, 7), (4, -3, 8.5), (-4, 3, 9), (4, 3, 7.5), (0, 0.5, 10)):
        p = (at[0] + dx, at[1] + dy)
        b.round(p, 1.15, (0 if dx else 5, h), ice, solid=bool(dx), sides=10)
        b.round(p, 1.45, (h, h + 3.0), Paint("sky", "plain"), taper=0.0, solid=False, sides=10)
    b.landmark("palace of ice", at)


def _bridge(b: Builder) -> None:
    x0, x1, y = -8.2, 11.4, 1.2
    r.floor(b, (x0, x1), (y - 1.0, y + 1.0), Paint("coral", "planks"), z=0.05)
    for side in (-1.05, 1.05):
        t.bar(b, (x0, y + side), (x1, y + side), 0.12, (0.85, 0.97), Paint("wine", "plain"), solid=False)
        for k in range(8):
            b.box((x0 + k * (x1 - x0) / 7, y + side), (0.16, 0.16), (0, 1.15), Paint("wine", "plain"))
            b.ball((x0 + k * (x1 - x0) / 7, y + side, 1.2), (0.13, 0.12), Paint("snow", "plain"), sides=6)
        t.block_line(b, (x0, y + side), (x1, y + side), 0.2, 1.0)
    b.landmark("red bridge over the ice", (1.5, y))


def _snowman(b: Builder, at: t.At, s: float, scarf: str) -> None:
    white, coal = Paint("snow", "plain"), Paint("coal", "plain")
    for z, q in ((0.5, 0.7), (1.4, 0.52), (2.1, 0.36)):
        b.ball((*at, z * s), (q * s, q * s), white, sides=10)
    b.block(circle(at, 0.75 * s, 8), 2 * s)
    b.round(at, 0.42 * s, (1.74 * s, 1.88 * s), Paint(scarf, "plain"), solid=False, sides=10)
    b.round(at, 0.44 * s, (2.36 * s, 2.42 * s), coal, solid=False, sides=10)
    b.round(at, 0.28 * s, (2.42 * s, 2.85 * s), coal, solid=False, sides=10)
    f = np.arctan2(-at[1], -at[0])
    out = np.array((np.cos(f), np.sin(f)))
    side = np.array((-out[1], out[0]))
    for d in (-0.13, 0.13):
        p = np.array(at) + (out * 0.33 + side * d) * s
        b.ball((float(p[0]), float(p[1]), 2.2 * s), (0.05 * s, 0.05 * s), coal, sides=6)
    p = np.array(at) + out * 0.45 * s
    b.ball((float(p[0]), float(p[1]), 2.08 * s), (0.09 * s, 0.06 * s), Paint("orange", "plain"), sides=6)
    for z in (1.2, 1.45, 1.65):
        p = np.array(at) + out * 0.50 * s
        b.ball((float(p[0]), float(p[1]), z * s), (0.05 * s, 0.05 * s), coal, sides=6)


def _slope(b: Builder, at: t.At) -> None:
    b.prism(rectangle(at, (9, 8)), (0, 3.2), Paint("snow", "snow", variant=4), taper=0.35)
    b.block(rectangle(at, (9, 8)), 3)
    t.conifer(b, (at[0] + 6.4, at[1] + 2), "fir", 7, snowy=True)
    b.box((at[0], at[1] - 4.6), (0.5, 1.3), (0.15, 0.22), Paint("wine", "planks"), yaw=20)
    b.landmark("hill of snow with a sled", at)


def _sleigh(b: Builder, at: t.At) -> None:
    b.box(at, (1.3, 2.4), (0.35, 0.95), Paint("wine", "plain"), Paint("walnut", "boards"), yaw=30)
    b.box(t.turned(at, 120, 1.0), (1.3, 0.2), (0.95, 1.7), Paint("wine", "plain"), yaw=30, solid=False)
    for d in (-0.55, 0.55):
        b.box(t.turned(at, 30, d), (0.08, 3.0), (0.05, 0.14), Paint("brass", "plain"), yaw=30, solid=False)
        b.box(t.turned(at, 30, d), (0.06, 0.3), (0.14, 0.35), Paint("brass", "plain"), yaw=30, solid=False)
    for k, c in enumerate(("fir", "coral", "brass")):
        r.crate(b, t.turned(at, 120, 0.5 - 0.5 * k), 0.42, 20.0 * k, c, z=0.95)
    b.landmark("sleigh full of parcels", at)
