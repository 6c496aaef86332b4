"""The things that stand in scenes: each draws itself into a Builder, blocks its ground and returns the words for itself."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, circle, rectangle

At = tuple[float, float]
STRONG = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")


def colour(b: Builder, among: tuple[str, ...] = STRONG) -> str:
    """A colour drawn from ``among``."""
    return str(b.rng.choice(among))


def a(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def off(at: At, towards: float, far: float) -> At:
    """The place so many metres from ``at`` towards an angle, degrees from east to north."""
    f = np.radians(towards)
    return at[0] + far * np.cos(f), at[1] + far * np.sin(f)


def tree(b: Builder, at: At, foliage: str, scale: float = 1.0) -> str:
    """A round tree, a fir, or in games a tree of cubes."""
    trunk, leaves = Paint("brown", "planks"), Paint(foliage, "leaves")
    h = float(b.rng.uniform(3.2, 4.6)) * scale
    b.round(at, 0.22 * scale, (0, h * 0.6), trunk, solid=False, sides=6)
    b.block(circle(at, 1.15 * scale, 8), h)  # the crown is as low as the eye
    if b.style == "game":
        b.box(at, (2.2 * scale, 2.2 * scale), (h * 0.45, h * 0.8), leaves, solid=False)
        b.box(at, (1.3 * scale, 1.3 * scale), (h * 0.8, h), leaves, solid=False)
        return f"blocky {foliage} tree"
    if b.rng.random() < 0.4:
        for k in range(3):
            b.round(
                at, (1.3 - 0.33 * k) * scale, (h * (0.28 + 0.24 * k), h * (0.62 + 0.24 * k)), leaves, 0.0, solid=False, sides=8
            )
        return f"{foliage} fir tree"
    b.ball((*at, h * 0.72), (1.25 * scale, 1.15 * scale), leaves)
    return f"{foliage} tree"


def bush(b: Builder, at: At, foliage: str) -> str:
    r = float(b.rng.uniform(0.5, 0.9))
    b.ball((*at, r * 0.5), (r, r * 0.9), Paint(foliage, "leaves"), sides=8)
    b.block(circle(at, r, 8), r)
    return f"{foliage} bush"


def rock(b: Builder, at: At) -> str:
    r = float(b.rng.uniform(0.6, 1.1))
    b.prism(circle(at, r, 6), (0, r * 1.1), Paint("grey"), taper=0.55)
    b.block(circle(at, r, 6), r)
    return "grey rock"


def bench(b: Builder, at: At, yaw: float) -> str:
    c = colour(b, ("brown", "red", "teal", "blue"))
    p = Paint(c, "planks")
    b.box(at, (1.8, 0.5), (0.35, 0.48), p, yaw=yaw)
    b.box(off(at, yaw + 90, 0.25), (1.8, 0.08), (0.48, 1.0), p, yaw=yaw, solid=False)
    for side in (-0.7, 0.7):
        b.box(off(at, yaw, side), (0.12, 0.4), (0, 0.35), Paint("grey"), yaw=yaw, solid=False)
    return f"{c} bench"


def lamp(b: Builder, at: At) -> str:
    b.round(at, 0.09, (0, 3.0), Paint("dark blue"), sides=6)
    b.ball((*at, 3.2), (0.3, 0.3), Paint("yellow", glow=True), sides=8)
    return "street lamp"


def fountain(b: Builder, at: At) -> str:
    stone, water = Paint(colour(b, ("white", "cream", "grey"))), Paint("sky blue", "leaves")
    b.round(at, 2.2, (0, 0.55), stone, top=water, sides=14)
    b.round(at, 0.35, (0.5, 1.5), stone, solid=False, sides=8)
    b.round(at, 0.95, (1.5, 1.7), stone, top=water, solid=False)
    b.round(at, 0.22, (1.7, 2.6), water, 0.2, solid=False, sides=8)
    return "stone fountain"


def statue(b: Builder, at: At) -> str:
    c = colour(b)
    p = Paint(c)
    b.box(at, (1.1, 1.1), (0, 0.9), Paint("white"))
    kind = int(b.rng.integers(3))
    if kind == 0:
        b.ball((*at, 1.75), (0.85, 0.85), p)
        return f"{c} sphere on a pedestal"
    if kind == 1:
        b.prism(rectangle(at, (0.9, 0.9), 45), (0.9, 3.6), p, taper=0.12)
        return f"{c} obelisk"
    b.round(at, 0.45, (0.9, 2.3), p, 0.6, solid=False)
    b.ball((*at, 2.6), (0.38, 0.42), p, sides=8)
    return f"{c} statue"


def house(b: Builder, at: At, size: At, height: float, yaw: float, wall: str, roof: str, shape: str) -> str:
    """A building: walls of window bays, and a roof that is gabled, hipped, flat, a dome or a spire (``shape``)."""
    b.box(at, size, (0, height), Paint(wall, "windows"), Paint("grey"), yaw=yaw, bays=(2.6, 2.8))
    top = Paint(roof, "stripes" if shape == "flat" else "plain")
    base = rectangle(at, (size[0] + 0.6, size[1] + 0.6), yaw)
    tall = 0.45 * min(size)
    if shape == "flat":
        b.prism(base, (height, height + 0.6), top, Paint(roof))
    elif shape == "hipped":
        b.prism(base, (height, height + tall), top, taper=0.25)
    elif shape == "spire":
        b.prism(base, (height, height + 2.2 * tall), top, taper=0.0)
    elif shape == "dome":
        b.ball((*at, height), (0.48 * min(size), 0.6 * min(size)), top, sides=12)
    else:
        z = (height, height + tall)
        low = np.column_stack([base, np.full(4, z[0])])
        e0 = np.append((base[0] + base[3]) / 2, z[1])
        e1 = np.append((base[1] + base[2]) / 2, z[1])
        b.quad([low[0], low[1], e1, e0], top)
        b.quad([low[2], low[3], e0, e1], top)
        b.quad([low[1], low[2], e1, e1], Paint(wall))
        b.quad([low[3], low[0], e0, e0], Paint(wall))
    # a door in the middle of the front, towards -y of the house
    b.board((*off(at, yaw - 90, size[1] / 2 + 0.02), 1.1), yaw - 90, (1.3, 2.2), Paint(roof))
    noun = {"spire": "tower", "dome": "domed hall", "flat": "block"}.get(shape, "house")
    return f"{wall} {noun} with {a(roof)} roof"


def stall(b: Builder, at: At, yaw: float) -> str:
    c = colour(b)
    b.box(at, (2.2, 1.1), (0, 0.9), Paint("brown", "planks"), yaw=yaw)
    b.prism(rectangle(at, (2.6, 1.8), yaw), (2.2, 2.7), Paint(c, "stripes"), taper=0.5)
    for corner in rectangle(at, (2.3, 1.5), yaw):
        b.round((float(corner[0]), float(corner[1])), 0.06, (0, 2.2), Paint("brown"), solid=False, sides=5)
    return f"market stall with {a(c)} awning"


def gazebo(b: Builder, at: At) -> str:
    c = colour(b)
    for x, y in circle(at, 1.7, 6):
        b.round((float(x), float(y)), 0.13, (0, 2.5), Paint("white"), sides=6)
    b.round(at, 2.2, (2.5, 3.8), Paint(c), 0.0, solid=False)
    return f"pavilion with {a(c)} roof"


# --- indoors -----------------------------------------------------------------------------------------------------------


def table(b: Builder, at: At, yaw: float) -> str:
    c = colour(b, ("brown", "white", "orange", "dark blue"))
    b.box(at, (1.5, 0.9), (0.68, 0.78), Paint(c, "planks"), yaw=yaw)
    for corner in rectangle(at, (1.3, 0.7), yaw):
        b.round((float(corner[0]), float(corner[1])), 0.05, (0, 0.68), Paint(c), solid=False, sides=5)
    v = colour(b)
    b.round(at, 0.14, (0.78, 1.12), Paint(v), 0.6, solid=False, sides=8)
    return f"{c} table"


def sofa(b: Builder, at: At, yaw: float) -> str:
    c = colour(b)
    p = Paint(c)
    b.box(at, (1.9, 0.85), (0, 0.45), p, yaw=yaw)
    b.box(off(at, yaw + 90, 0.33), (1.9, 0.2), (0.45, 0.95), p, yaw=yaw, solid=False)
    for side in (-0.85, 0.85):
        b.box(off(at, yaw, side), (0.2, 0.85), (0.45, 0.65), p, yaw=yaw, solid=False)
    return f"{c} sofa"


def bed(b: Builder, at: At, yaw: float) -> str:
    c = colour(b)
    b.box(at, (1.5, 2.0), (0, 0.5), Paint("white"), Paint(c), yaw=yaw)
    b.box(off(at, yaw + 90, 1.0), (1.6, 0.12), (0, 1.1), Paint("brown", "planks"), yaw=yaw)
    b.box(off(at, yaw + 90, 0.7), (1.1, 0.4), (0.5, 0.62), Paint("white"), yaw=yaw, solid=False)
    return f"bed with {a(c)} cover"


def shelf(b: Builder, at: At, yaw: float) -> str:
    c = colour(b, ("brown", "white", "dark blue", "teal"))
    b.box(at, (1.4, 0.4), (0, 2.0), Paint(c, "planks"), yaw=yaw)
    for k in range(3):
        v = colour(b)
        b.board((*off(at, yaw - 90, 0.21), 0.45 + 0.6 * k), yaw - 90, (1.2, 0.4), Paint(v, "stripes"))
    return f"{c} bookshelf"


def plant(b: Builder, at: At, yaw: float) -> str:
    b.round(at, 0.25, (0, 0.45), Paint("orange"), 1.2, sides=8)
    b.ball((*at, 0.95), (0.45, 0.6), Paint("green", "leaves"), sides=8)
    return "potted plant"


def floor_lamp(b: Builder, at: At, yaw: float) -> str:
    b.round(at, 0.05, (0, 1.5), Paint("dark blue"), sides=5)
    b.block(circle(at, 0.2, 6), 0.5)
    b.round(at, 0.3, (1.45, 1.85), Paint("yellow", glow=True), 0.6, solid=False)
    return "floor lamp"


def fridge(b: Builder, at: At, yaw: float) -> str:
    c = colour(b, ("white", "red", "sky blue", "grey"))
    b.box(at, (0.8, 0.75), (0, 1.8), Paint(c), yaw=yaw)
    return f"{c} fridge"
