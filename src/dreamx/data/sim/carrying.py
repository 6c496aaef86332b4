"""Events of people and things: pushed, lifted, let fall, handed over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dreamx.data.sim.bodies import EventSpot, Grip, MotionLog, cube
from dreamx.data.sim.event_builder import Happening, Setup, moving, ramp, reaching, solid, touching, walker
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.person import Arms, Stance

_REACH = 0.42  # metres from a person to what it holds


def push(setup: Setup, spot: EventSpot) -> None:
    """Someone walks up to a crate and pushes it along."""
    r = setup.rng
    size, half = float(r.uniform(0.55, 0.7)), spot.length / 2
    crate, body = solid(
        setup, "box", (size, size, 1.0), spot.at(-0.35, 0, 0.5), spot.heading, 8.0, "crate", pattern="planks", friction=0.25
    )
    stop = half - size - 0.35
    arms = reaching(Arms(0, _REACH, 0.34, 0.88), 0.2, 0.9)
    who, _, _ = setup.person(walker(spot, -half + 0.1, stop, float(r.uniform(0.2, 0.6)), float(r.uniform(0.75, 1.0)), arms))
    setup.tells.append(lambda log: _pushed(log, who, crate, body, "pushes"))


def push_over(setup: Setup, spot: EventSpot) -> None:
    """Someone pushes over a tall box, and it falls."""
    r = setup.rng
    tall = float(r.uniform(1.2, 1.45))
    box, body = solid(
        setup, "box", (0.3, 0.45, tall), spot.at(0.15, 0, tall / 2), spot.heading, 6.0, "tall box", pattern="checker"
    )
    arms = reaching(Arms(0, _REACH, 0.3, tall - 0.12), 0.3, 1.0)
    who, _, _ = setup.person(
        walker(spot, -spot.length / 2 + 0.1, 0.0, float(r.uniform(0.3, 0.7)), float(r.uniform(0.8, 1.0)), arms)
    )

    def tell(log: MotionLog) -> list[Happening]:
        if log.poses[-1, body, 2] > 0.7 * log.poses[0, body, 2]:
            raise Rejected("it did not fall")
        begin, end = moving(log, [body])
        return [
            Happening((who,), "pushes over", touching(log, who, box)[0], begin, (box,)),
            Happening((box,), "tips over", begin, end, (who,)),
            Happening((who, box), "is pushed by", begin, begin, between=True),
        ]

    setup.tells.append(tell)


def lift(setup: Setup, spot: EventSpot) -> None:
    """Someone walks up to a box on a stand and lifts it."""
    r = setup.rng
    size, high = float(r.uniform(0.26, 0.34)), float(r.uniform(0.85, 0.98))
    stand, _ = solid(
        setup,
        "box",
        (0.4, 0.5, high),
        spot.at(0.6, 0, high / 2),
        spot.heading,
        None,
        "stand",
        str(r.choice(("white", "grey", "brown"))),
    )
    thing, body = _small(setup, spot.at(0.6, 0, high + size / 2), spot.heading, size)
    begin, speed = float(r.uniform(0.2, 0.5)), float(r.uniform(0.9, 1.1))
    start, stop = -spot.length / 2 + 0.25, 0.6 - _REACH
    there = begin + (stop - start) / speed
    grip = there + 0.35
    top = high + size / 2 + float(r.uniform(0.3, 0.42))

    def arms(t: float) -> Arms:
        share = ramp(t, there - 0.6, there + 0.25)
        return Arms(
            share,
            _REACH,
            size + 0.16 - ramp(t, there + 0.1, grip, 0, 0.09),
            ramp(t, grip + 0.05, grip + 1.1, high + size / 2, top),
        )

    who, hand, _ = setup.person(walker(spot, start, stop, begin, speed, arms))
    setup.grips.append(Grip(body, hand, grip, 99.0))

    def tell(log: MotionLog) -> list[Happening]:
        rises = np.nonzero(log.poses[:, body, 2] > log.poses[0, body, 2] + 0.03)[0]
        if not len(rises) or log.poses[-1, body, 2] < high + size / 2 + 0.2:
            raise Rejected("it was not lifted")
        held = touching(log, who, thing)[0]
        end = moving(log, [body], 0.06)[1]
        return [Happening((who,), "lifts", held, end, (thing,)), Happening((thing,), "rises", rises[0] / log.fps, end, (stand,))]

    setup.tells.append(tell)


def let_go(setup: Setup, spot: EventSpot) -> None:
    """Someone carries a thing along and lets it fall."""
    r = setup.rng
    size, high = float(r.uniform(0.26, 0.34)), 1.1
    start, stop = -spot.length / 2 + 0.3, float(r.uniform(-0.2, 0.2))
    begin, speed = float(r.uniform(0.0, 0.4)), float(r.uniform(0.85, 1.05))
    release = begin + (stop - start) / speed + float(r.uniform(0.2, 0.6))

    def arms(t: float) -> Arms:
        return Arms(
            ramp(t, release + 0.5, release + 1.1, 1.0, 0.0), _REACH, size + 0.06 + ramp(t, release, release + 0.12, 0, 0.2), high
        )

    at = spot.at(start + _REACH, 0, high)
    thing, body = _small(setup, at, spot.heading, size, 0.6)
    who, hand, _ = setup.person(walker(spot, start, stop, begin, speed, arms))
    setup.grips.append(Grip(body, hand, 0.0, release))

    def tell(log: MotionLog) -> list[Happening]:
        landed = touching(log, 0, thing, release)[0]
        leaves = next(k for k in range(len(log.poses)) if k / log.fps >= release - 1e-9)
        walks = moving(log, [body])[0]
        return [
            Happening((who,), "carries", walks, release, (thing,)),
            Happening((who,), "lets go of", release, leaves / log.fps + 0.2, (thing,)),
            Happening((thing,), "falls", release, landed),
            Happening((thing,), "comes to rest", landed, max(moving(log, [body])[1], landed)),
        ]

    setup.tells.append(tell)


def hand_over(setup: Setup, spot: EventSpot) -> None:
    """One person carries a thing to another, who takes it."""
    r = setup.rng
    size, high = float(r.uniform(0.26, 0.34)), 1.1
    begin, speed = float(r.uniform(0.1, 0.4)), float(r.uniform(0.9, 1.1))
    start, stop, other = -spot.length / 2 + 0.2, -_REACH, _REACH + 0.02
    there = begin + (stop - start) / speed
    take = there + 0.5

    def gives(t: float) -> Arms:
        return Arms(
            ramp(t, take + 0.25, take + 0.9, 1.0, 0.0), _REACH, size + 0.07 + ramp(t, take + 0.05, take + 0.25, 0, 0.2), high
        )

    def takes(t: float) -> Arms:
        return Arms(ramp(t, there - 0.4, there + 0.25), _REACH, size + 0.3 - ramp(t, there + 0.2, take, 0, 0.24), high)

    thing, body = _small(setup, spot.at(start + _REACH, 0, high), spot.heading, size)
    giver, hand, _ = setup.person(walker(spot, start, stop, begin, speed, gives))
    away = float(r.uniform(0.3, min(0.7, max(spot.length / 2 - other - 0.2, 0.31))))
    stays = walker(spot, other, other + away, take + 0.6, 0.6, takes)

    def turned_back(t: float) -> Stance:
        s = stays(t)  # walks backwards with what it got, looking at the giver
        return replace(s, heading=s.heading + 180, walked=-s.walked)

    taker, palm, _ = setup.person(turned_back)
    setup.grips += [Grip(body, hand, 0.0, take), Grip(body, palm, take, 99.0)]

    def tell(log: MotionLog) -> list[Happening]:
        got = touching(log, taker, thing)[0]
        left = [t for t in touching(log, giver, thing) if t <= take + 0.4][-1]
        if log.poses[-1, body, 2] < 0.8:
            raise Rejected("it fell between them")
        walks = moving(log, [body])[0]
        return [
            Happening((giver,), "carries", walks, min(there, got), (thing,)),
            Happening((giver,), "hands over", min(got, left), max(left, got), (thing, taker)),
            Happening((taker,), "takes", min(got, left), max(left, got), (thing, giver)),
            Happening((giver, taker, thing), "passes to", got, left, between=True),
        ]

    setup.tells.append(tell)


def _small(setup: Setup, at: tuple[float, float, float], yaw: float, size: float, bounce: float = 0.1) -> tuple[int, int]:
    """A ball or a box that two hands can hold."""
    shape, noun, pattern = (("ball", "ball", "stripes"), ("box", "box", "checker"))[int(setup.rng.integers(2))]
    return solid(setup, shape, cube(size), at, yaw, 0.6, noun, pattern=pattern, bounce=bounce)


def _pushed(log: MotionLog, who: int, crate: int, body: int, did: str) -> list[Happening]:
    hit = touching(log, who, crate)
    far = float(np.linalg.norm(log.poses[-1, body, :2] - log.poses[0, body, :2]))
    if far < 0.4:
        raise Rejected("it hardly moved")
    if log.poses[-1, body, 2] < 0.75 * log.poses[0, body, 2]:
        raise Rejected("it fell over")
    begin, end = moving(log, [body])
    return [Happening((who,), did, hit[0], end, (crate,)), Happening((crate,), "slides", begin, end, (who,)),
            Happening((who, crate), "is pushed by", hit[0], end, between=True)]  # fmt: skip
