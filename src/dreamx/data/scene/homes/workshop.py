"""The workshop: an inventor's house of seven rooms, with machines, books, paints, plants and a stage."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.homes import rooms as r
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light

NAME, STYLE, HALF = "workshop", "stylised", 14.0
SPAWN = (0, -2)  # a place from which all the rest can be walked to
WORDS = "the workshop of an inventor, a house of many rooms"
HIGH = 3.2
LAMPS = tuple(((x, y, 2.75), c) for x, y, c in (
    (-7.5, -7.0, (2.2, 1.7, 1.0)), (-7.5, 0.5, (1.6, 1.5, 1.3)), (-7.5, 8.5, (2.0, 1.6, 1.1)),
    (0.0, -7.5, (1.8, 1.6, 1.3)), (0.0, 2.0, (2.4, 2.2, 1.9)), (0.0, 8.0, (1.8, 1.4, 1.2)),
    (7.8, -6.5, (1.6, 1.7, 1.9)), (7.8, 1.0, (2.0, 2.1, 1.5)), (7.8, 8.5, (2.1, 1.5, 1.6)),
))  # fmt: skip
LIGHT = Light(
    azimuth=0,
    height=50,
    sun=(0, 0, 0),
    zenith=(0.5, 0.5, 0.55),
    horizon=(0.5, 0.5, 0.5),
    bounce=0.55,
    floor=(0.22, 0.21, 0.23),
    lamps=LAMPS,
    exposure=1.15,
    shadow=(0.98, 0.96, 1.06),
)
SKY = None
A, C, E, F = -4.2, 4.2, -3.4, 4.4  # the inner walls
W = 12.0  # half the side of the house
VIEWS = (
    (0, -2, 90),
    (0, 0, 180),
    (2.5, 3, 225),
    (-7, -6, 30),
    (-9, 0, 60),
    (-7, 9, 200),
    (0, -7, 70),
    (0, 9, 300),
    (8, -7, 120),
    (7, 0, 60),
    (8, 8, 140),
    (-2, 2, 0),
)


def build(b: Builder) -> GroundPlan:
    """Lay the rooms out; returns the ground under them."""
    plan = GroundPlan(HALF, "plain", "walnut")
    hue = {
        "mill": "ochre",
        "library": "wine",
        "paint": "mint",
        "store": "sandstone",
        "hall": "ivory",
        "music": "lilac",
        "lab": "sky",
        "green": "lime",
        "kitchen": "coral",
    }
    p = {
        name: Paint(c, "paper" if name in ("library", "music", "hall") else "plaster", variant=k)
        for k, (name, c) in enumerate(hue.items())
    }
    dark = Paint("walnut", "planks")
    grid = [
        ["mill", "library", "paint"],
        ["store", "hall", "music"],
        ["lab", "green", "kitchen"],
    ]  # columns west to east, rows south to north
    xs, ys = (-W, A, C, W), (-W, E, F, W)
    doors_x = {
        (0, 0): 3.0,
        (0, 1): 4.4,
        (0, 2): 4.0,
        (1, 0): 5.2,
        (1, 1): 3.4,
        (1, 2): 3.8,
    }  # wall east of column i at row j: middle of its door
    doors_y = {(0, 0): 4.8, (1, 0): 4.2, (2, 0): 3.4, (0, 1): 3.0, (1, 1): 4.2, (2, 1): 5.0}  # wall north of row j in column i
    for i in range(3):
        for j in range(3):
            name = grid[i][j]
            x, y = (xs[i], xs[i + 1]), (ys[j], ys[j + 1])
            if j == 0:
                r.wall(b, (x[0], y[0]), (x[1], y[0]), HIGH, p[name], dark)
            if i == 0:
                r.wall(b, (x[0], y[1]), (x[0], y[0]), HIGH, p[name], dark)
            if i == 2:
                r.wall(b, (x[1], y[0]), (x[1], y[1]), HIGH, p[name], dark)
            if j == 2:
                r.wall(b, (x[1], y[1]), (x[0], y[1]), HIGH, p[name], dark)
            if i < 2:
                r.wall(
                    b,
                    (x[1], y[0]),
                    (x[1], y[1]),
                    HIGH,
                    p[name],
                    p[grid[i + 1][j]],
                    (r.WallOpening(doors_x[i, j], 1.9, 0, 2.4),),
                    trim="walnut",
                )
            if j < 2:
                r.wall(
                    b,
                    (x[1], y[1]),
                    (x[0], y[1]),
                    HIGH,
                    p[name],
                    p[grid[i][j + 1]],
                    (r.WallOpening(x[1] - x[0] - doors_y[i, j], 1.9, 0, 2.4),),
                    trim="walnut",
                )
            floors = {"mill": ("granite", "cobbles"), "library": ("walnut", "boards"), "paint": ("pine", "planks"),
                      "store": ("oak", "planks"),
                      "hall": ("ivory", "checker"), "music": ("oak", "boards"), "lab": ("sky", "checker"),
                      "green": ("terracotta", "cobbles"), "kitchen": ("coral", "checker")}  # fmt: skip
            r.floor(b, x, y, Paint(floors[name][0], floors[name][1], variant=i + 3 * j))
            r.ceiling(b, x, y, HIGH, Paint("ivory" if (i + j) % 2 else "pine", "plain" if (i + j) % 2 else "planks"))
            for beam in np.arange(x[0] + 1.4, x[1] - 0.5, 2.2):
                t.bar(
                    b,
                    (beam, y[0] + 0.15),
                    (beam, y[1] - 0.15),
                    0.18,
                    (HIGH - 0.22, HIGH - 0.01),
                    Paint("walnut", "planks"),
                    solid=False,
                )
    for at, c in zip(
        ((x, y) for (x, y, _), _ in LAMPS),
        ("wine", "navy", "coral", "fir", "brass", "purple", "teal", "lime", "orange"),
        strict=True,
    ):
        r.pendant(b, at, 2.45, HIGH, c)
    for fill in (_mill, _library, _paint, _store, _hall, _music, _lab, _green, _kitchen):
        fill(b)
    return plan


def _glass(b: Builder, at: t.At, facing: float, k: int, z: float = 1.7, size: t.At = (1.7, 1.4)) -> None:
    b.board((*at, z), facing, size, Paint("chalk", "glass", glow=True, variant=k))


def _mill(b: Builder) -> None:
    for at, rr, c in (
        ((-11.84, -8.0, 1.9), 1.1, "brass"),
        ((-11.84, -9.9, 1.35), 0.8, "coral"),
        ((-11.84, -6.35, 1.2), 0.6, "teal"),
    ):
        r.gear(b, at, 0, rr, c)
    b.box((-7.2, -10.9), (3.0, 1.2), (0, 0.9), Paint("oak", "planks", variant=2), Paint("pine", "boards"))
    b.box((-8.0, -10.9), (0.5, 0.4), (0.9, 1.3), Paint("iron", "plain"), solid=False)
    b.round((-6.6, -10.9), 0.18, (0.9, 1.5), Paint("brass", "plain"), taper=0.5, solid=False, sides=8)
    b.round((-6.0, -6.3), 0.9, (0, 1.7), Paint("teal", "plain"), sides=12)
    b.ball((-6.0, -6.3, 1.7), (0.9, 0.7), Paint("brass", "plain"), sides=12)
    b.round((-6.0, -6.3), 0.14, (2.3, HIGH), Paint("brass", "plain"), solid=False, sides=8)
    b.landmark("teal boiler", (-6.0, -6.3))
    b.landmark("wall of gears", (-11.8, -8.0))
    r.barrel(b, (-11.2, -4.2))
    r.crate(b, (-11.2, -11.2), 0.9, 10)
    _glass(b, (-5.4, -11.86), 90, 1)


def _library(b: Builder) -> None:
    for x, y, w, yaw in ((-11.7, -1.6, 2.6, 270), (-11.7, 2.6, 2.6, 270), (-9.8, 4.1, 2.6, 180 + 0), (-5.4, -3.1, 1.8, 180)):
        r.shelf(b, (x, y), w, yaw if yaw != 180 else (0 if y > 0 else 180), 2.7)
    r.rug(b, (-7.8, 0.4), (3.2, 2.2), "navy")
    r.sofa(b, (-7.6, 2.0), 0, "wine")
    r.floor_lamp(b, (-6.1, 2.2))
    r.table(b, (-7.8, 0.3), (1.2, 0.7), 0, "walnut")
    b.ball((-7.8, 0.3, 1.0), (0.22, 0.22), Paint("lake", "rock", variant=2), sides=10)
    b.landmark("wall of books", (-11.7, 0.5))
    b.landmark("wine red sofa", (-7.6, 2.0))


def _paint(b: Builder) -> None:
    for k, (x, y, facing) in enumerate(
        ((-11.86, 6.2, 0), (-11.86, 8.2, 0), (-11.86, 10.2, 0), (-10.2, 11.86, 270), (-7.8, 11.86, 270), (-5.6, 11.86, 270))
    ):
        r.picture(b, (x, y), facing, (1.5, 1.2), ("brass", "walnut", "coral")[k % 3], 1.65, 3 * k + k // 3)
    for at, c in (((-6.4, 9.0), 4), ((-9.3, 8.0), 7)):
        b.round(at, 0.05, (0, 1.9), Paint("pine", "plain"), sides=5)
        b.block(rectangle(at, (0.9, 0.5)), 1.5)
        for f in (250.0, 70.0):
            r.picture(b, t.turned(at, f, 0.06), f, (1.0, 1.2), "pine", 1.35, c + int(f))
    for k, c in enumerate(("coral", "yellow", "teal", "purple", "lime", "sky")):
        b.round((-11.4 + 0.55 * k, 5.0), 0.2, (0, 0.5), Paint(c, "plain"), sides=9)
    b.landmark("easel with a painting", (-6.4, 9.0))


def _store(b: Builder) -> None:
    for k, (x, y, s, z) in enumerate(
        (
            (-3.4, -11.2, 1.1, 0),
            (-2.2, -11.3, 0.9, 0),
            (-3.2, -11.2, 0.8, 1.1),
            (-3.5, -9.8, 0.9, 0),
            (3.4, -11.2, 1.0, 0),
            (3.3, -11.2, 0.7, 1.0),
            (2.2, -11.4, 0.7, 0),
        )
    ):
        r.crate(b, (x, y), s, 7.0 * k, ("pine", "ochre", "oak", "coral")[k % 4], z)
    for at in ((-0.6, -11.3), (0.2, -11.2), (-0.2, -10.5)):
        r.barrel(b, at)
    r.shelf(b, (3.85, -7.0), 2.4, 90, 2.6)
    b.box((-2.7, -6.4), (1.0, 2.2), (0.2, 0.34), Paint("teal", "plain"))
    for dy in (-0.9, 0.9):
        b.box((-2.7, -6.4 + dy), (1.1, 0.16), (0, 0.32), Paint("coal", "plain"), solid=False)
    b.box((-2.7, -7.4), (1.0, 0.08), (0.34, 1.2), Paint("brass", "plain"), solid=False)
    b.landmark("stacked crates", (-3.4, -11.2))


def _hall(b: Builder) -> None:
    b.round((0, 0.6), 1.15, (0, 0.45), Paint("chalk", "ashlar"), top=Paint("teal", "plain"), sides=14)
    b.round((0, 0.6), 0.10, (0.45, 1.5), Paint("brass", "plain"), solid=False, sides=7)
    for z, rr, c in ((1.5, 0.42, "coral"), (1.75, 0.62, "brass"), (2.0, 0.32, "sky")):
        b.ball((rr * np.cos(z * 9), 0.6 + rr * np.sin(z * 9), z), (0.16, 0.16), Paint(c, "plain"), sides=8)
    b.ball((0, 0.6, 1.75), (0.26, 0.26), Paint("lamp", "plain", glow=True), sides=10)
    b.landmark("model of the planets", (0, 0.6))
    r.rug(b, (0, -1.9), (2.2, 1.4), "wine")
    for x, y in ((-3.5, -2.7), (3.5, -2.7), (-3.5, 3.8), (3.5, 3.8)):
        r.plant(b, (x, y), 1.5, ("terracotta", "navy")[int(x > 0)])
    b.box((-3.75, -0.6), (0.5, 1.0), (0, 2.6), Paint("walnut", "planks"))
    b.board((-3.48, -0.6, 2.0), 0, (0.7, 0.7), Paint("ivory", "sign", variant=2))
    b.landmark("grandfather clock", (-3.75, -0.6))


def _music(b: Builder) -> None:
    b.box((0.2, 10.8), (5.4, 2.2), (0, 0.35), Paint("walnut", "planks"), Paint("oak", "boards"))
    for x in (-2.6, 3.0):
        b.board((x, 10.9, 1.6), 270, (0.9, 2.8), Paint("wine", "stripes"))
    b.box((-1.0, 11.0), (1.5, 0.6), (0.35, 1.45), Paint("coal", "plain"))
    b.box((-1.0, 10.62), (1.4, 0.3), (0.95, 1.02), Paint("ivory", "books"), solid=False)
    b.round((1.7, 10.8), 0.4, (0.35, 1.1), Paint("coral", "stripes"), sides=10, top=Paint("ivory", "plain"))
    for k, x in enumerate((-2.2, -0.8, 0.8, 2.2)):
        r.chair(b, (x, 7.0 + 0.3 * (k % 2)), 180, ("wine", "navy")[k % 2])
    r.picture(b, (4.06, 9.4), 180, (1.4, 1.0), "brass", 1.7, 4)
    b.landmark("small stage with a piano", (0.2, 10.8))


def _lab(b: Builder) -> None:
    b.box((8.0, -11.3), (5.4, 0.9), (0, 0.92), Paint("chalk", "planks"), Paint("slate", "plain"))
    for k, c in enumerate(("lime", "coral", "purple", "sky", "yellow", "teal")):
        x = 5.8 + 0.85 * k
        b.round((x, -11.3), 0.16, (0.92, 1.10), Paint(c, "plain", glow=True), solid=False, sides=9)
        b.round((x, -11.3), 0.16, (1.10, 1.35), Paint("ice", "plain"), taper=0.35, solid=False, sides=9)
    b.box((11.3, -7.0), (0.9, 2.6), (0, 2.3), Paint("slate", "plain"))
    for k in range(5):
        for m in range(3):
            b.board(
                (10.83, -8.0 + 0.5 * k, 0.8 + 0.5 * m),
                180,
                (0.28, 0.28),
                Paint(("lime", "coral", "yellow", "sky")[(k + m) % 4], "plain", glow=True),
            )
    b.landmark("machine with many lights", (11.3, -7.0))
    b.round((7.2, -7.2), 0.55, (0, 0.8), Paint("iron", "plain"), sides=10)
    b.ball((7.2, -7.2, 1.5), (0.62, 0.62), Paint("purple", "plain", glow=True), sides=12)
    b.landmark("violet globe", (7.2, -7.2))
    _glass(b, (7.6, -11.86), 90, 5, 2.2, (2.6, 0.9))


def _green(b: Builder) -> None:
    for k in range(4):
        _glass(b, (11.86, -2.4 + 1.75 * k), 180, 10 + k, 1.65, (1.6, 1.9))
    for k, (x, y) in enumerate(((11.0, -2.8), (11.2, 0.4), (11.0, 3.6), (5.0, 3.6), (5.2, -2.8), (9.0, 3.9))):
        r.plant(b, (x, y), 1.3 + 0.25 * (k % 3), ("terracotta", "navy", "coral")[k % 3])
    b.box((7.8, 0.6), (2.6, 1.2), (0, 0.55), Paint("oak", "planks"), Paint("walnut", "plain"))
    for k in range(5):
        t.bush(b, (6.8 + 0.5 * k, 0.6), ("lime", "pink", "palm", "yellow", "coral")[k], 0.34)
    b.landmark("bed of flowers under glass", (7.8, 0.6))


def _kitchen(b: Builder) -> None:
    r.kitchen(b, (8.0, 11.5), 0, 5.0, "teal")
    b.box((11.4, 9.6), (0.8, 0.8), (0, 2.0), Paint("yellow", "plain"))
    r.table(b, (7.6, 8.0), (1.8, 1.0), 0, "pine")
    for x, y, yaw in ((7.0, 7.1, 180), (8.2, 7.1, 180), (7.0, 8.9, 0), (8.2, 8.9, 0)):
        r.chair(b, (x, y), yaw, "coral")
    for x, c in ((7.2, "lime"), (7.7, "red"), (8.1, "orange")):
        b.ball((x, 8.0, 0.86), (0.11, 0.10), Paint(c, "plain"), sides=8)
    _glass(b, (11.86, 6.6), 180, 20)
    b.landmark("yellow fridge", (11.4, 9.6))
