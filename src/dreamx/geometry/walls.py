"""Walls: a walker stops at, or slides along, what is nearer than an arm. Surfaces are points, from any depth that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera

REACH = 0.4  # metres that a walker keeps from a wall
_ABOVE, _BELOW = 0.4, 1.1  # metres of the eye: of what lies higher or lower, no wall is made (a beam, a step, the ground)
_FEW = 4  # points: fewer are noise of a guessed depth, not a wall
_SLACK = 1e-3  # metres


def stop_at_walls(start: Camera, path: Camera, points: Tensor, reach: float = REACH) -> tuple[Camera, bool]:
    """A path ``[T]`` that was walked from ``start``, kept ``reach`` metres from surfaces ``points [N, 3]``; and was it changed?

    Headings stay. A step that comes too near loses its part towards the wall; where the rest comes too near as well (a corner),
    it is not made. Away from a wall every step is free, also from within ``reach``.
    """
    place, before = start.pose[:3, 3], start.pose[:3, 3]
    height = points[:, 1] - place[1]
    ground = points[(height > -_ABOVE) & (height < _BELOW)][:, (0, 2)]  # y points down
    poses, changed = path.pose.clone(), False
    for i in range(len(path)):
        commanded = path.pose[i, :3, 3]
        step, before = commanded - before, commanded
        allowed = _allowed(place[[0, 2]], step[[0, 2]], ground, reach)
        changed |= not torch.equal(allowed, step[[0, 2]])
        place = torch.stack([place[0] + allowed[0], place[1] + step[1], place[2] + allowed[1]])
        poses[i, :3, 3] = place
    return (Camera(poses, path.lens), True) if changed else (path, False)


def _allowed(place: Tensor, step: Tensor, ground: Tensor, reach: float) -> Tensor:
    """The part of a step ``[2]`` from ``place [2]`` that may be made among points of the plan ``ground [N, 2]``."""
    if len(ground) < _FEW or not bool(step.any()):
        return step
    now = _gap(place, ground)[0]
    least = min(reach, now - _SLACK)
    gap, wall = _gap(place + step, ground)
    if gap >= least:
        return step
    away = place - wall
    away = away / away.norm().clamp_min(1e-6)
    along = step - (step @ away).clamp(max=0) * away
    return along if _gap(place + along, ground)[0] >= least else torch.zeros_like(step)


def _gap(place: Tensor, ground: Tensor) -> tuple[float, Tensor]:
    """Distance of the wall from a place, and where: by the few points that are nearest."""
    distance, which = (ground - place).norm(dim=1).topk(_FEW, largest=False)
    return float(distance[-1]), ground[which].mean(0)
