"""Indoor places: rooms joined by doors, each with its own floor, walls, pictures and furniture."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene import props
from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.textures import COLOURS

WALLS = ("cream", "sky blue", "pink", "lime", "yellow", "orange", "teal", "red", "purple", "blue", "white", "green")
FLOORS = ("brown", "grey", "cream", "dark blue", "orange", "green")
HEIGHT = 2.7
DOOR = (1.3, 2.15)  # width, height


def room(b: Builder) -> str:
    """Two by two rooms (or one wide hall and two rooms), a door in each shared wall."""
    b.slant = 0.12
    w, d = float(b.rng.uniform(9.5, 12.0)), float(b.rng.uniform(9.5, 12.0))
    x = (-w / 2, float(b.rng.uniform(-0.08, 0.08)) * w, w / 2)
    y = (-d / 2, float(b.rng.uniform(-0.08, 0.08)) * d, d / 2)
    b.area(rectangle((0, 0), (2 * b.half, 2 * b.half)), (0.3, 0.5, 0.25))
    tones = [str(c) for c in b.rng.permutation(WALLS)[:8]]
    floors = [str(c) for c in b.rng.permutation(FLOORS)[:4]]
    nouns = [str(n) for n in b.rng.permutation(["living room", "bedroom", "kitchen", "study", "dining room", "hall"])[:4]]
    for at, size in (((w, 0), (w, 3 * d)), ((-w, 0), (w, 3 * d)), ((0, d), (3 * w, d)), ((0, -d), (3 * w, d))):
        b.block(rectangle(at, size), 0.0)  # nobody walks outside
    for k in range(4):
        i, j = k % 2, k // 2
        _room(b, (x[i], x[i + 1]), (y[j], y[j + 1]), tones[k], tones[4 + k], floors[k], (i, j))
    return f"{props.a(nouns[0])} and {props.a(nouns[1])} joined by a door"


def _room(
    b: Builder, x: tuple[float, float], y: tuple[float, float], tone: str, accent: str, floor: str, ij: tuple[int, int]
) -> None:
    middle = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2)
    size = (x[1] - x[0], y[1] - y[0])
    ground = np.array(COLOURS[floor]) * 0.9
    b.area(rectangle(middle, size), (float(ground[0]), float(ground[1]), float(ground[2])))
    if b.rng.random() < 0.5:
        for q in np.arange(x[0], x[1], 0.8):
            b.path([(q, y[0]), (q, y[1])], 0.08, tuple(0.7 * v for v in ground))  # pyright: ignore[reportArgumentType]
    else:
        rug = COLOURS[props.colour(b)]
        b.area(rectangle(middle, (2.4, 1.8)), COLOURS["white"])
        b.area(rectangle(middle, (2.1, 1.5)), rug)
    corners = rectangle(middle, size)
    z = HEIGHT
    b.quad([(*corners[0], z), (*corners[3], z), (*corners[2], z), (*corners[1], z)], Paint("white", glow=True))
    b.quad([(*p, z - 0.02) for p in rectangle(middle, (0.9, 0.9))[::-1]], Paint("yellow", glow=True))
    strong = int(b.rng.integers(4))
    for k in range(4):  # south, east, north, west, as seen from inside
        a, c = corners[k], corners[(k + 1) % 4]
        inner = (k == (1 if ij[0] == 0 else 3)) or (k == (2 if ij[1] == 0 else 0))
        paint = Paint(accent if k == strong else tone)
        _wall(b, a, c, paint, door=inner, inside=middle)
    _furnish(b, x, y, ij)


def _wall(b: Builder, a: np.ndarray, c: np.ndarray, paint: Paint, door: bool, inside: tuple[float, float]) -> None:
    """The inner face of one wall from ``a`` to ``c`` (the room on the left hand), with a door or something to look at."""
    along = (c - a) / np.linalg.norm(c - a)
    inward = np.array((-along[1], along[0]))
    length = float(np.linalg.norm(c - a))
    face_a, face_c = a + inward * 0.06, c + inward * 0.06
    facing = float(np.degrees(np.arctan2(inward[1], inward[0])))

    def face(s: float, e: float, low: float, high: float, p: Paint) -> None:
        u, v = face_a + along * s, face_a + along * e
        # seen from inside, right to left is from a to c
        b.quad([(*v, low), (*u, low), (*u, high), (*v, high)], p)

    skirting = Paint("white")
    if not door:
        face(0, length, 0.15, HEIGHT, paint)
        face(0, length, 0, 0.15, skirting)
        b.block(np.array([a, c, c - inward * 0.1, a - inward * 0.1]), HEIGHT)
        m = (face_a + face_c) / 2 + inward * 0.02
        at = m + along * float(b.rng.choice((-1.0, 1.0)) * b.rng.uniform(0.9, 1.4))  # beside the furniture
        if b.rng.random() < 0.45:
            b.board((at[0], at[1], 1.55), facing, (1.5, 1.2), Paint("white", "glass", glow=True))
            b.landmark("window", (at[0], at[1]))
        else:
            frame = props.colour(b, ("brown", "white", "dark blue", "yellow"))
            b.board((at[0], at[1], 1.6), facing, (1.3, 1.0), Paint(frame, "picture", variant=int(b.rng.integers(1000))))
            b.landmark(f"picture in a {frame} frame", (at[0], at[1]))
        return
    s = length / 2 - DOOR[0] / 2
    e = s + DOOR[0]
    for lo, hi in ((0.0, s), (e, length)):
        face(lo, hi, 0.15, HEIGHT, paint)
        face(lo, hi, 0, 0.15, skirting)
        b.block(
            np.array([a + along * lo, a + along * hi, a + along * hi + inward * 0.06, a + along * lo + inward * 0.06]), HEIGHT
        )
    face(s, e, DOOR[1], HEIGHT, paint)
    trim = Paint("white")
    for t, sign in ((s, 1.0), (e, -1.0)):  # the reveals of the door
        p, q = a + along * t, face_a + along * t
        ends = (q, p) if sign > 0 else (p, q)
        b.quad([(*ends[0], 0), (*ends[1], 0), (*ends[1], DOOR[1]), (*ends[0], DOOR[1])], trim)
    p, q = a + along * s, a + along * e
    b.quad([(*p, DOOR[1]), (*q, DOOR[1]), (*(q + inward * 0.06), DOOR[1]), (*(p + inward * 0.06), DOOR[1])][::-1], trim)
    for t, out in ((s, -0.1), (e, 0.1)):  # the frame
        u = face_a + inward * 0.01 + along * (t + out / 2)
        b.board((u[0], u[1], DOOR[1] / 2), facing, (0.1, DOOR[1]), trim)


def _furnish(b: Builder, x: tuple[float, float], y: tuple[float, float], ij: tuple[int, int]) -> None:
    """Large things along the two outer walls, small things in the outer corners; the ways to the doors stay free."""
    kinds = [props.sofa, props.bed, props.shelf, props.table, props.fridge, props.shelf]
    large = [kinds[int(k)] for k in b.rng.permutation(len(kinds))[:3]]
    outer_x = (x[0] if ij[0] == 0 else x[1], 1.0 if ij[0] == 0 else -1.0)
    outer_y = (y[0] if ij[1] == 0 else y[1], 1.0 if ij[1] == 0 else -1.0)
    my, mx = (y[0] + y[1]) / 2, (x[0] + x[1]) / 2
    deep = {props.bed: 1.15, props.sofa: 0.6, props.table: 0.7, props.shelf: 0.35, props.fridge: 0.5}
    at = (outer_x[0] + outer_x[1] * deep[large[0]], my + float(b.rng.uniform(-0.4, 0.4)))
    b.landmark(large[0](b, at, 90.0 if ij[0] == 0 else -90.0), at)
    at = (mx + float(b.rng.uniform(-0.4, 0.8)) * -outer_x[1] * 0.8, outer_y[0] + outer_y[1] * deep[large[1]])
    b.landmark(large[1](b, at, 180.0 if ij[1] == 0 else 0.0), at)
    small = [props.plant, props.floor_lamp][int(b.rng.integers(2))]
    at = (outer_x[0] + 0.5 * outer_x[1], outer_y[0] + 0.5 * outer_y[1])
    if not b.taken(at, 0.3):
        b.landmark(small(b, at, 0.0), at)
