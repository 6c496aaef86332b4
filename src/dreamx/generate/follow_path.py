"""Walk along somebody's cameras with a world's own legs: the controls that lead from where it stands to where they go."""

from __future__ import annotations

import torch

from dreamx.geometry.camera import Camera, cat, relative_to
from dreamx.geometry.controls import Controls, walk
from dreamx.geometry.formats.keys import Rule, motion_of
from dreamx.geometry.formats.path_check import angle

_LEVEL, _FREE = Rule(1.0, 1.0, ground=True), Rule(1.0, 1.0)
_UP = (0.0, -1.0, 0.0)


def controls_to(here: Camera, wanted: Camera, upright: bool) -> Controls:
    """Motion ``[n]`` from the camera ``here`` through the cameras ``wanted [n]``, each step from where the last one really led.

    A walker (``upright``) stays on its level and never rolls; one that flies turns about two axes in a step, so that a roll is
    left out. What is left out of one step is not added to the next.
    """
    up = torch.tensor(_UP, dtype=torch.float64) if upright else None
    camera = Camera(here.pose.double(), here.lens.double())
    moves: list[torch.Tensor] = []
    turns: list[torch.Tensor] = []
    for i in range(len(wanted)):
        goal = Camera(wanted.pose[i].to(camera.pose), camera.lens)
        step = motion_of(cat([x.map(lambda t: t[None]) for x in (camera, goal)]), _LEVEL if upright else _FREE)
        camera = walk(camera, step, up)[0]
        moves.append(step.move[0])
        turns.append(step.turn[0])
    return Controls(torch.stack(moves).float(), torch.stack(turns).float())


def missed(wanted: Camera, used: Camera) -> tuple[float, float]:
    """Return the largest distance of the used cameras from the wanted ones: metres and degrees."""
    step = relative_to(used.to(dtype=torch.float64), wanted.to(dtype=torch.float64)).pose
    return float(step[:, :3, 3].norm(dim=-1).max()), float(angle(step[:, :3, :3]).max())
