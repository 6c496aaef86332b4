"""The four kinds of place. Each lays out one scene in a Builder and returns what a caption calls it."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene import props
from dreamx.data.scene.build import Builder, Paint, circle, rectangle
from dreamx.data.scene.textures import COLOURS

FOLIAGE = ("green", "lime", "orange", "pink", "teal", "yellow", "red")
WALLS = ("cream", "sky blue", "pink", "lime", "yellow", "orange", "teal", "red", "purple", "blue", "white", "green")


def _distinct(b: Builder, count: int, among: tuple[str, ...]) -> list[str]:
    return [str(c) for c in b.rng.permutation(among)[:count]]


def _spot(b: Builder, low: float, high: float, radius: float) -> tuple[float, float] | None:
    """A free place whose distance from the middle lies between ``low`` and ``high``."""
    for _ in range(40):
        a, r = b.rng.uniform(0, 2 * np.pi), b.rng.uniform(low, high)
        at = (float(r * np.cos(a)), float(r * np.sin(a)))
        if not b.taken(at, radius):
            return at
    return None


def park(b: Builder) -> str:
    """Grass, a way around, a pond, groups of trees, and one landmark towards each side."""
    green = {"photoreal": (0.33, 0.50, 0.20), "game": (0.36, 0.66, 0.24), "stylised": (0.55, 0.80, 0.38)}[b.style]
    b.area(rectangle((0, 0), (2 * b.half, 2 * b.half)), green)
    for _ in range(14):
        at = b.rng.uniform(-b.half, b.half, 2)
        shade = np.clip(np.array(green) * b.rng.uniform(0.82, 1.15), 0, 1)
        b.area(circle((at[0], at[1]), float(b.rng.uniform(1.5, 4)), 9), (float(shade[0]), float(shade[1]), float(shade[2])))
    sand = COLOURS[props.colour(b, ("cream", "grey", "orange"))]
    ring = float(b.rng.uniform(6.5, 9.0))
    way = circle((0, 0), ring, 14) * b.rng.uniform(0.85, 1.15, (14, 1))
    b.path(np.vstack([way, way[:1]]), 1.8, sand)
    for k in range(0, 14, 4):
        b.path([way[k], way[k] * 2.6], 1.6, sand)
    pond = (float(b.rng.uniform(-2, 2)), float(b.rng.uniform(-2, 2)))
    shore = circle(pond, 2.8, 12) * b.rng.uniform(0.85, 1.1, (12, 1))
    b.area(pond + (shore - pond) * 1.15, COLOURS["cream"])
    b.area(shore, (0.22, 0.50, 0.72))
    b.block(shore, 0.0)
    b.landmark("blue pond", pond)

    walls, roofs = _distinct(b, 4, WALLS), _distinct(b, 4, props.STRONG)
    turn = float(b.rng.uniform(0, 90))
    for k in range(4):
        a = np.radians(turn + 90 * k + b.rng.uniform(-15, 15))
        at = (float(13.5 * np.cos(a)), float(13.5 * np.sin(a)))
        yaw = float(np.degrees(a)) - 90
        choice = int(b.rng.integers(4))
        if choice < 2:
            shape = str(b.rng.choice(["gabled", "hipped", "spire", "dome"]))
            size = (3.6, 3.6) if shape in ("spire", "dome") else (6.0, 4.5)
            words = props.house(b, at, size, 6.0 if shape == "spire" else 3.2, yaw, walls[k], roofs[k], shape)
        else:
            words = props.gazebo(b, at) if choice == 2 else props.statue(b, at)
        b.landmark(words, at)
    tones = [*_distinct(b, 3, FOLIAGE), "green"]
    for _ in range(int(b.rng.integers(14, 24))):
        if at := _spot(b, 4.0, 19.0, 1.6):
            side = int((np.degrees(np.arctan2(at[1], at[0])) % 360) // 90)
            words = props.tree(b, at, tones[side], float(b.rng.uniform(0.8, 1.25)))
            b.landmark(words, at)
    for _ in range(8):
        if at := _spot(b, 3.5, 17.0, 1.1):
            props.bush(b, at, tones[int(b.rng.integers(4))]) if b.rng.random() < 0.6 else props.rock(b, at)
    for _ in range(3):
        if at := _spot(b, ring - 1.5, ring + 2.5, 1.2):
            b.landmark(props.bench(b, at, float(b.rng.uniform(0, 360))), at)
    return "a park"


def plaza(b: Builder) -> str:
    """Buildings of distinct colours around a paved square, something in the middle, smaller things between."""
    pave = np.array(COLOURS[props.colour(b, ("cream", "grey", "white", "brown"))]) * 0.85
    tone = (float(pave[0]), float(pave[1]), float(pave[2]))
    b.area(rectangle((0, 0), (2 * b.half, 2 * b.half)), tone)
    other = (tone[0] * 0.78, tone[1] * 0.78, tone[2] * 0.78)
    if b.rng.random() < 0.5:
        for x in np.arange(-b.half, b.half, 4.0):
            b.path([(x, -b.half), (x, b.half)], 0.5, other)
            b.path([(-b.half, x), (b.half, x)], 0.5, other)
    else:
        for k, r in enumerate((11.0, 8.0, 5.0)):
            b.area(circle((0, 0), r, 24), other if k % 2 == 0 else tone)
    middle = [props.fountain, props.statue, props.gazebo][int(b.rng.integers(3))]
    b.landmark(middle(b, (0.0, 0.0)), (0.0, 0.0))
    edge = 11.5
    walls, roofs = _distinct(b, 12, WALLS), [props.colour(b) for _ in range(12)]
    for side in range(4):
        a = np.radians(90 * side)
        out, along = np.array((np.cos(a), np.sin(a))), np.array((-np.sin(a), np.cos(a)))
        place = -edge
        for k in range(3):
            width = float(b.rng.uniform(5.5, 7.2))
            depth = 5.0
            at = out * (edge + depth / 2) + along * (place + width / 2)
            shape = str(b.rng.choice(["gabled", "hipped", "flat", "flat", "spire", "dome"]))
            height = 2.8 * int(b.rng.integers(1, 4))
            wall, roof = walls[3 * side + k], roofs[3 * side + k]
            words = props.house(b, (at[0], at[1]), (width - 0.3, depth), height, 90 * side - 90, wall, roof, shape)
            b.landmark(words, (at[0], at[1]))
            place += width + float(b.rng.uniform(0.3, 2.0))
    for make, count in ((props.bench, 4), (props.stall, 3)):
        for _ in range(count):
            if at := _spot(b, 4.5, 9.5, 1.7):
                yaw = float(np.degrees(np.arctan2(at[1], at[0]))) - 90
                b.landmark(make(b, at, yaw), at)
    for _ in range(5):
        if at := _spot(b, 4.0, 10.0, 1.3):
            words = props.lamp(b, at) if b.rng.random() < 0.5 else props.tree(b, at, props.colour(b, FOLIAGE), 0.8)
            b.landmark(words, at)
    return str(b.rng.choice(["a town square", "a plaza", "a market square"]))


def maze(b: Builder) -> str:
    """Corridors between thick walls; each quarter has its own colour, each crossing may hold a landmark."""
    n = 7
    cell = 2 * 8.4 / n
    edge = n * cell / 2
    seen = np.zeros((n, n), bool)
    open_: set[tuple[int, int, int]] = set()  # (row, column, 0: to the east, 1: to the north)
    stack = [(0, 0)]
    seen[0, 0] = True
    while stack:
        r, c = stack[-1]
        steps = [(r, c + 1, (r, c, 0)), (r, c - 1, (r, c - 1, 0)), (r + 1, c, (r, c, 1)), (r - 1, c, (r - 1, c, 1))]
        steps = [s for s in steps if 0 <= s[0] < n and 0 <= s[1] < n and not seen[s[0], s[1]]]
        if not steps:
            stack.pop()
            continue
        r, c, door = steps[int(b.rng.integers(len(steps)))]
        open_.add(door)
        seen[r, c] = True
        stack.append((r, c))
    for _ in range(18):  # loops, and room to look around
        open_.add((int(b.rng.integers(n - 1)), int(b.rng.integers(n - 1)), int(b.rng.integers(2))))
    tones = _distinct(b, 4, WALLS)
    floors = _distinct(b, 4, ("cream", "grey", "brown", "green", "dark blue", "orange"))
    pattern = str(b.rng.choice(["brick", "planks", "leaves", "checker", "plain"]))
    height = float(b.rng.uniform(2.2, 3.0))
    b.area(rectangle((0, 0), (2 * b.half, 2 * b.half)), (0.40, 0.52, 0.30))
    for q in range(4):
        x, y = edge / 2 * (1 if q % 2 else -1), edge / 2 * (1 if q // 2 else -1)
        b.area(rectangle((x, y), (edge, edge)), tuple(0.85 * v for v in COLOURS[floors[q]]))  # pyright: ignore[reportArgumentType]

    def paint(x: float, y: float) -> Paint:
        return Paint(tones[2 * (y > 0) + (x > 0)], pattern)

    def wall(x0: float, y0: float, x1: float, y1: float) -> None:
        mx, my = (x0 + x1) / 2, (y0 + y1) / 2
        size = (abs(x1 - x0) + 0.3, abs(y1 - y0) + 0.3)
        b.box((mx, my), size, (0, height), paint(mx, my), Paint("white"))

    for r in range(n):
        for c in range(n):
            x, y = -edge + c * cell, -edge + r * cell
            if c == n - 1 or (r, c, 0) not in open_:
                wall(x + cell, y, x + cell, y + cell)
            if r == n - 1 or (r, c, 1) not in open_:
                wall(x, y + cell, x + cell, y + cell)
        wall(-edge, -edge + r * cell, -edge, -edge + (r + 1) * cell)
        wall(-edge + r * cell, -edge, -edge + (r + 1) * cell, -edge)
    for _ in range(9):
        r, c = b.rng.integers(n, size=2)
        at = (float(-edge + (c + 0.5) * cell), float(-edge + (r + 0.5) * cell))
        kind = int(b.rng.integers(4))
        tone = props.colour(b)
        if kind == 0:
            b.round(at, 0.3, (0, height + 1.5), Paint(tone), sides=8)
            words = f"{tone} pillar"
        elif kind == 1:
            b.ball((*at, 0.5), (0.5, 0.5), Paint(tone))
            b.block(circle(at, 0.5, 8), 1.0)
            words = f"{tone} ball"
        elif kind == 2:
            b.box(at, (0.7, 0.7), (0, 0.7), Paint(tone, "checker"), yaw=float(b.rng.uniform(0, 90)))
            words = f"{tone} crate"
        else:
            b.prism(circle(at, 0.45, 6), (0, 1.6), Paint(tone), taper=0.0)
            b.block(circle(at, 0.45, 6), 1.6)
            words = f"{tone} cone"
        b.landmark(words, at)
    for k, (x, y) in enumerate(circle((0, 0), 15.0, 4)):
        at, (wall_tone, roof) = (float(x), float(y)), _distinct(b, 2, props.STRONG)
        b.landmark(props.house(b, at, (3.5, 3.5), 5.0 + 1.5 * k, 90 * k - 90, wall_tone, roof, "spire"), at)
    noun = {"leaves": "a hedge maze", "brick": "a maze of brick walls"}.get(pattern, "a maze of coloured walls")
    return f"{noun}, {tones[0]} and {tones[1]}"
