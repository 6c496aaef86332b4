"""The island: a beach all around, palms, huts, a lighthouse, a pier with a boat, a ruin, and a volcano that smokes."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.homes import rooms as r
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light
from dreamx.data.scene.homes.sky import Sky

NAME, STYLE, HALF = "island", "game", 36.0
SPAWN = (0, -16)  # a place from which all the rest can be walked to
WORDS = "a tropical island with a volcano, in the late afternoon"
LIGHT = Light(
    azimuth=255,
    height=32,
    sun=(3.5, 2.7, 1.7),
    zenith=(0.34, 0.50, 0.84),
    horizon=(0.66, 0.62, 0.62),
    floor=(0.05, 0.05, 0.06),
    exposure=0.72,
)
SKY = Sky(
    (0.22, 0.46, 0.88),
    (1.0, 0.80, 0.60),
    (1.0, 0.92, 0.62),
    ((1.6, (0.30, 0.62, 0.78)), (0.5, (0.16, 0.58, 0.70))),
    clouds=0.30,
    cloud=(1.0, 0.94, 0.88),
    trees=False,
)
FAR = (0.12, 0.56, 0.68)
VIEWS = (
    (0, -16, 90),
    (-12, -8, 30),
    (14, -14, 60),
    (10, 2, 120),
    (-16, 8, 330),
    (-20, -2, 250),
    (2, -24, 90),
    (21, 6, 180),
    (0, 0, 60),
    (6, -22, 10),
    (-8, 14, 60),
    (-6, -22, 150),
)


def build(b: Builder) -> GroundPlan:
    """Lay the island out; returns its ground."""
    rng = np.random.default_rng(6)
    plan = GroundPlan(HALF, "water", "lagoon", raggedness=0.0)
    a = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    shore = 26.5 + 2.2 * np.sin(3 * a + 0.5) + 1.4 * np.sin(5 * a + 2)
    coast = np.stack([np.cos(a), np.sin(a)], -1) * shore[:, None]
    plan.area(coast * 1.10, "water", "mint")
    plan.area(coast, "sand", "beach")
    plan.area(coast * 0.76, "grass", "lime")
    plan.area(coast * 0.70, "grass", "meadow")
    for i in range(40):  # the sea is not to be walked on
        p, q = coast[i], coast[(i + 1) % 40]
        if i not in (29, 30, 31):
            b.block(np.array([p, q, q * 1.5, p * 1.5]), 0.0)
    lagoon = circle((-9, -11), 4.6, 20) * rng.uniform(0.99, 1.01, (20, 1))
    plan.area((-9, -11) + (lagoon - (-9, -11)) * 1.22, "sand", "beach")
    plan.area(lagoon, "water", "lagoon")
    for way in (
        [(0, -30), (0, -14), (3, -2), (12, 3)],
        [(0, -14), (12, -15), (18, -8), (12, 3)],
        [(3, -2), (-12, 2), (-19, 6)],
        [(-12, 2), (-7, 14)],
    ):
        plan.path(way, 2.0, "sand", "sandstone")
    for s in range(20):
        p, q = lagoon[s], lagoon[(s + 1) % 20]
        if s not in (4, 5, 14, 15):
            b.block(np.array([p, q, (-9, -11)]), 0.0)
    _lagoon_bridge(b)
    _volcano(b)
    _huts(b)
    _lighthouse(b, (20.5, -9.5))
    _pier(b)
    _ruin(b, (-9.5, 17.0))
    _wreck(b, (-22.0, -9.0))
    _green(b, rng)
    return plan


def _lagoon_bridge(b: Builder) -> None:
    r.floor(b, (-9.9, -8.1), (-15.8, -6.2), Paint("oak", "boards"), z=0.05)
    for x in (-9.95, -8.05):
        t.bar(b, (x, -15.6), (x, -6.4), 0.12, (0.9, 1.0), Paint("oak", "planks"), solid=False)
        for y in (-15.6, -12.5, -9.5, -6.4):
            b.box((x, y), (0.16, 0.16), (0, 1.1), Paint("oak", "planks"))
        t.block_line(b, (x, -15.6), (x, -6.4), 0.2, 1.0)
    b.landmark("lagoon with a bridge", (-9, -11))


def _volcano(b: Builder) -> None:
    at, k = (7.5, 16.0), 12
    for z0, z1, r0, taper, c in ((0, 4, 9.5, 0.74, "moss"), (4, 8.5, 7.0, 0.66, "brown"), (8.5, 13, 4.6, 0.52, "iron")):
        base = circle(at, r0, k) + np.random.default_rng(int(z1)).uniform(-0.3, 0.3, (k, 2))
        b.prism(base, (z0, z1), Paint(c, "rock", variant=int(z1)), Paint(c, "rock"), taper=taper)
    b.block(circle(at, 9.6, k), 13)
    b.round(at, 2.0, (13.0, 13.3), Paint("orange", "leaves", glow=True), solid=False, sides=10)
    for z, r0, d in ((14.6, 1.2, 0.2), (16.4, 1.6, 0.9), (18.6, 2.1, 1.9)):
        b.box((at[0] + d, at[1]), (2 * r0, 2 * r0), (z, z + 1.5 * r0), Paint("grey", "plain"), solid=False)
    lava = Paint("orange", "leaves", glow=True)
    edge = [(7.2, 13.6, 13.05), (6.9, 11.35, 8.5), (6.5, 9.3, 4.1), (6.0, 6.6, 0.1)]  # a stream of lava down the south face
    for (x0, y0, z0), (x1, y1, z1), w0, w1 in zip(edge, edge[1:], (0.5, 0.6, 0.8), (0.6, 0.8, 1.1), strict=False):
        b.quad([(x1 - w1, y1 - 0.12, z1), (x1 + w1, y1 - 0.12, z1), (x0 + w0, y0 - 0.12, z0), (x0 - w0, y0 - 0.12, z0)], lava)
    b.landmark("smoking volcano", at)


def _huts(b: Builder) -> None:
    for at, yaw, wall, roof in (((12.5, -20.0), 200, "pine", "ochre"), ((17.5, -1.0), 270, "coral", "ochre"),
        ((5.0, -8.5), 150, "sky", "ochre"), ((-16.5, 10.5), 60, "mint", "ochre"),
                                ((21.0, 6.0), 290, "yellow", "ochre")):  # fmt: skip
        b.box(at, (4.0, 3.4), (0.25, 2.5), Paint(wall, "planks", variant=t.key(b)), yaw=yaw)
        b.box(at, (4.6, 4.2), (0, 0.25), Paint("oak", "boards"), yaw=yaw, solid=False)
        b.prism(rectangle(at, (5.4, 4.8), yaw), (2.4, 4.9), Paint(roof, "planks", variant=2), taper=0.12)
        x, y = t.turned(at, yaw - 90, 1.74)
        b.board((x, y, 1.25), yaw - 90, (1.1, 1.9), Paint("walnut", "door", variant=t.key(b)))
        for side in (-1.3, 1.3):
            x, y = t.turned(t.turned(at, yaw - 90, 1.74), yaw, side)
            b.board((x, y, 1.5), yaw - 90, (0.8, 0.8), Paint("navy", "glass", variant=3))
        b.landmark(f"{wall} hut with a straw roof", at)
    b.round((8.6, -13.2), 0.9, (0, 0.18), Paint("granite", "rock"), sides=10)
    b.round((8.6, -13.2), 0.5, (0.18, 0.8), Paint("orange", "leaves", glow=True), taper=0.1, solid=False, sides=6)
    for yaw in (30, 150, 270):
        b.box(t.turned((8.6, -13.2), yaw, 2.1), (0.5, 1.8), (0, 0.4), Paint("oak", "bark", variant=yaw), yaw=yaw)
    b.landmark("camp fire", (8.6, -13.2))


def _lighthouse(b: Builder, at: t.At) -> None:
    for k in range(5):
        c = "red" if k % 2 == 0 else "chalk"
        b.round(
            at,
            2.0 - 0.2 * k,
            (2.2 * k, 2.2 * (k + 1)),
            Paint(c, "plain"),
            taper=(1.8 - 0.2 * k) / (2.0 - 0.2 * k),
            solid=k == 0,
            sides=12,
        )
    b.round(at, 1.5, (11.0, 11.25), Paint("iron", "plain"), solid=False, sides=12)
    b.round(at, 0.8, (11.25, 12.6), Paint("lamp", "plain", glow=True), solid=False, sides=10)
    b.round(at, 1.1, (12.6, 13.8), Paint("red", "plain"), taper=0.05, solid=False, sides=10)
    x, y = t.turned(at, 180, 1.95)
    b.board((x - 0.05, y, 1.2), 180, (1.1, 2.2), Paint("navy", "door", variant=1))
    b.landmark("red and white lighthouse", at)


def _pier(b: Builder) -> None:
    r.floor(b, (-1.3, 1.3), (-34.5, -24.0), Paint("oak", "boards"), z=0.06)
    for x in (-1.35, 1.35):
        for y in (-34, -31.5, -29, -26.5):
            b.round((x, y), 0.14, (0, 1.0), Paint("walnut", "bark"), sides=7)
        b.block(rectangle((x * 2.2, -31), (3.0, 12)), 0.0)
    b.block(rectangle((0, -35.4), (8, 1)), 0.0)
    x, y = 4.2, -31.0
    hull = [(x - 1.0, y - 2.2), (x + 1.0, y - 2.2), (x + 1.2, y + 0.8), (x, y + 2.9), (x - 1.2, y + 0.8)]
    b.prism(hull, (0.0, 0.85), Paint("coral", "planks"), Paint("oak", "boards"), taper=1.12)
    b.round((x, y), 0.08, (0.85, 5.2), Paint("oak", "plain"), solid=False, sides=6)
    sail = [(x, y + 0.1, 1.4), (x, y - 2.2, 1.5), (x, y - 0.1, 5.0), (x, y + 0.1, 5.0)]
    b.quad(sail, Paint("chalk", "plain"))
    b.quad([sail[1], sail[0], sail[3], sail[2]], Paint("chalk", "plain"))
    b.landmark("pier with a sailing boat", (x, y))


def _ruin(b: Builder, at: t.At) -> None:
    b.box(at, (8.0, 6.0), (0, 0.3), Paint("sandstone", "ashlar"), Paint("sandstone", "cobbles"), solid=False)
    heights = (3.2, 3.2, 1.4, 3.2, 3.2, 0.9, 3.2, 2.2)
    spots = [(-3.4, -2.4), (-1.1, -2.4), (1.1, -2.4), (3.4, -2.4), (-3.4, 2.4), (-1.1, 2.4), (1.1, 2.4), (3.4, 2.4)]
    for (dx, dy), h in zip(spots, heights, strict=True):
        p = (at[0] + dx, at[1] + dy)
        b.round(p, 0.42, (0.3, h), Paint("sandstone", "ashlar", variant=int(10 * h)), sides=8)
        if h > 3:
            b.box(p, (1.1, 1.1), (h, h + 0.3), Paint("sandstone", "plain"), solid=False)
    t.bar(b, (at[0] - 3.9, at[1] - 2.4), (at[0] - 0.6, at[1] - 2.4), 1.0, (3.5, 4.1), Paint("sandstone", "ashlar"), solid=False)
    b.box(at, (1.4, 1.4), (0.3, 1.3), Paint("sandstone", "ashlar"))
    b.ball((*at, 1.9), (0.6, 0.6), Paint("teal", "plain"), sides=10)
    b.landmark("ruin with a teal orb", at)


def _wreck(b: Builder, at: t.At) -> None:
    for k in range(6):
        for side in (-1, 1):
            p = (at[0] + side * (1.6 - 0.08 * k * k / 3), at[1] - 2.5 + k)
            b.box(p, (0.2, 0.3), (0, 1.8 - 0.12 * k), Paint("walnut", "planks", variant=k), solid=False)
    b.box(at, (0.4, 6.0), (0, 0.5), Paint("walnut", "planks"))
    b.round((at[0], at[1] + 0.5), 0.12, (0, 4.5), Paint("walnut", "bark"), sides=6)
    b.block(rectangle(at, (3.4, 6.2)), 1.5)
    for x, y in ((2.4, -1.0), (2.8, 0.2)):
        r.crate(b, (at[0] + x, at[1] + y), 0.7, 30)
    b.landmark("ship wreck", at)


def _green(b: Builder, rng: np.random.Generator) -> None:
    placed = 0
    ways = (
        ((0, -30), (0, -14)),
        ((0, -14), (3, -2)),
        ((3, -2), (12, 3)),
        ((0, -14), (12, -15)),
        ((12, -15), (18, -8)),
        ((18, -8), (12, 3)),
        ((3, -2), (-12, 2)),
        ((-12, 2), (-19, 6)),
        ((-12, 2), (-7, 14)),
    )

    while placed < 44:
        a, d = rng.uniform(0, 2 * np.pi), rng.uniform(4, 24)
        x, y = float(d * np.cos(a)), float(d * np.sin(a))
        if b.taken((x, y), 1.3) or min(t.distance((x, y), p, q) for p, q in ways) < 1.9:
            continue
        if placed % 2 == 0:
            t.palm(b, (x, y), float(rng.uniform(4.5, 7)), float(rng.uniform(0, 360)))
        elif placed % 4 == 1:
            t.bush(b, (x, y), str(rng.choice(["meadow", "pink", "palm", "coral"])), 0.8)
        else:
            t.broadleaf(b, (x, y), str(rng.choice(["meadow", "palm", "fir"])), float(rng.uniform(4.5, 6.5)), "oak")
        placed += 1
    for k in range(9):
        a = k * 0.7 + 0.3
        at = (24.0 * np.cos(a), 24.0 * np.sin(a))
        if not b.taken(at, 1.0):
            t.boulder(b, (float(at[0]), float(at[1])), float(rng.uniform(0.5, 1.1)), "granite")
