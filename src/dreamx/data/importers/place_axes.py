"""Cameras of unknown axes and scale in those of a place: upright, in metres by guess, ground at y = 0, its middle at the origin.

Structure from motion knows neither which way is up nor how large things are. Up: cameras are seldom rolled, so their rows are
level. Scale: who films walks at 1.2 m/s, the speed of a held key (``data.quality.limits``). Ground: where the lowest points lie
that were found. So all clips of a film agree with each other, and a field of the place (``model.place_field``) has a box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.data.importers.source_shot import SourceShot, seconds_of
from dreamx.geometry.camera import Camera


def in_place(jobs: list[tuple[str, Callable[[], SourceShot]]], scene: str) -> list[tuple[str, Callable[[], SourceShot]]]:
    """The shots, the only one brought into the axes of its place where ``scene`` names it. ValueError where there are several."""
    if scene and len(jobs) > 1:
        raise ValueError(
            f"scene: there are {len(jobs)} shots, each with cameras in axes of its own, and a place has one; "
            "import one film alone, or all of them joined to one"
        )
    return [(name, _Placed(opener, scene)) for name, opener in jobs] if scene else jobs


@dataclass(frozen=True)
class _Placed:
    """An opener of a shot whose cameras are in the axes of a place."""

    opener: Callable[[], SourceShot]
    scene: str

    def __call__(self) -> SourceShot:
        return placed(self.opener(), self.scene)


def placed(shot: SourceShot, scene: str) -> SourceShot:
    """The shot with its cameras in the axes of a place called ``scene``.

    ``extra["reach"]`` is how many metres it is from its middle to its edges, where points of it are known. ValueError where it
    has depth, whose unit would no longer be that of the cameras, or its cameras do not move.
    """
    if shot.depth is not None:
        raise ValueError("scene is for shots without depth, whose cameras are brought to metres; leave it out")
    down = _down(shot.camera)
    scale = _SPEED / _speed(shot.camera, seconds_of(shot))
    turn = _level(down)
    pose = shot.camera.pose.clone()
    pose[:, :3, :3] = turn @ pose[:, :3, :3]
    pose[:, :3, 3] = scale * pose[:, :3, 3] @ turn.T
    extra = {**shot.extra, "units": "metres", "metres": f"a guess: it walks at {_SPEED:g} m/s"}
    at = pose[:, :3, 3].clone()
    height, ends = at[:, 1].median(), at  # y points down
    ground = height + _EYES[1]
    if shot.points is not None and len(shot.points):
        points = scale * shot.points.to(pose) @ turn.T
        crumbs = torch.tensor([_CRUMBS, 1 - _CRUMBS]).to(pose)
        ends = torch.cat([torch.quantile(points, crumbs, 0), at])
        ground = points[:, 1].quantile(1 - _CRUMBS).clamp(height + _EYES[0], height + _EYES[2])
        wide = float((ends.amax(0) - ends.amin(0))[[0, 2]].max())
        extra["reach"] = f"{max(_ROOM, _MARGIN * wide / 2):.1f}"
    middle = (ends.amin(0) + ends.amax(0)) / 2
    middle[1] = ground
    pose[:, :3, 3] -= middle
    return replace(shot, camera=Camera(pose, shot.camera.lens), scene=scene, points=None, extra=extra)


def _down(camera: Camera) -> Tensor:
    """The unit vector ``[3]`` that is most nearly at right angles to the rows of all pictures, on the side of their columns."""
    right, below = camera.pose[:, :3, 0], camera.pose[:, :3, 1].mean(0)
    spread = right.T @ right / len(right) + _LEAN * torch.eye(3).to(right)  # where nobody turns, columns decide
    down = torch.linalg.solve(spread, below)
    return down / down.norm().clamp(min=1e-12)


def _level(down: Tensor) -> Tensor:
    """A rotation ``[3, 3]`` by which ``down`` becomes +y: the shortest."""
    y = torch.tensor([0.0, 1.0, 0.0]).to(down)
    v, c = torch.linalg.cross(down, y), float(down @ y)
    if c < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0]).to(down))
    one = torch.eye(3).to(down)
    k = torch.linalg.cross(v.expand(3, 3), one).T  # k @ x is v x x
    return one + k + k @ k / (1 + c)


def _speed(camera: Camera, seconds: Tensor) -> float:
    """The median speed of cameras ``[K]`` while they move, in their own unit a second."""
    speed = camera.pose[:, :3, 3].diff(dim=0).norm(dim=-1) / seconds.to(camera.pose).diff().clamp(min=1e-6)
    fast = float(speed.quantile(0.9)) if len(speed) else 0.0
    if fast <= 0:
        raise ValueError("scene: its cameras do not move, so that nothing says how large the place is; walk while you film")
    return float(speed[speed > _MOVING * fast].median())


_SPEED = 1.2  # metres a second
_MOVING = 0.25  # of the speed of the fastest tenth: what is slower stands, or turns on the spot
_LEAN = 0.001  # rows that are off the level by 2 degrees weigh as much as columns
_CRUMBS = 0.02  # of the points at either end: what is farther out was matched wrongly
_EYES = (0.6, 1.5, 2.5)  # metres from the ground to the camera: at least, where no point tells it, and at most
_MARGIN = 1.15  # points lie on what has texture, and walls go on
_ROOM = 3.0  # metres: a place has at least so much around its middle
