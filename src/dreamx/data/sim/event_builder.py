"""An event that is being set up: its bodies, what drives them, and who can tell afterwards what really happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from dreamx.data.scene.scene import Scene
from dreamx.data.sim.bodies import Array, Body, EventSpot, Form, Grip, Kick, MotionLog, Point, Torque, Weather
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.person import BODIES, Arms, Stance, clothes, limbs

STRONG = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")


@dataclass(frozen=True)
class Happening:
    """One thing did one thing, as physics has it: ids of who did it, a key of ``phrases``, seconds, ids of the others in it.

    ``between`` is said of two things together, as an interaction, and not as what one of them does.
    """

    things: tuple[int, ...]
    did: str
    start: float
    end: float
    others: tuple[int, ...] = ()
    between: bool = False


@dataclass
class Setup:
    """Filled in by one or more acts. ``names`` are the words of each thing, without an article; ``colours`` are spent."""

    scene: Scene
    seconds: float
    rng: np.random.Generator
    bodies: list[Body] = field(default_factory=list[Body])
    names: dict[int, str] = field(default_factory=dict[int, str])
    groups: dict[tuple[int, ...], str] = field(default_factory=dict[tuple[int, ...], str])
    drives: list[Callable[[float], dict[int, Array]]] = field(default_factory=list)
    kicks: list[Kick] = field(default_factory=list[Kick])
    torques: list[Torque] = field(default_factory=list[Torque])
    grips: list[Grip] = field(default_factory=list[Grip])
    tells: list[Callable[[MotionLog], list[Happening]]] = field(default_factory=list)
    tints: dict[int, Callable[[float], tuple[float, float, float, float]]] = field(default_factory=dict)
    airs: list[Callable[[float, Weather], Weather]] = field(default_factory=list)
    colours: list[str] = field(default_factory=list[str])

    def colour(self) -> str:
        """A strong colour that nothing else of this event has yet, while there are any."""
        left = [c for c in STRONG if c not in self.colours] or list(STRONG)
        self.colours.append(str(self.rng.choice(left)))
        return self.colours[-1]

    def thing(self, words: str) -> int:
        """A new thing; its id."""
        self.names[len(self.names) + 1] = words
        return len(self.names)

    def add(self, body: Body) -> int:
        """A new body; its number."""
        self.bodies.append(body)
        return len(self.bodies) - 1

    def drive(self, moment: float) -> dict[int, Array]:
        """Return the poses of all kinematic bodies at ``moment``."""
        return {n: at for d in self.drives for n, at in d(moment).items()}

    def weather(self, moment: float) -> Weather:
        """Light and air."""
        air = Weather()
        for change in self.airs:
            air = change(moment, air)
        return air

    def tint(self, moment: float) -> Array:
        """Colours and presence ``[B, 4]`` of all bodies."""
        out = np.ones((len(self.bodies), 4))
        for number, of in self.tints.items():
            out[number] = of(moment)
        return out

    def person(self, walk: Callable[[float], Stance]) -> tuple[int, int, str]:
        """Someone who walks as told: id, number of the grip between the hands, the words."""
        shirt = self.colour()
        trousers = str(self.rng.choice([c for c in ("dark blue", "grey", "brown", "white") if c != shirt]))
        words = f"{'person' if self.rng.random() < 0.5 else 'figure'} in {'an' if shirt[0] in 'aeiou' else 'a'} {shirt} shirt"
        thing, first = self.thing(words), len(self.bodies)
        self.bodies += clothes(thing, shirt, trousers, self.scene.style == "game")
        self.drives.append(lambda t: dict(zip(range(first, first + BODIES), limbs(walk(t)), strict=True)))
        return thing, first + BODIES - 1, words


def solid(setup: Setup, shape: str, size: Point, at: Point, yaw: float, mass: float | None, noun: str, colour: str | None = None,
          pattern: str = "plain", bounce: float = 0.0, friction: float | None = None) -> tuple[int, int]:  # fmt: skip
    """One new thing of one solid: id and number of its body."""
    colour = colour or setup.colour()
    thing = setup.thing(f"{colour} {noun}")
    return thing, setup.add(Body(thing, (Form(shape, size, colour, pattern),), at, yaw, mass, bounce=bounce, friction=friction))


def walker(spot: EventSpot, start: float, stop: float, begin: float, speed: float, arms: Callable[[float], Arms], v: float = 0.0,
           back: bool = False) -> Callable[[float], Stance]:  # fmt: skip
    """Someone who walks along a spot from u = start to u = stop, beginning at a moment; then stands. ``back``: looks to -u."""
    way = np.sign(stop - start)

    def at(t: float) -> Stance:
        gone = min(max(t - begin, 0.0) * speed, abs(stop - start))
        ease = min(1.0, max(t - begin, 0.0) / 0.3, max(abs(stop - start) - gone, 0.0) / (0.3 * speed))
        x, y, _ = spot.at(start + way * gone, v)
        return Stance(x, y, spot.heading + (180 if back else 0), gone, max(ease, 0.0), arms(t))

    return at


def ramp(t: float, start: float, end: float, low: float = 0.0, high: float = 1.0) -> float:
    """Smoothly from low to high between two moments."""
    u = min(max((t - start) / max(end - start, 1e-6), 0.0), 1.0)
    return low + (high - low) * u * u * (3 - 2 * u)


def reaching(arms: Arms, start: float, end: float) -> Callable[[float], Arms]:
    """Arms that go from hanging to ``arms`` between two moments."""
    return lambda t: replace(arms, share=ramp(t, start, end))


# --- what the log tells ---------------------------------------------------------------------------------------------------


def moving(log: MotionLog, bodies: list[int], slow: float = 0.12, spin: float = 0.5) -> tuple[float, float]:
    """Begin and end (seconds) of these bodies' moving or turning. Rejected where none did."""
    active = ((log.speeds[:, bodies, 0] > slow) | (log.speeds[:, bodies, 1] > spin)).any(1)
    if not active.any():
        raise Rejected("nothing moved")
    frames = np.nonzero(active)[0]
    return float(frames[0]) / log.fps, float(frames[-1]) / log.fps


def touching(log: MotionLog, first: int, second: int, after: float = 0.0) -> list[float]:
    """The moments at which two things touch. Rejected where they never do."""
    pair = tuple(sorted((first, second)))
    times = [t.time for t in log.touches if (t.first, t.second) == pair and t.time >= after]
    if not times:
        raise Rejected("they never touched")
    return times


def fell(log: MotionLog, body: int) -> bool:
    """Does it end lower or tilted by more than 20 degrees?"""
    first, last = log.poses[0, body], log.poses[-1, body]

    def up(q: Array) -> float:
        return 1 - 2 * (q[1] ** 2 + q[2] ** 2)

    return bool(first[2] - last[2] > 0.08 or abs(up(first[3:]) - up(last[3:])) > 0.06)
