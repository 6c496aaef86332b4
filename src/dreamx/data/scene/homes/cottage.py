"""The cottage: a house of six rooms with real windows, a garden around it, and a lane in front."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.homes import rooms as r
from dreamx.data.scene.homes import street
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light
from dreamx.data.scene.homes.sky import Sky

NAME, STYLE, HALF = "cottage", "photoreal", 26.0
SPAWN = (0, -12)  # a place from which all the rest can be walked to
FAR = (0.36, 0.48, 0.26)  # the ground beyond
WORDS = "a cottage with a garden, on a bright morning"
LIGHT = Light(azimuth=140, height=34, sun=(3.4, 2.8, 2.0), zenith=(0.30, 0.46, 0.80), horizon=(0.52, 0.62, 0.74),
    floor=(0.05, 0.045, 0.04), exposure=0.72,
              lamps=(((-4.4, 2.4, 2.1), (1.5, 1.1, 0.6)), ((4.6, 2.2, 2.1), (1.2, 1.0, 0.7)), ((0.0, -2.6, 2.2), (1.1, 0.8, 0.5)),
                     ((-4.9, -2.4, 2.1), (1.0, 0.8, 0.55)), ((4.9, -2.6, 2.1), (1.0, 0.85, 0.6)), ((0.2, 2.4, 2.2),
                         (1.0, 0.8, 0.5))))  # fmt: skip
SKY = Sky((0.28, 0.52, 0.86), (0.93, 0.90, 0.82), (1.0, 0.95, 0.78),
          ((7.0, (0.64, 0.70, 0.80)), (5.0, (0.48, 0.60, 0.50)), (4.0, (0.30, 0.44, 0.24))), clouds=0.26)  # fmt: skip
HIGH = 2.6  # of the rooms
X, Y = (-7.0, 7.0), (-5.0, 5.0)  # the house
VIEWS = ((0, -12, 90), (-12, -9, 45), (11, 11, 225), (-13, 9, 320), (-4.2, 2.0, 60), (-5.6, -1.2, 300), (0, -2, 90),
    (4.0, 1.0, 45), (5.2, -1.4, 250), (0, -19, 90),
         (14, -4, 150), (0.4, 9, 270))  # fmt: skip


def build(b: Builder) -> GroundPlan:
    """Lay the place out; returns its ground."""
    plan = GroundPlan(HALF, "grass", "meadow")
    plan.path([(-26, -20.5), (26, -20.5)], 5.0, "gravel", "sandstone")
    plan.path([(0, -20), (0, -5)], 1.8, "gravel", "chalk")
    plan.path([(13, -20), (13, -12)], 3.4, "gravel", "granite")
    plan.path([(0, -7), (-9, -7), (-10, 2), (-9, 9), (0, 10), (0, 5)], 1.3, "cobbles", "sandstone")
    plan.area(rectangle((0, 7.2), (6.4, 4.0)), "cobbles", "terracotta")
    _walls(b)
    _inside(b)
    _garden(b, plan)
    return plan


def _walls(b: Builder) -> None:
    out, (x0, x1), (y0, y1) = Paint("chalk", "brick", variant=1), X, Y
    hall, salon, study, cook, bath, sleep = (Paint(c, p, variant=k) for k, (c, p) in enumerate((
        ("ochre", "plaster"), ("sage", "paper"), ("rose", "paper"), ("ivory", "plaster"), ("mint", "plaster"), ("sky", "paper"),
    )))  # fmt: skip
    # from west to east: salon over study; hall over dining hall; kitchen over bedroom
    a, c = -2.2, 2.4
    r.wall(b, (x0, y0), (a, y0), HIGH, study, out, (r.window(2.4, 2.0),))
    r.wall(b, (a, y0), (c, y0), HIGH, hall, out, (r.door(2.2, 1.6),))
    r.wall(b, (c, y0), (x1, y0), HIGH, sleep, out, (r.window(2.4, 2.0),))
    r.wall(b, (x1, y0), (x1, 0), HIGH, sleep, out, (r.window(2.6, 1.6),))
    r.wall(b, (x1, 0), (x1, y1), HIGH, cook, out, (r.window(2.5, 2.0),))
    r.wall(b, (x1, y1), (c, y1), HIGH, cook, out, (r.window(2.2, 1.8),))
    r.wall(b, (c, y1), (a, y1), HIGH, bath, out, (r.door(2.3, 1.8),))
    r.wall(b, (a, y1), (x0, y1), HIGH, salon, out, (r.window(2.4, 2.6, 0.6),))
    r.wall(b, (x0, y1), (x0, 0), HIGH, salon, out, (r.window(2.5, 2.2, 0.6),))
    r.wall(b, (x0, 0), (x0, y0), HIGH, study, out, (r.window(2.4, 1.6),))
    r.wall(b, (x0, 0), (a, 0), HIGH, salon, study, (r.door(3.6, 1.5),))
    r.wall(b, (a, 0), (c, 0), HIGH, bath, hall, (r.door(2.3, 2.2),))
    r.wall(b, (c, 0), (x1, 0), HIGH, cook, sleep, ())
    r.wall(b, (a, y0), (a, 0), HIGH, study, hall, (r.door(3.4, 1.5),))
    r.wall(b, (a, 0), (a, y1), HIGH, salon, bath, (r.door(1.6, 1.6),))
    r.wall(b, (c, y0), (c, 0), HIGH, hall, sleep, (r.door(3.4, 1.5),))
    r.wall(b, (c, 0), (c, y1), HIGH, bath, cook, (r.door(1.8, 1.6),))
    for x, y, p in (
        ((x0, a), (0, y1), Paint("oak", "boards")),
        ((x0, a), (y0, 0), Paint("walnut", "boards")),
        ((a, c), (y0, 0), Paint("terracotta", "checker")),
        ((a, c), (0, y1), Paint("pine", "boards")),
        ((c, x1), (0, y1), Paint("ivory", "checker")),
        ((c, x1), (y0, 0), Paint("pine", "planks")),
    ):
        r.floor(b, x, y, p)
    r.ceiling(b, X, Y, HIGH, Paint("chalk", "plain"))
    t.gable(b, (0, 0), (14.2, 10.2), (HIGH, 6.6), 0, Paint("terracotta", "tiles"), Paint("chalk", "timber"), over=0.6)
    b.box((3.4, 1.4), (0.9, 0.9), (4.4, 7.4), Paint("terracotta", "brick"), Paint("coal", "plain"), solid=False)
    for y in (-6.9,):
        t.bar(b, (-1.7, y), (1.7, y), 2.4, (2.45, 2.62), Paint("terracotta", "tiles"), solid=False)
        for x in (-1.5, 1.5):
            b.box((x, y - 0.9), (0.16, 0.16), (0, 2.45), Paint("chalk", "planks"))
    b.landmark("brick cottage with a red roof", (0, 0))


def _inside(b: Builder) -> None:
    # salon
    r.rug(b, (-4.6, 2.4), (3.0, 2.2), "wine")
    r.sofa(b, (-4.6, 1.0), 180, "fir", 2.2)
    r.table(b, (-4.6, 2.5), (1.1, 0.6), 0, "walnut")
    r.shelf(b, (-6.55, 0.9), 1.4, 270)
    r.plant(b, (-6.4, 4.4), 1.5)
    r.floor_lamp(b, (-3.0, 0.6))
    b.box((-2.45, 3.9), (0.5, 1.5), (0, 1.1), Paint("terracotta", "brick"), Paint("granite", "plain"))
    b.board((-2.72, 3.9, 0.5), 180, (0.8, 0.7), Paint("orange", "leaves", glow=True))
    r.picture(b, (-2.34, 3.9), 180, (1.1, 0.8), "brass", 1.7, 3)
    b.landmark("green sofa", (-4.6, 1.0))
    b.landmark("fireplace", (-2.45, 3.9))
    # study
    r.table(b, (-5.9, -4.3), (1.6, 0.8), 0, "walnut")
    r.chair(b, (-5.9, -3.6), 0, "walnut")
    r.shelf(b, (-6.55, -1.2), 1.6, 270)
    r.rug(b, (-4.4, -2.4), (2.2, 1.6), "navy")
    b.ball((-5.5, -4.3, 0.98), (0.18, 0.18), Paint("lake", "rock", variant=5), sides=10)
    r.picture(b, (-4.4, -0.13), 270, (1.0, 0.8), "brass", 1.6, 6)
    b.landmark("globe on a desk", (-5.5, -4.3))
    # hall
    r.rug(b, (0, -2.4), (1.5, 3.2), "wine")
    b.box((1.9, -4.3), (0.7, 0.5), (0, 0.8), Paint("oak", "planks"), Paint("oak", "boards"))
    r.picture(b, (2.27, -3.0 + 1.6), 180, (0.8, 1.0), "brass", 1.6, 2)
    b.round((-1.8, -4.4), 0.16, (0, 0.6), Paint("navy", "plain"), taper=1.1, sides=9)
    # dining room
    r.table(b, (0.9, 3.2), (1.3, 0.9), 90, "pine")
    for y in (2.7, 3.7):
        r.chair(b, (1.7, y), 270, "pine")
    b.ball((0.9, 3.2, 0.86), (0.18, 0.10), Paint("orange", "plain"), sides=8)
    r.picture(b, (-2.07, 3.4), 0, (1.2, 0.9), "walnut", 1.6, 7)
    # kitchen
    r.kitchen(b, (4.6, 4.55), 0, 3.6)
    b.box((6.5, 0.8), (0.7, 0.75), (0, 1.8), Paint("coral", "plain"), yaw=0)
    r.table(b, (4.8, 1.7), (1.4, 0.8), 0, "chalk")
    for x in (4.4, 5.2):
        r.chair(b, (x, 1.1), 180, "oak")
    b.landmark("kitchen with a coral fridge", (6.5, 0.8))
    # bedroom
    r.bed(b, (5.7, -1.3), 0, "lilac")
    r.rug(b, (3.9, -2.9), (1.6, 1.2), "coral")
    b.box((3.0, -0.5), (1.0, 0.55), (0, 2.0), Paint("oak", "planks", variant=8))
    r.plant(b, (6.4, -4.3), 1.1, "navy")
    r.picture(b, (4.4, -0.13), 270, (0.9, 0.7), "chalk", 1.6, 9)
    b.landmark("bed with a lilac cover", (5.7, -1.3))


def _garden(b: Builder, plan: GroundPlan) -> None:
    for a, c in (
        ((-24, -17), (-2.2, -17)),
        ((2.2, -17), (10.8, -17)),
        ((15.2, -17), (24, -17)),
        ((24, -17), (24, 23)),
        ((24, 23), (-24, 23)),
        ((-24, 23), (-24, -17)),
    ):
        t.hedge(b, a, c, 1.7, 0.9, "moss")
    for x in (-1.8, 1.8):
        b.box((x, -17), (0.5, 0.5), (0, 1.6), Paint("terracotta", "brick"), Paint("chalk", "plain"))
        b.ball((x, -17, 1.75), (0.22, 0.22), Paint("chalk", "plain"), sides=8)
    shore = circle((12.5, 8.5), 3.6, 18) * np.random.default_rng(3).uniform(0.98, 1.02, (18, 1))
    plan.area((12.5, 8.5) + (shore - (12.5, 8.5)) * 1.18, "gravel", "granite")
    plan.area(shore, "water", "lake")
    b.block(shore, 0.0)
    for k in range(11):
        a = 2 * np.pi * k / 11
        t.boulder(b, (12.5 + 3.9 * np.cos(a), 8.5 + 3.9 * np.sin(a)), 0.32)
    for k, (x, y) in enumerate(((11.8, 9.4), (13.6, 7.6), (12.2, 7.3))):
        b.round((x, y), 0.3, (0.0, 0.03), Paint("palm", "plain", variant=k), solid=False, sides=9)
        b.ball((x, y, 0.1), (0.1, 0.1), Paint("pink", "plain"), sides=6)
    b.landmark("pond with lilies", (12.5, 8.5))
    plan.area(rectangle((-15, 12), (8.5, 8)), "gravel", "walnut")
    for row in range(4):
        for k in range(9):
            t.bush(b, (-18.4 + 0.85 * k, 9.4 + 1.7 * row), ("lime", "meadow", "palm", "moss")[row], 0.30 + 0.05 * (row % 2))
    b.landmark("vegetable patch", (-15, 12))
    _glasshouse(b, (-17.5, 19.3))
    b.box((17.5, -8.0), (5, 4), (0, 2.4), Paint("oak", "planks", variant=4), bays=None)
    t.gable(b, (17.5, -8.0), (5, 4), (2.4, 3.9), 0, Paint("slate", "tiles"), Paint("oak", "planks"))
    b.board((14.98, -8.0, 1.05), 180, (1.6, 2.1), Paint("fir", "door", variant=2))
    b.landmark("wooden shed", (17.5, -8.0))
    _car(b, (13, -14.4))
    for at, c, h in (((-14, -4), "meadow", 6.5), ((-19, -9), "maple", 7.0), ((8.5, 14.5), "lime", 6.0),
        ((19.5, 15), "meadow", 7.5), ((-7.5, 17), "pink", 5.4), ((19, 1.5), "maple", 6.2),
                     ((-20.5, 3), "lime", 6.4), ((6.5, -12.5), "pink", 4.8), ((-8.5, -12.8), "meadow", 5.6)):  # fmt: skip
        t.broadleaf(b, at, c, h)
        b.landmark(f"{'red' if c == 'maple' else 'blossoming' if c == 'pink' else 'green'} tree", at)
    for x, y, w in ((-4.6, -5.8, 3.4), (4.6, -5.8, 3.4), (-7.8, 2.4, 0.9)):
        plan.area(rectangle((x, y), (w, 0.9) if w > 1 else (0.9, 4.0)), "gravel", "walnut")
        for k in range(6):
            at = (x - w / 2 + 0.3 + k * (w - 0.6) / 5, y) if w > 1 else (x, y - 1.7 + 0.68 * k)
            t.bush(b, at, ("pink", "moss", "red", "moss", "yellow", "lilac")[k], 0.30)
    street.bench(b, (8.0, 7.0), 70)
    r.table(b, (-1.2, 7.6), (1.5, 1.0), 0, "oak")
    for x, y, yaw in ((-1.2, 8.5, 0), (-1.2, 6.7, 180)):
        r.chair(b, (x, y), yaw, "oak")
    b.round((-1.2, 7.6), 0.04, (0.77, 2.6), Paint("chalk", "plain"), solid=False, sides=6)
    b.round((-1.2, 7.6), 1.7, (2.3, 2.9), Paint("wine", "stripes"), taper=0.02, solid=False, sides=12)
    b.landmark("parasol over a garden table", (-1.2, 7.6))
    street.well(b, (3.2, 15.5))
    for x in (-16, -6, 5.5, 18):  # neighbours across the lane
        t.house(
            b,
            (x, -24.6 - 0.0),
            (6.5, 2.6),
            4.2,
            180,
            ("rose", "chalk", "sage", "ochre")[(int(x) // 7) % 4],
            "slate",
            "window",
            "navy",
            ridge=1.6,
            chimney=False,
        )


def _glasshouse(b: Builder, at: t.At) -> None:
    bar, pane = Paint("chalk", "plain"), Paint("ice", "plain")
    x, y = at
    for side in (-2.4, -0.8, 0.8, 2.4):
        for d in (-1.4, 1.4):
            b.box((x + side, y + d), (0.09, 0.09), (0, 1.9), bar, solid=False)
    for d in (-1.4, 1.4):
        for z in (0.62, 1.86):
            t.bar(b, (x - 2.4, y + d), (x + 2.4, y + d), 0.07, (z, z + 0.07), bar, solid=False)
        t.bar(b, (x - 2.4, y + d), (x + 2.4, y + d), 0.06, (0, 0.6), pane, solid=False)
    t.gable(b, at, (4.8, 2.8), (1.95, 3.0), 0, pane, pane, over=0.1)
    for k in range(5):
        t.bush(b, (x - 1.8 + 0.9 * k, y), ("palm", "coral", "lime", "red", "palm")[k], 0.4)
    b.block(rectangle(at, (4.9, 2.9)), 2.0)
    b.landmark("glasshouse", at)


def _car(b: Builder, at: t.At) -> None:
    body, dark = Paint("coral", "plain"), Paint("coal", "plain")
    x, y = at
    b.box(at, (1.7, 3.9), (0.32, 0.85), body)
    b.prism(rectangle((x, y - 0.2), (1.6, 2.3)), (0.85, 1.42), Paint("slate", "plain"), body, taper=0.78)
    for i in (-0.78, 0.78):
        for j in (-1.25, 1.25):
            base = [
                (x + i - 0.12, y + j - 0.32),
                (x + i + 0.12, y + j - 0.32),
                (x + i + 0.12, y + j + 0.32),
                (x + i - 0.12, y + j + 0.32),
            ]
            b.prism(base, (0, 0.64), dark, taper=1.0)
    for i in (-0.55, 0.55):
        b.board((x + i, y - 1.96, 0.66), 270, (0.32, 0.2), Paint("lamp", "plain", glow=True))
        b.board((x + i, y + 1.96, 0.66), 90, (0.32, 0.16), Paint("wine", "plain"))
    b.landmark("small red car", at)
