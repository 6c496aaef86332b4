"""Things that move in a scene: bodies of simple solids, and how they are placed. Plan axes: x east, y north, z up, metres.

A pose is seven numbers: position, then the quaternion w, x, y, z. Physics, the person and the painter share these words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Form:
    """One solid of a body: ``shape`` box, ball, rod (along z) or cone; full ``size`` across x, y, z; where in the body's axes."""

    shape: str
    size: Point
    colour: str
    pattern: str = "plain"
    at: Point = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Hinge:
    """A vertical axis through ``at`` of the body's axes, turning from 0 to ``widest`` degrees."""

    at: Point
    widest: float


@dataclass(frozen=True)
class Body:
    """One rigid body.

    thing: the id of what it belongs to, as in ``Clip.segments``.
    mass:  kilograms; None where it does not answer to forces but goes where it is put.
    hinge: what it turns on; None: free.
    """

    thing: int
    forms: tuple[Form, ...]
    at: Point
    yaw: float = 0.0
    mass: float | None = None
    hinge: Hinge | None = None
    bounce: float = 0.0  # 0 dead, 1 lively
    friction: float | None = None  # with whatever it touches; None: that of the ground


@dataclass(frozen=True)
class Kick:
    """A free body gets a velocity at a moment, metres per second in plan axes."""

    body: int
    time: float
    velocity: Point


@dataclass(frozen=True)
class Torque:
    """Newton metres on a hinge while ``start <= t < end``."""

    body: int
    start: float
    end: float
    newton_metres: float


@dataclass(frozen=True)
class Grip:
    """``body`` is held fast by the hand ``carrier``, as it lies when ``start`` comes, until ``end`` (seconds)."""

    body: int
    carrier: int
    start: float
    end: float


@dataclass(frozen=True)
class EventSpot:
    """A free rectangle on the ground: its middle, the direction of its length in degrees from east to north, its sides."""

    x: float
    y: float
    heading: float
    length: float
    width: float

    def at(self, u: float, v: float, z: float = 0.0) -> Point:
        """From the spot's own axes (u along its length, v to the left) to the plan."""
        c, s = np.cos(np.radians(self.heading)), np.sin(np.radians(self.heading))
        return float(self.x + c * u - s * v), float(self.y + s * u + c * v), z

    def way(self, u: float, v: float = 0.0) -> Point:
        """A direction of the spot's own axes in the plan."""
        x, y, _ = self.at(u, v)
        return x - self.x, y - self.y, 0.0

    def lane(self, v: float, width: float) -> EventSpot:
        """A narrower spot beside the middle."""
        x, y, _ = self.at(0.0, v)
        return EventSpot(x, y, self.heading, self.length, width)


@dataclass(frozen=True)
class Weather:
    """Light and air of one frame.

    light: what every colour is multiplied by. sky, share: the colours (zenith, horizon) that the sky turns to, and how far.
    fog:   share of the view lost per metre. rain: 0 none to 1 a downpour.
    """

    light: Point = (1.0, 1.0, 1.0)
    sky: tuple[Point, Point] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    share: float = 0.0
    fog: float = 0.0
    rain: float = 0.0


@dataclass(frozen=True)
class Touch:
    """Two things touch at a moment (seconds), with the largest force in newtons between two frames."""

    time: float
    first: int
    second: int
    force: float


@dataclass(frozen=True)
class MotionLog:
    """Log of the physics: poses ``[F, B, 7]``, speeds ``[F, B, 2]`` (m/s, rad/s), touches in order. B are the bodies."""

    fps: float
    poses: Array
    speeds: Array
    touches: tuple[Touch, ...] = field(default_factory=tuple)


def cube(side: float) -> Point:
    """Three sides alike."""
    return side, side, side


def turned(yaw: float) -> Array:
    """The quaternion ``[4]`` of a turn about the vertical, degrees."""
    a = np.radians(yaw) / 2
    return np.array((np.cos(a), 0.0, 0.0, np.sin(a)))


def pose(at: Point, yaw: float) -> Array:
    """A pose ``[7]`` on its feet."""
    return np.concatenate([at, turned(yaw)])


def matrix(q: Array) -> Array:
    """Quaternions ``[..., 4]`` -> rotations ``[..., 3, 3]``."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
            2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))  # fmt: skip
    return np.stack(rows, -1).reshape(*q.shape[:-1], 3, 3)


def quaternions(r: Array) -> Array:
    """Rotations ``[N, 3, 3]`` -> quaternions ``[N, 4]``: the row of the largest component is divided the best."""
    a, b, c, d, e, f, g, h, i = r.reshape(-1, 9).T
    rows = np.stack([1 + a + e + i, h - f, c - g, d - b, h - f, 1 + a - e - i, b + d, c + g,
                     c - g, b + d, 1 - a + e - i, f + h, d - b, c + g, f + h, 1 - a - e + i], -1).reshape(-1, 4, 4)  # fmt: skip
    q = rows[np.arange(len(rows)), np.argmax(rows[:, range(4), range(4)], -1)]
    return q / np.sqrt((q * q).sum(-1, keepdims=True))
