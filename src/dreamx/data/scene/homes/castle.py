"""The castle: walls with towers about a keep, a court, and a maze of lanes in four colours; a moat and a bridge outside."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.homes import rooms as r
from dreamx.data.scene.homes import street
from dreamx.data.scene.homes import things as t
from dreamx.data.scene.homes.ground_plan import GroundPlan
from dreamx.data.scene.homes.light import Light
from dreamx.data.scene.homes.sky import Sky

NAME, STYLE, HALF = "castle", "game", 32.0
SPAWN = (0, -16)  # a place from which all the rest can be walked to
FAR = (0.34, 0.6, 0.26)  # the ground beyond
WORDS = "a castle with a maze inside its walls, under a clear sky"
LIGHT = Light(
    azimuth=60,
    height=44,
    sun=(3.2, 2.9, 2.3),
    zenith=(0.36, 0.52, 0.86),
    horizon=(0.52, 0.64, 0.80),
    floor=(0.05, 0.05, 0.06),
    exposure=0.74,
)
SKY = Sky(
    (0.20, 0.50, 0.92),
    (0.70, 0.88, 0.98),
    (1.0, 0.98, 0.80),
    ((8.0, (0.52, 0.62, 0.86)), (5.5, (0.36, 0.66, 0.52)), (3.6, (0.30, 0.60, 0.24))),
    clouds=0.34,
)
WALL = 20.0  # half the side of the outer wall
CELL = 3.6  # of the maze
VIEWS = (
    (0, -28, 90),
    (0, -16, 90),
    (6, -8, 45),
    (-6, -10, 150),
    (9, 4, 90),
    (13, -12, 120),
    (-9.0, 2, 90),
    (-14.4, 9.2, 0),
    (-7, 16.4, 180),
    (24, -24, 135),
    (3, -4, 180),
    (12, 15, 250),
)
QUARTERS = (("coral", "wine"), ("sky", "navy"), ("lime", "fir"), ("yellow", "orange"))


def build(b: Builder) -> GroundPlan:
    """Lay the castle out; returns its ground."""
    plan = GroundPlan(HALF, "grass", "meadow", raggedness=0.0)
    for size, surface, colour in (((54, 54), "water", "lake"), ((47, 47), "grass", "moss"), ((39.4, 39.4), "cobbles", "granite")):
        plan.area(rectangle((0, 0), size), surface, colour)
    plan.path([(0, -32), (0, -18)], 4.0, "cobbles", "sandstone")
    plan.area(rectangle((6.0, -9.5), (22, 17)), "gravel", "sandstone")
    _walls(b)
    _bridge(b)
    _keep(b)
    _court(b)
    _maze(b, plan)
    _outside(b)
    return plan


def _walls(b: Builder) -> None:
    stone, walk = Paint("granite", "ashlar", variant=1), Paint("granite", "cobbles")
    gate = 2.2
    runs = (
        ((-WALL, -WALL), (-gate, -WALL)),
        ((gate, -WALL), (WALL, -WALL)),
        ((WALL, -WALL), (WALL, WALL)),
        ((WALL, WALL), (-WALL, WALL)),
        ((-WALL, WALL), (-WALL, -WALL)),
    )
    for a, c in runs:
        t.bar(b, a, c, 1.8, (0, 5.0), stone, walk)
        t.battlements(b, a, c, 5.0, 0.5, stone)
    for (x, y), roof in zip(
        ((-WALL, -WALL), (WALL, -WALL), (WALL, WALL), (-WALL, WALL)), ("wine", "navy", "fir", "orange"), strict=True
    ):
        t.tower(b, (x, y), 3.0, 9.0, "granite", roof, 12)
        b.landmark(f"tower with a {roof} roof", (x, y))
    for x in (-3.6, 3.6):
        b.box(
            (x, -WALL), (2.8, 3.0), (0, 8.0), Paint("sandstone", "slit", variant=6), Paint("sandstone", "ashlar"), bays=(2.6, 2.8)
        )
        t.battlements(b, (x - 1.4, -WALL - 1.3), (x + 1.4, -WALL - 1.3), 8.0, 0.4, Paint("sandstone", "ashlar"))
        t.battlements(b, (x - 1.4, -WALL + 1.3), (x + 1.4, -WALL + 1.3), 8.0, 0.4, Paint("sandstone", "ashlar"))
        b.board((x, -WALL - 1.53, 5.6), 270, (1.2, 2.4), Paint("wine", "sign", variant=1))
        b.board((x, -WALL + 1.53, 5.6), 90, (1.2, 2.4), Paint("navy", "sign", variant=3))
    b.box((0, -WALL), (4.4, 2.6), (3.6, 6.6), Paint("sandstone", "ashlar", variant=8), solid=False)
    b.landmark("castle gate with banners", (0, -WALL))


def _bridge(b: Builder) -> None:
    for x in (-2.1, 2.1):
        t.bar(b, (x, -27.2), (x, -23.4), 0.3, (0, 1.0), Paint("oak", "planks", variant=2))
    r.floor(b, (-2.0, 2.0), (-27.2, -23.3), Paint("oak", "boards"), z=0.03)
    for a, c in (
        ((-27, -25.2), (-2.2, -25.2)),
        ((2.2, -25.2), (27, -25.2)),
        ((25.2, -25.2), (25.2, 25.2)),
        ((25.2, 25.2), (-25.2, 25.2)),
        ((-25.2, 25.2), (-25.2, -25.2)),
    ):
        b.block(rectangle(((a[0] + c[0]) / 2, (a[1] + c[1]) / 2), (abs(c[0] - a[0]) + 3.2, abs(c[1] - a[1]) + 3.2)), 0.0)


def _keep(b: Builder) -> None:
    stone = Paint("sandstone", "slit", variant=3)
    b.box((10.5, 10.5), (9, 9), (0, 9.0), stone, Paint("sandstone", "ashlar"), bays=(3.0, 3.0))
    for a, c in (((6, 6), (15, 6)), ((15, 6), (15, 15)), ((15, 15), (6, 15)), ((6, 15), (6, 6))):
        t.battlements(b, a, c, 9.0, 0.5, Paint("sandstone", "ashlar"))
    b.box((10.5, 10.5), (5, 5), (9.0, 12.0), Paint("chalk", "slit", variant=4), bays=(2.5, 3.0), solid=False)
    b.prism(rectangle((10.5, 10.5), (6, 6)), (12.0, 17.0), Paint("purple", "tiles"), taper=0.0)
    b.board((10.5, 5.96, 1.6), 270, (2.6, 3.2), Paint("oak", "gate"))
    b.board((5.96, 10.5, 1.4), 180, (2.0, 2.8), Paint("oak", "gate", variant=1))
    for x in (8.0, 13.0):
        b.board((x, 5.95, 5.4), 270, (1.1, 3.0), Paint("purple", "sign", variant=2))
    b.landmark("keep with a purple roof", (10.5, 10.5))


def _court(b: Builder) -> None:
    street.well(b, (5.0, -7.0))
    b.landmark("well", (5.0, -7.0))
    t.house(b, (15.4, -9.0), (9.0, 4.6), 3.2, 270, "chalk", "terracotta", "timber window", "fir", chimney=False)
    b.landmark("timbered stable", (15.4, -9.0))
    street.stall(b, (9.6, -15.4), 180, "wine", ("orange", "lime", "red"))
    street.stall(b, (12.8, -3.2), 0, "navy", ("yellow", "pink", "cream"))
    b.landmark("market stall", (9.6, -15.4))
    for k, at in enumerate(((3.2, -15.2), (3.9, -16.0), (2.9, -16.4), (17.6, -15.8))):
        r.barrel(b, at, ("oak", "pine")[k % 2])
    for at, size in (((8.0, -1.4), 0.9), ((8.8, -0.9), 0.7), ((17.2, -3.0), 1.0)):
        r.crate(b, at, size, 20)
    b.box((1.2, -2.2), (1.2, 1.2), (0, 1.0), Paint("chalk", "ashlar"))
    b.round((1.2, -2.2), 0.42, (1.0, 2.5), Paint("brass", "plain"), taper=0.7, solid=False, sides=8)
    b.ball((1.2, -2.2, 2.85), (0.36, 0.40), Paint("brass", "plain"), sides=8)
    b.landmark("golden statue", (1.2, -2.2))
    t.broadleaf(b, (8.2, -9.6), "lime", 6.0)
    b.landmark("oak in the court", (8.2, -9.6))


def _maze(b: Builder, plan: GroundPlan) -> None:
    """Five by nine cells along the west wall, a lane to the keep in the north; each quarter in its own colours."""
    rng = np.random.default_rng(4)
    n, m = 5, 10
    x0, y0 = -WALL + 0.95, -WALL + 0.95
    open_: set[tuple[int, int, int]] = set()
    seen, stack = {(0, 0)}, [(0, 0)]
    while stack:
        i, j = stack[-1]
        ways = [(i + 1, j, (i, j, 0)), (i - 1, j, (i - 1, j, 0)), (i, j + 1, (i, j, 1)), (i, j - 1, (i, j - 1, 1))]
        ways = [w for w in ways if 0 <= w[0] < n and 0 <= w[1] < m and (w[0], w[1]) not in seen]
        if not ways:
            stack.pop()
            continue
        i, j, door = ways[int(rng.integers(len(ways)))]
        open_.add(door)
        seen.add((i, j))
        stack.append((i, j))
    for _ in range(14):
        open_.add((int(rng.integers(n - 1)), int(rng.integers(m - 1)), int(rng.integers(2))))
    for i in range(n):
        for j in range(m):
            x, y = x0 + (i + 0.5) * CELL, y0 + (j + 0.5) * CELL
            bright, dark = QUARTERS[(i > 2) + 2 * (j > 4)]
            plan.area(rectangle((x, y), (CELL, CELL)), "cobbles", "sandstone" if (i + j) % 2 else "granite")
            hedge = j % 5 == 2
            p = Paint("meadow", "leaves", variant=i + j) if hedge else Paint(bright, "brick", variant=(i > 2) + 2 * (j > 4))
            top = None if hedge else Paint(dark, "plain")
            edge_open = i == n - 1 and j in (1, 4, 8)
            if (i < n - 1 and (i, j, 0) not in open_) or (i == n - 1 and not edge_open):
                b.box((x + CELL / 2, y), (0.4, CELL + 0.4), (0, 2.5), p, top)
            if j < m - 1 and (i, j, 1) not in open_:
                b.box((x, y + CELL / 2), (CELL + 0.4, 0.4), (0, 2.5), p, top)
            if (3 * i + 5 * j) % 7 == 3:
                _token(b, (x, y), (i + j) % 5, dark)
    for y in (3.0, 16.6):  # the lane to the keep
        b.landmark("lane of the maze", (0.5, y))


def _token(b: Builder, at: t.At, which: int, colour: str) -> None:
    """Something to tell one crossing from another."""
    if which == 0:
        b.round(at, 0.35, (0, 3.8), Paint(colour, "plain"), sides=8)
        b.ball((*at, 4.0), (0.5, 0.5), Paint("brass", "plain"), sides=8)
    elif which == 1:
        r.barrel(b, at)
    elif which == 2:
        b.box(at, (0.9, 0.9), (0, 0.9), Paint(colour, "ashlar"))
        b.prism(rectangle(at, (0.7, 0.7)), (0.9, 3.0), Paint(colour, "plain"), taper=0.1)
    elif which == 3:
        t.bush(b, at, "pink", 0.7)
    else:
        street.lamp_post(b, at, 2.8)
    b.landmark(("pillar with a golden ball", "barrel", f"{colour} obelisk", "flowering bush", "street lamp")[which], at)


def _outside(b: Builder) -> None:
    rng = np.random.default_rng(8)
    for k in range(22):
        side, x = k % 4, float(rng.uniform(-29, 29))
        at = [(x, 29.6), (29.6, x), (x, -29.6), (-29.6, x)][side]
        if (abs(at[0]) < 4 and at[1] < 0) or b.taken(at, 1.5):
            continue
        (t.conifer if k % 3 == 0 else t.broadleaf)(b, at, ("fir", "meadow", "maple", "lime")[k % 4], float(rng.uniform(5, 7)))
    for x, y in ((-7, -29), (8, -30), (14, -28.6)):
        t.boulder(b, (x, y), 0.8)
