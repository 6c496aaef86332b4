"""A person of simple solids who walks: joints from a gait, limbs between the joints, feet on the ground.

Twelve bodies. The step follows the way walked, so that a foot on the ground hardly slides; the lowest foot carries the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamx.data.sim.bodies import Array, Body, Form, Point, cube, quaternions

STRIDE = 1.4  # metres of one cycle of both legs
HEIGHT = 1.75
_LEG, _THIGH, _ARM, _FOREARM = 0.43, 0.43, 0.29, 0.29
_HIP, _SHOULDER = (0.10, 0.0), (0.23, 0.52)  # aside, above the hips
_FOOT = 0.05  # metres from ankle to sole


@dataclass(frozen=True)
class Arms:
    """Position of the hands: metres ahead, apart, above the ground; ``share`` 0 swings with the gait, 1 reaches there."""

    share: float = 0.0
    ahead: float = 0.45
    apart: float = 0.3
    height: float = 1.05


@dataclass(frozen=True)
class Stance:
    """Pose of a person at a moment: place, heading (degrees from east to north), metres walked, how much of a gait."""

    x: float
    y: float
    heading: float
    walked: float
    gait: float
    arms: Arms = Arms()


def clothes(thing: int, shirt: str, trousers: str, blocky: bool, at: Point = (0.0, 0.0, -5.0)) -> tuple[Body, ...]:
    """The twelve bodies of a person: pelvis, torso, head, upper arms, forearms, thighs, shins, left then right; and a grip."""
    limb = "box" if blocky else "limb"
    skin, hair, shoe = "cream", "brown", "dark blue"

    def one(*forms: Form) -> Body:
        return Body(thing, forms, at)

    def rod(width: float, length: float, colour: str) -> Form:
        return Form(limb, (width, width, length + (0.0 if blocky else width * 0.6)), colour)

    head = Form("box", (0.26, 0.26, 0.26), skin) if blocky else Form("ball", (0.25, 0.25, 0.25), skin)
    hat = (
        Form("box", (0.28, 0.28, 0.09), hair, at=(-0.01, 0, 0.11))
        if blocky
        else Form("ball", cube(0.255), hair, at=(-0.03, 0, 0.035))
    )
    upper, fore = rod(0.11, _ARM, shirt), rod(0.09, _FOREARM, skin)
    thigh, shin = rod(0.15, _THIGH, trousers), rod(0.12, _LEG, trousers)
    foot = Form("box", (0.25, 0.11, 0.09), shoe, at=(0.06, 0, -_LEG / 2 - 0.005))
    hand = Form("ball", (0.1, 0.1, 0.1), skin, at=(0, 0, -_FOREARM / 2))
    return (
        one(Form("box", (0.2, 0.3, 0.2), trousers)),
        one(Form("box", (0.22, 0.38, 0.5), shirt), Form("box", (0.1, 0.26, 0.34), trousers, at=(-0.15, 0, 0.02))),
        one(head, hat),
        *[one(upper)] * 2, *[one(fore, hand)] * 2, *[one(thigh)] * 2, *[one(shin, foot)] * 2,
        Body(thing, (), at),
    )  # fmt: skip


BODIES = 12  # of ``clothes``, the grip included


def limbs(stance: Stance) -> Array:
    """The poses ``[12, 7]`` of a person's bodies; the last is the grip between the hands."""
    phase = 2 * np.pi * stance.walked / STRIDE
    h = np.radians(stance.heading)
    forward, left, up = np.array((np.cos(h), np.sin(h), 0)), np.array((-np.sin(h), np.cos(h), 0)), np.array((0, 0, 1.0))
    sides = ((1.0, phase), (-1.0, phase + np.pi))
    legs: list[tuple[Array, Array, Array]] = []  # hip, knee, ankle, before the lowest foot is put on the ground
    for side, p in sides:
        thigh = np.radians(26) * np.sin(p) * stance.gait
        knee = thigh - np.radians(4 + 46 * max(0.0, float(np.cos(p))) * stance.gait)
        hip = left * side * _HIP[0]
        middle = hip + _THIGH * (np.sin(thigh) * forward - np.cos(thigh) * up)
        legs.append((hip, middle, middle + _LEG * (np.sin(knee) * forward - np.cos(knee) * up)))
    rise = _FOOT - min(float(foot[2]) for _, _, foot in legs)
    ground = np.array((stance.x, stance.y, 0.0))
    hips = ground + up * rise
    lean = np.radians(4 * stance.gait + 70 * stance.arms.share * max(0.0, 1.15 - stance.arms.height))  # to what is low
    trunk = np.cos(lean) * up + np.sin(lean) * forward
    arms: list[tuple[Array, Array, Array]] = []
    for side, p in sides:
        shoulder = hips + trunk * _SHOULDER[1] + left * side * _SHOULDER[0]
        swing = -np.radians(24) * np.sin(p) * stance.gait
        loose = shoulder + _ARM * (np.sin(swing) * forward - np.cos(swing) * up)
        bent = swing + np.radians(14 + 10 * stance.gait)
        loose = loose + _FOREARM * (np.sin(bent) * forward - np.cos(bent) * up)
        there = ground + forward * stance.arms.ahead + left * side * stance.arms.apart / 2 + up * stance.arms.height
        hand = loose + stance.arms.share * (there - loose)
        arms.append(_bent(shoulder, hand, forward, left * side))
    grip = (arms[0][2] + arms[1][2]) / 2
    bones = [(a, b) for a, b, _ in arms] + [(b, c) for _, b, c in arms]
    bones += [(a + hips, b + hips) for a, b, _ in legs] + [(b + hips, c + hips) for _, b, c in legs]
    middles = [hips + up * 0.02, hips + trunk * 0.33, hips + trunk * 0.72, *[(a + b) / 2 for a, b in bones], grip]
    ups = [up, trunk, up, *[a - b for a, b in bones], up]
    return _stood(np.stack(middles), np.stack(ups), forward)


def _bent(shoulder: Array, hand: Array, forward: Array, outward: Array) -> tuple[Array, Array, Array]:
    """Shoulder, elbow, hand: two bones that reach, as far as they reach, the elbow down and a little outward."""
    way = hand - shoulder
    far = float(np.linalg.norm(way))
    reach = min(max(far, 0.08), _ARM + _FOREARM - 1e-3)
    way = way / max(far, 1e-6)
    along = (reach**2 + _ARM**2 - _FOREARM**2) / (2 * reach)
    aside = np.sqrt(max(_ARM**2 - along**2, 0.0))
    low = np.array((0, 0, -1.0)) + 0.4 * outward - 0.35 * forward
    low = low - (low @ way) * way
    return shoulder, shoulder + along * way + aside * low / np.linalg.norm(low), shoulder + reach * way


def _stood(at: Array, up: Array, forward: Array) -> Array:
    """Poses ``[N, 7]`` with z along ``up [N, 3]`` and x as near to ``forward`` as that allows."""
    z = up / np.sqrt((up * up).sum(-1, keepdims=True))
    y = _cross(z, np.broadcast_to(forward, z.shape))
    flat = (y * y).sum(-1) < 1e-6  # a limb that points where the person looks
    y[flat] = _cross(z[flat], np.array((0, 0, 1.0)))
    y = y / np.sqrt((y * y).sum(-1, keepdims=True))
    return np.concatenate([at, quaternions(np.stack([_cross(y, z), y, z], -1))], -1)


def _cross(a: Array, b: Array) -> Array:
    """Cross product as numpy's, which spends ten times as long on looking at its arguments."""
    return np.stack([a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1], a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
                     a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]], -1)  # fmt: skip
