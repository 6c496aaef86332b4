"""Held keys to cameras by the rules of each dialect, and back: which keys make this path?

Two rules are enough for all of them. *In the body frame*: a step turns and then moves along its own new axes (``controls.walk``,
the rule of DreamX's autoregressive script and of HY-WorldPlay). *On the ground*: yaw about the vertical, pitch about the camera's
own x axis and stopped at a limit, steps along the level (LingBot-World, Matrix-Game 3).

Back is a guess and a proof: the signs of each step's motion are read as keys, these are walked again, and the path must come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, cat, level, relative_to, rigid, rotation
from dreamx.geometry.controls import Controls, Speed, from_keys, walk
from dreamx.geometry.path import resample

#: Largest difference, in metres or in an entry of a rotation, for a path to count as made by keys.
CLOSE = 1e-4


@dataclass(frozen=True)
class Rule:
    """Motion of the camera by a held key in one step.

    metres, degrees: of a step. diagonal: metres along each axis when two keys move at once; None: as alone. ground: steps stay on
    the level. steepest: where pitch stops, in degrees. halfway: a step on the ground heads between the old yaw and the new.
    """

    metres: float
    degrees: float
    diagonal: float | None = None
    ground: bool = False
    steepest: float | None = None
    halfway: bool = False


#: The official keys of DreamX-World: what everything here means by a held key.
OFFICIAL = Rule(Speed().metres_per_second / Speed().fps, Speed().degrees_per_second / Speed().fps)


def controls_of(keys: Sequence[str], rule: Rule) -> Controls:
    """Held keys, one string a step, as motion in a dialect's units, float64."""
    signs = from_keys(keys, Speed(1.0, 1.0, 1.0))
    move, turn = signs.move.double() * rule.metres, signs.turn.double() * rule.degrees
    if rule.diagonal is not None:
        both = (signs.move != 0).sum(-1, keepdim=True) > 1
        move = torch.where(both, signs.move.double() * rule.diagonal, move)
    return Controls(move, turn)


def path(controls: Controls, rule: Rule) -> Camera:
    """The start, level and at the origin, and the camera after each step: ``[T + 1]`` float64."""
    start = level(dtype=torch.float64)
    after = ground(controls, rule) if rule.ground else walk(start, controls)
    return cat([start.map(lambda x: x[None]), after])


def ground(controls: Controls, rule: Rule) -> Camera:
    """Walk on level ground, from a level camera at the origin: the ``[T]`` cameras after each step."""
    yaws = controls.turn[:, 0].double().cumsum(0)
    pitches: list[float] = []
    pitch = 0.0
    for step in controls.turn[:, 1].tolist():
        pitch += step
        if rule.steepest is not None:
            pitch = min(max(pitch, -rule.steepest), rule.steepest)
        pitches.append(pitch)
    before = torch.cat([yaws.new_zeros(1), yaws[:-1]])
    heading = torch.deg2rad((yaws + before) / 2 if rule.halfway else yaws)
    right, _, forward = controls.move.double().unbind(-1)
    s, c = heading.sin(), heading.cos()
    place = torch.stack([c * right + s * forward, torch.zeros_like(s), c * forward - s * right], -1).cumsum(0)
    r = rotation("y", yaws) @ rotation("x", torch.tensor(pitches, dtype=torch.float64))
    pose = rigid(r, place)
    return Camera(pose, level(dtype=torch.float64).lens.expand(len(pose), 4))


def keys_of(camera: Camera, rule: Rule, steps: int, dialect: str) -> list[str]:
    """The held keys, one string a step of ``steps`` frames, that make this path. ValueError names the frame where none do."""
    if (len(camera) - 1) % steps:
        raise ValueError(
            f"{dialect} steps over {steps} frames at a time: it needs a path of {steps} k + 1, not {len(camera)} frames"
        )
    seen = relative_to(camera.to(dtype=torch.float64), camera[0].to(dtype=torch.float64))
    coarse = seen[::steps]
    keys = held(motion_of(coarse, rule), rule)
    again = spread(path(controls_of(keys, rule), rule), steps)
    refuse_other(seen, again, dialect, f"keys at {rule.metres / steps:g} m and {rule.degrees / steps:g} degrees a frame")
    return keys


def motion_of(camera: Camera, rule: Rule) -> Controls:
    """The steps between cameras ``[T + 1]`` as ``[T]`` controls under a rule, as far as it can: roll, for one, is left out."""
    if rule.ground:
        yaw, pitch = angles(camera.pose[:, :3, :3])
        turn = torch.stack([wrapped(yaw[1:] - yaw[:-1]), pitch[1:] - pitch[:-1]], -1)
        heading = torch.deg2rad(yaw[:-1] + turn[:, 0] * (0.5 if rule.halfway else 1.0))
        dx, _, dz = (camera.pose[1:, :3, 3] - camera.pose[:-1, :3, 3]).unbind(-1)
        s, c = heading.sin(), heading.cos()
        return Controls(torch.stack([c * dx - s * dz, torch.zeros_like(s), s * dx + c * dz], -1), turn)
    step = relative_to(camera[1:], camera[:-1]).pose
    yaw, pitch = angles(step[:, :3, :3])
    made = rotation("y", yaw) @ rotation("x", pitch)  # as far as keys turn it: the place is reached also where a roll is left out
    return Controls((made.mT @ step[:, :3, 3:])[..., 0], torch.stack([yaw, pitch], -1))


def angles(r: Tensor) -> tuple[Tensor, Tensor]:
    """Yaw (right) and pitch (up) in degrees of rotations ``[..., 3, 3]`` that are yaw after pitch."""
    yaw = torch.atan2(r[..., 0, 2], r[..., 2, 2])
    pitch = torch.atan2(-r[..., 1, 2], torch.hypot(r[..., 0, 2], r[..., 2, 2]))
    return torch.rad2deg(yaw), torch.rad2deg(pitch)


def wrapped(degrees: Tensor) -> Tensor:
    """The same angles between -180 and 180."""
    return (degrees + 180).remainder(360) - 180


def held(controls: Controls, rule: Rule) -> list[str]:
    """The keys whose signs a motion has; less than a fifth of a step is none."""
    right, _, forward = (controls.move / max(rule.metres, 1e-9)).unbind(-1)
    yaw, pitch = (controls.turn / max(rule.degrees, 1e-9)).unbind(-1)
    pairs = ((forward, "w", "s"), (right, "d", "a"), (pitch, "i", "k"), (yaw, "l", "j"))
    columns = [[more if x > 0.2 else less if x < -0.2 else "" for x in axis.tolist()] for axis, more, less in pairs]
    return ["".join(row) for row in zip(*columns, strict=True)]


def spread(camera: Camera, steps: int) -> Camera:
    """Cameras of every ``steps``-th frame as cameras of every frame: rotations by slerp, places and lenses linearly."""
    if steps == 1 or len(camera) == 1:
        return camera
    return resample(camera, torch.arange((len(camera) - 1) * steps + 1, dtype=torch.float64) / steps)


def refuse_other(seen: Camera, again: Camera, dialect: str, made_of: str) -> None:
    """ValueError, naming the first frame, where what a dialect can say (``again``) is not the path that was ``seen``."""
    worst = (seen.pose - again.pose).abs().amax((-1, -2))
    off = (worst > CLOSE).nonzero()
    if len(off):
        at = int(off[0])
        raise ValueError(
            f"{dialect} is made of {made_of}, and frame {at} of this path is {float(worst[at]):.2g} away from what they make; "
            "export to a dialect of poses, for example dreamx-rows or hy-inference"
        )
