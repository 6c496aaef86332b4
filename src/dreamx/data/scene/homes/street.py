"""Smaller things of streets and squares: lamps, benches, stalls, a well, a fountain."""

from __future__ import annotations

import numpy as np

from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.homes.things import At, bar, gable, key, turned


def lamp_post(b: Builder, at: At, height: float = 3.2) -> None:
    """A street lamp on an iron post."""
    iron = Paint("iron", "plain")
    b.round(at, 0.16, (0, 0.5), iron, taper=0.6, sides=8)
    b.round(at, 0.06, (0.5, height), iron, solid=False, sides=6)
    b.round(at, 0.16, (height, height + 0.45), Paint("lamp", "plain", glow=True), taper=1.35, solid=False, sides=6)
    b.round(at, 0.28, (height + 0.45, height + 0.75), iron, taper=0.1, solid=False, sides=6)


def bench(b: Builder, at: At, yaw: float, colour: str = "oak") -> None:
    """A bench; its back is towards ``yaw`` + 90 degrees."""
    p = Paint(colour, "boards", variant=key(b))
    b.box(at, (1.8, 0.5), (0.40, 0.47), p, yaw=yaw)
    b.box(turned(at, yaw + 90, 0.24), (1.8, 0.07), (0.55, 0.98), p, yaw=yaw, solid=False)
    for side in (-0.75, 0.75):
        b.box(turned(at, yaw, side), (0.10, 0.45), (0, 0.40), Paint("iron", "plain"), yaw=yaw, solid=False)
        b.box(
            turned(turned(at, yaw, side), yaw + 90, 0.24), (0.08, 0.08), (0.4, 0.98), Paint("iron", "plain"), yaw=yaw, solid=False
        )


def stall(b: Builder, at: At, yaw: float, colour: str, wares: tuple[str, ...]) -> None:
    """A market stall with a striped awning and heaps of wares."""
    b.box(at, (2.4, 1.1), (0, 0.85), Paint("pine", "planks", variant=key(b)), Paint("oak", "boards"), yaw)
    for i in (-1.1, 1.1):
        for j in (-0.75, 0.75):
            b.round(turned(at, yaw, i, j), 0.05, (0, 2.5 - 0.25 * (j > 0)), Paint("oak", "plain"), solid=False, sides=6)
    base = rectangle(at, (2.8, 2.0), yaw)
    z = (2.35, 2.35, 2.85, 2.85)
    q = [np.append(base[i], z[i]) for i in range(4)]
    b.quad(q, Paint(colour, "stripes"))
    b.quad([q[0] - (0, 0, 0.04), q[3] - (0, 0, 0.04), q[2] - (0, 0, 0.04), q[1] - (0, 0, 0.04)], Paint(colour, "stripes"))
    b.quad([q[0] - (0, 0, 0.3), q[1] - (0, 0, 0.3), q[1], q[0]], Paint(colour, "stripes"))
    for i, ware in enumerate(wares):
        x, y = turned(at, yaw, -0.85 + 1.7 * i / max(1, len(wares) - 1))
        b.ball((x, y, 0.92), (0.30, 0.22), Paint(ware, "leaves", variant=i), sides=8)


def well(b: Builder, at: At) -> None:
    """A stone well under a small roof."""
    b.round(at, 0.95, (0, 0.85), Paint("granite", "ashlar"), top=Paint("coal", "plain"), sides=12)
    for side in (-0.85, 0.85):
        b.box(turned(at, 0, side), (0.14, 0.14), (0.85, 2.4), Paint("oak", "planks"), solid=False)
    gable(b, at, (2.2, 1.6), (2.4, 3.1), 0, Paint("slate", "tiles"), Paint("oak", "planks"), over=0.15)
    bar(b, turned(at, 0, -0.85), turned(at, 0, 0.85), 0.16, (1.75, 1.9), Paint("oak", "bark"), solid=False)


def fountain(b: Builder, at: At, stone: str = "chalk", colour: str = "lake") -> None:
    """A fountain of two basins, with a ball on top."""
    s, w = Paint(stone, "ashlar"), Paint(colour, "water")
    b.round(at, 2.6, (0, 0.25), s, sides=16)
    b.round(at, 2.3, (0.25, 0.7), s, top=w, sides=16)
    b.round(at, 2.42, (0.70, 0.78), Paint(stone, "plain"), solid=False, sides=16, top=w)
    b.round(at, 0.38, (0.7, 1.7), Paint(stone, "plain"), taper=0.7, solid=False, sides=10)
    b.round(at, 0.55, (1.6, 1.95), Paint(stone, "plain"), taper=1.9, top=w, solid=False, sides=12)
    b.round(at, 0.2, (1.95, 2.6), Paint(stone, "plain"), taper=0.6, solid=False, sides=8)
    b.ball((*at, 2.8), (0.28, 0.28), Paint("brass", "plain"), sides=8)
