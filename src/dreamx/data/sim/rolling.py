"""Events of things that roll, fall and hit: a ball into blocks, two that collide, a chain of both, a door."""

from __future__ import annotations

import numpy as np

from dreamx.data.sim.bodies import Body, EventSpot, Form, Grip, Hinge, Kick, MotionLog, Torque, cube
from dreamx.data.sim.event_builder import Happening, Setup, fell, moving, solid, touching
from dreamx.data.sim.navigation import Rejected


def topple(setup: Setup, spot: EventSpot) -> None:
    """A ball rolls into blocks and they fall."""
    ball, body, start = _ball(setup, spot, -spot.length / 2 + 0.35)
    blocks, bodies = _blocks(setup, spot, 0.55)
    setup.kicks.append(Kick(body, start, _velocity(spot, float(setup.rng.uniform(2.6, 3.3)))))
    setup.tells.append(lambda log: _toppled(log, ball, body, blocks, bodies))


def collide(setup: Setup, spot: EventSpot) -> None:
    """Two things run into each other."""
    half = spot.length / 2 - 0.35
    one, first, start = _ball(setup, spot, -half)
    if setup.rng.random() < 0.5:
        other, second, _ = _ball(setup, spot, half)
        setup.kicks.append(Kick(second, start, _velocity(spot, -float(setup.rng.uniform(1.3, 2.0)))))
        runs = True
    else:
        size = float(setup.rng.uniform(0.4, 0.55))
        other, second = solid(setup, "box", cube(size), spot.at(0.5, 0.0, size / 2), spot.heading, 2.5, "crate", pattern="planks")
        runs = False
    setup.kicks.append(Kick(first, start, _velocity(spot, float(setup.rng.uniform(1.7, 2.5)))))

    def tell(log: MotionLog) -> list[Happening]:
        hit = touching(log, one, other)[0]
        begin, end = moving(log, [first])
        out = [Happening((one,), "rolls", begin, hit), Happening((one, other), "collides", hit, hit, between=True)]
        if runs:
            out.append(Happening((other,), "rolls", moving(log, [second])[0], hit))
        after = moving(log, [second])[1]
        if not runs:
            out.append(Happening((other,), "is hit", hit, max(after, hit), (one,)))
        if end > hit + 0.4:
            out.append(Happening((one,), "rebounds", hit, end, (other,)))
        return out

    setup.tells.append(tell)


def relay(setup: Setup, spot: EventSpot) -> None:
    """One ball hits another, and that one knocks the blocks over."""
    one, first, start = _ball(setup, spot, -spot.length / 2 + 0.3)
    two, second, _ = _ball(setup, spot, -0.25)
    blocks, bodies = _blocks(setup, spot, 0.75)
    setup.kicks.append(Kick(first, start, _velocity(spot, float(setup.rng.uniform(5.2, 6.0)))))

    def tell(log: MotionLog) -> list[Happening]:
        hit = touching(log, one, two)[0]
        if moving(log, [second])[0] < hit - 0.1:
            raise Rejected("it moved before it was hit")
        said = [Happening((one,), "rolls into", moving(log, [first])[0], hit, (two,)),
                Happening((one, two), "sets off", hit, hit, between=True)]  # fmt: skip
        return said + _toppled(log, two, second, blocks, bodies)

    setup.tells.append(tell)


def drop(setup: Setup, spot: EventSpot) -> None:
    """Something falls out of the air, at the moment that it is let go."""
    begin = float(setup.rng.uniform(0.5, 1.4))
    height = float(setup.rng.uniform(1.3, 1.8)) if setup.scene.indoors else float(setup.rng.uniform(1.7, 2.6))
    shape, noun, size, lively = (("ball", "ball", 0.42, 0.75), ("box", "crate", 0.42, 0.2))[int(setup.rng.integers(2))]
    thing, body = solid(setup, shape, cube(size), spot.at(0, 0, height), float(setup.rng.uniform(0, 90)), 1.5, noun,
                        pattern="stripes" if shape == "ball" else "planks", bounce=lively)  # fmt: skip
    top, wood = height + size / 2 + 0.3, "brown"
    crane = setup.thing("wooden crane")
    arm = (
        Form("box", (0.12, 0.12, top + 0.15), wood, "planks", at=(0, 0.75, (top + 0.15) / 2)),
        Form("box", (0.1, 0.95, 0.1), wood, "planks", at=(0, 0.35, top + 0.1)),
        Form("rod", (0.04, 0.04, 0.28), "grey", at=(0, 0, top - 0.09)),
    )
    setup.add(Body(crane, arm, spot.at(0, 0, 0), spot.heading))
    hook = setup.add(Body(thing, (), spot.at(0, 0, height)))
    setup.grips.append(Grip(body, hook, 0.0, begin))

    def tell(log: MotionLog) -> list[Happening]:
        landed = touching(log, 0, thing, begin)[0]
        rest = moving(log, [body], 0.15)
        return [
            Happening((thing,), "falls", rest[0], landed),
            Happening((thing,), "bounces" if lively > 0.5 else "lands", landed, rest[1]),
        ]

    setup.tells.append(tell)


