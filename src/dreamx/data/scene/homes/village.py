"""The village: a square with a fountain, a church, an inn, shops and a market, and streets that lead out between gardens."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.homes import street
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light
from dreamx.data.scene.homes.sky import Sky

NAME, STYLE, HALF = "village", "photoreal", 32.0
SPAWN = (0, -8)  # a place from which all the rest can be walked to
FAR = (0.4, 0.5, 0.28)  # the ground beyond
WORDS = "a village square with a fountain, on a summer afternoon"
LIGHT = Light(
    azimuth=215,
    height=38,
    sun=(3.4, 2.9, 2.1),
    zenith=(0.26, 0.42, 0.78),
    horizon=(0.48, 0.60, 0.74),
    floor=(0.03, 0.03, 0.04),
    exposure=0.70,
)
SKY = Sky((0.24, 0.46, 0.82), (0.78, 0.87, 0.95), (1.0, 0.97, 0.86),
          ((9.0, (0.62, 0.71, 0.82)), (6.5, (0.46, 0.58, 0.56)), (4.2, (0.34, 0.45, 0.28))), clouds=0.30)  # fmt: skip


def build(b: Builder) -> GroundPlan:
    """Lay the village out; returns its ground."""
    plan = GroundPlan(HALF, "grass", "meadow")
    square = rectangle((0, 0), (24, 22))
    plan.area(square, "cobbles", "granite")
    plan.area(circle((0, 0), 4.6, 24), "cobbles", "sandstone")
    for way in ([(10, 3), (34, 6)], [(-10, -2), (-34, -5)], [(2, 9), (4, 34)], [(-3, -9), (-6, -20), (-14, -34)]):
        plan.path(way, 4.2, "cobbles", "sandstone")
    street.fountain(b, (0, 0))
    b.landmark("stone fountain", (0, 0))
    _square(b)
    _streets(b, plan)
    _edges(b, plan)
    return plan


def _square(b: Builder) -> None:
    # north: the church with its tower, beside the street
    b.box((-7.0, 15.5), (9, 7), (0, 6.2), Paint("chalk", "arch", variant=2), Paint("slate", "tiles"), bays=(2.6, 3.1))
    t.gable(b, (-7.0, 15.5), (9, 7), (6.2, 10.0), 0, Paint("slate", "tiles"), Paint("chalk", "plaster"))
    b.box((-1.1, 14.2), (3.2, 3.2), (0, 11.5), Paint("chalk", "slit", variant=5), bays=(2.6, 2.9))
    b.prism(rectangle((-1.1, 14.2), (3.7, 3.7)), (11.5, 17.0), Paint("slate", "tiles"), taper=0.0)
    for facing in (0, 90, 180, 270):
        x, y = t.turned((-1.1, 14.2), facing, 1.63)
        b.board((x, y, 9.6), facing, (1.6, 1.6), Paint("brass", "sign", variant=2))
    b.board((-1.1, 12.57, 1.35), 270, (1.7, 2.7), Paint("walnut", "door", variant=1))
    b.landmark("white church with a slate spire", (-1.1, 14.2))
    for k, (x, w, h, wall, roof, pattern, door, sign) in enumerate(
        (
            (7.4, 6.2, 5.6, "ochre", "terracotta", "window", "fir", "wine"),
            (13.3, 5.2, 5.6, "chalk", "terracotta", "timber window", "wine", None),
        )
    ):
        t.house(b, (x, 15.0), (w, 6.5), h, 0, wall, roof, pattern, door, sign=sign, chimney=k == 0)
        b.landmark(f"{wall} house with a red roof", (x, 15.0))
    # east: the inn, a long timbered house, and a brick shop
    t.house(b, (15.4, -4.6), (9.5, 6.5), 8.4, 270, "chalk", "terracotta", "timber window", "fir", ridge=3.6, sign="fir")
    b.landmark("timbered inn with a sign", (15.4, -4.6))
    t.house(b, (15.2, 8.2), (4.6, 6.0), 5.6, 270, "terracotta", "slate", "brick window", "navy", sign="navy")
    b.landmark("brick shop with a blue door", (15.2, 8.2))
    # south: a row in three colours
    for x, w, h, wall, roof, door in (
        (8.3, 5.8, 5.6, "rose", "slate", "chalk"),
        (2.4, 5.4, 8.4, "chalk", "terracotta", "navy"),
        (-8.6, 5.6, 5.6, "sage", "terracotta", "wine"),
    ):
        t.house(b, (x, -14.6), (w, 6.0), h, 180, wall, roof, "window", door)
        b.landmark(f"{wall} house", (x, -14.6))
    # west: the hall on arches, and the smithy
    b.box((-15.8, 5.6), (6, 8.5), (0, 3.1), Paint("sandstone", "arch", variant=4), bays=(2.8, 3.1))
    b.box((-15.8, 5.6), (6, 8.5), (3.1, 6.2), Paint("ochre", "window", variant=9), bays=(2.8, 3.1))
    t.gable(b, (-15.8, 5.6), (8.5, 6), (6.2, 9.2), 90, Paint("slate", "tiles", variant=3), Paint("ochre", "plaster"))
    b.prism(circle((-15.8, 5.6), 0.9, 8), (9.0, 10.6), Paint("chalk", "plaster"), smooth=False)
    b.round((-15.8, 5.6), 1.15, (10.6, 12.0), Paint("mint", "plain"), taper=0.0, solid=False, sides=8)
    b.landmark("town hall on arches", (-15.8, 5.6))
    t.house(b, (-15.4, -9.6), (7.0, 6.0), 2.8, 90, "granite", "slate", "window", "oak", ridge=3.0)
    b.landmark("low stone smithy", (-15.4, -9.6))
    # the market and small things
    for at, yaw, colour, wares in (
        ((-6.2, -5.4), 20, "wine", ("orange", "lime", "red")),
        ((-7.6, 0.4), 80, "navy", ("yellow", "green", "cream")),
        ((6.0, 6.6), 200, "fir", ("red", "pink", "yellow")),
    ):
        street.stall(b, at, yaw, colour, wares)
        b.landmark("market stall with a striped awning", at)
    for at in ((5.6, -5.6), (-5.4, 6.2), (9.6, 1.4), (-10.4, -3.6), (4.0, 12.0), (-4.9, -11.4)):
        street.lamp_post(b, at)
    for at, yaw in (((4.8, -1.6), 280), ((-4.4, 2.6), 60), ((1.2, 5.0), 10)):
        street.bench(b, at, yaw)
    t.broadleaf(b, (8.2, -7.4), "meadow", 6.4)
    b.landmark("linden tree", (8.2, -7.4))
    street.well(b, (9.0, 9.4))
    b.landmark("well", (9.0, 9.4))
    for k, at in enumerate(((11.5, -8.4), (11.9, -7.6), (11.2, -7.4))):
        b.round(at, 0.36, (0, 0.9), Paint("oak", "planks", variant=k), top=Paint("walnut", "boards"), sides=10)
    b.box((-11.3, -6.6), (1.2, 0.8), (0, 0.75), Paint("pine", "planks"), yaw=25)


def _streets(b: Builder, plan: GroundPlan) -> None:
    for at, size, yaw, h, wall, roof, pattern, door in (
        ((24.0, 11.6), (7.5, 6.0), 0, 5.6, "sage", "terracotta", "window", "walnut"),
        ((24.5, -1.6), (7.0, 5.5), 180, 2.8, "chalk", "slate", "timber window", "wine"),
        ((-24.5, 2.6), (7.5, 5.5), 0, 5.6, "rose", "terracotta", "window", "fir"),
        ((-25.0, -11.0), (7.0, 5.5), 180, 5.6, "chalk", "terracotta", "timber window", "navy"),
        ((10.6, 25.5), (7.0, 6.0), 270, 5.6, "ochre", "slate", "window", "wine"),
        ((-4.0, 26.0), (7.0, 5.5), 90, 2.8, "granite", "terracotta", "window", "fir"),
        ((-1.0, -25.0), (7.0, 5.5), 270, 5.6, "chalk", "slate", "timber window", "walnut"),
        ((-18.6, -22.0), (7.0, 5.5), 60, 2.8, "ochre", "terracotta", "window", "navy"),
    ):
        t.house(b, at, size, h, yaw, wall, roof, pattern, door)
        b.landmark(f"{wall} cottage", at)
    for a, c in (
        ((19, 9.4), (20.2, 16)),
        ((28.4, 14.6), (20, 16.5)),
        ((-20, -0.8), (-20, 6.5)),
        ((-29.5, 6.4), (-20, 6.5)),
        ((5.6, -21.5), (5.6, -29)),
    ):
        t.fence(b, a, c)
    for a, c in (((20.5, 1.4), (31, 2.4)), ((-30, -1.6), (-19, -0.6)), ((6.4, 19.4), (7, 30)), ((0.4, 19), (0.8, 30))):
        t.wall(b, a, c, 1.1, paint=Paint("sandstone", "ashlar", variant=7))
    plan.area(rectangle((24.5, 18.5), (6, 2.4)), "gravel", "walnut")
    for k in range(6):
        t.bush(b, (22.0 + k, 18.5 + 0.25 * (k % 2)), ("meadow", "lime", "moss")[k % 3], 0.38)
    t.hedge(b, (-29, -7.4), (-21.6, -7.0), 1.3)
    t.hedge(b, (15.6, 22), (15.6, 30), 1.5)


#: Ways that stay free of trees.
WAYS = (((10, 3), (34, 6)), ((-10, -2), (-34, -5)), ((2, 9), (4, 34)), ((-6, -20), (-14, -34)), ((-3, -9), (-6, -20)))


def _edges(b: Builder, plan: GroundPlan) -> None:
    rng = np.random.default_rng(11)
    placed = 0
    while placed < 26:
        x, y = rng.uniform(-30.5, 30.5, 2)
        if max(abs(x), abs(y)) < 18 or b.taken((x, y), 2.2) or min(t.distance((x, y), p, q) for p, q in WAYS) < 3.4:
            continue
        at = (float(x), float(y))
        if rng.random() < 0.3:
            t.conifer(b, at, "fir", float(rng.uniform(6, 9)))
        else:
            t.broadleaf(b, at, str(rng.choice(["meadow", "moss", "maple", "lime"])), float(rng.uniform(5, 8)))
        placed += 1
    for x, y in ((20.5, -9), (27, -10), (-22, 14), (-28, 18), (12, -22), (20, -20)):
        t.boulder(b, (x, y), float(rng.uniform(0.5, 1.0)))
    for k in range(4):  # hay in the field to the south-east
        b.round((17.5 + 3.1 * k, -26.5 + 1.3 * (k % 2)), 0.85, (0, 1.3), Paint("ochre", "planks", variant=k), sides=12)
    b.landmark("bales of hay", (22, -26))