def door(setup: Setup, spot: EventSpot) -> None:
    """A door in its frame turns on its hinge."""
    r = setup.rng
    wide, high = float(r.uniform(0.95, 1.1)), 2.05
    paint, frame = setup.colour(), str(r.choice(("white", "brown", "grey")))
    posts = setup.thing(f"{frame} door frame")
    side = wide / 2 + 0.06
    bits = [Form("box", (0.12, 0.14, high + 0.12), frame, at=(s, 0, high / 2 + 0.06)) for s in (-side, side)]
    bits.append(Form("box", (2 * side + 0.12, 0.14, 0.14), frame, at=(0, 0, high + 0.13)))
    setup.add(Body(posts, tuple(bits), spot.at(0, 0, 0), spot.heading))
    thing = setup.thing(f"{paint} door")
    leaf = (
        Form("box", (wide - 0.04, 0.05, high - 0.06), paint, "planks", at=(wide / 2, 0, 0)),
        Form("ball", cube(0.08), "yellow", at=(wide - 0.12, 0.06, 0.0)),
        Form("ball", cube(0.08), "yellow", at=(wide - 0.12, -0.06, 0.0)),
    )
    body = setup.add(
        Body(thing, leaf, spot.at(-wide / 2, 0, high / 2 + 0.02), spot.heading, 12.0, Hinge((0, 0, 0), float(r.uniform(70, 110))))
    )
    begin = float(r.uniform(0.5, 1.5))
    setup.torques.append(Torque(body, begin, begin + 4.0, float(r.uniform(5.0, 8.0))))
    shuts = r.random() < 0.4
    if shuts:
        setup.torques.append(Torque(body, begin + 2.0, 99.0, -12.0))

    def tell(log: MotionLog) -> list[Happening]:
        turn = np.abs(log.speeds[:, body, 1]) > 0.15
        if not turn.any():
            raise Rejected("nothing moved")
        wideness = np.array(
            [2 * np.degrees(np.arccos(np.clip(abs(float(p[3:] @ log.poses[0, body, 3:])), 0, 1))) for p in log.poses[:, body]]
        )
        if wideness.max() < 35:
            raise Rejected("it hardly opened")
        frames = np.nonzero(turn)[0]
        widest = int(np.argmax(wideness > wideness.max() - 2))
        out = [Happening((thing,), "opens", frames[0] / log.fps, widest / log.fps)]
        if wideness[-1] < wideness.max() - 30:
            leaves = next(i for i in range(widest, len(wideness)) if wideness[i] < wideness.max() - 3)
            out.append(Happening((thing,), "closes", leaves / log.fps, max(frames[-1], leaves) / log.fps))
        return out

    setup.tells.append(tell)


def _ball(setup: Setup, spot: EventSpot, u: float) -> tuple[int, int, float]:
    """A striped ball that lies at u: id, body, and when it may be set off."""
    r = float(setup.rng.uniform(0.19, 0.26))
    noun = "ball" if r < 0.24 else "big ball"
    thing, body = solid(
        setup,
        "ball",
        cube(2 * r),
        spot.at(u, 0.0, r),
        float(setup.rng.uniform(0, 360)),
        8.0,
        noun,
        pattern="stripes",
        bounce=0.5,
    )
    return thing, body, float(setup.rng.uniform(0.4, 1.1))


def _blocks(setup: Setup, spot: EventSpot, u: float) -> tuple[tuple[int, ...], list[int]]:
    """A wall, a tower or a row of blocks of one colour."""
    colour, s = setup.colour(), float(setup.rng.uniform(0.24, 0.3))
    layout = int(setup.rng.integers(3))
    places = {
        0: [(u, (k - 0.5) * s * 1.04, s / 2 + row * s) for row in range(3) for k in range(2)],
        1: [(u, 0.0, s / 2 + row * s) for row in range(4)],
        2: [
            (u, -s * 1.04, s / 2),
            (u, 0.0, s / 2),
            (u, s * 1.04, s / 2),
            (u, -s / 2, 1.5 * s),
            (u, s / 2, 1.5 * s),
            (u, 0.0, 2.5 * s),
        ],
    }[layout]
    things, bodies = [], []
    for a, v, z in places:
        thing, body = solid(setup, "box", cube(s * 0.98), spot.at(a, v, z), spot.heading, 0.25, "block", colour,
                            "checker" if setup.scene.style == "game" else "plain")  # fmt: skip
        things.append(thing)
        bodies.append(body)
    setup.groups[tuple(things)] = f"{'tower' if layout == 1 else 'stack'} of {colour} blocks"
    return tuple(things), bodies


def _toppled(log: MotionLog, ball: int, body: int, blocks: tuple[int, ...], bodies: list[int]) -> list[Happening]:
    begin, _ = moving(log, [body])
    hits: list[float] = []
    for block in blocks:
        try:
            hits.append(touching(log, ball, block)[0])
        except Rejected:
            continue
    if not hits:
        raise Rejected("they never touched")
    if sum(fell(log, b) for b in bodies) < 2:
        raise Rejected("too few fell")
    hit, end = min(hits), moving(log, bodies)[1]
    return [Happening((ball,), "rolls into", begin, hit, blocks), Happening(blocks, "falls over", hit, max(end, hit), (ball,)),
            Happening((ball, *blocks), "knocks over", hit, hit, between=True)]  # fmt: skip


def _velocity(spot: EventSpot, speed: float) -> tuple[float, float, float]:
    x, y, _ = spot.way(speed)
    return x, y, 0.0
