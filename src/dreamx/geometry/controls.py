"""From held keys to camera motion, in calibrated units: metres and degrees per frame.

Keys are those of the official release: ``w a s d`` move forward, left, back, right; ``i k j l`` look up, down, left, right.
Any of them compose; opposite keys cancel. The default speeds are the official ones: 0.075 units (metres here) and 1.5
degrees a frame at 16 frames per second, that is 1.2 m/s and 24 degrees/s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, rigid, rotation
from dreamx.plaintext import letter, shown

KEYS = "wasdijkl"

# One row a key: metres along camera x (right), y (down), z (forward); degrees of yaw (right) and pitch (up).
_UNIT = {
    "w": (0, 0, 1, 0, 0),
    "s": (0, 0, -1, 0, 0),
    "a": (-1, 0, 0, 0, 0),
    "d": (1, 0, 0, 0, 0),
    "j": (0, 0, 0, -1, 0),
    "l": (0, 0, 0, 1, 0),
    "i": (0, 0, 0, 0, 1),  # pitch up is a turn about +x where y points down
    "k": (0, 0, 0, 0, -1),
}


@dataclass(frozen=True)
class Speed:
    """Speed of the camera under held keys. ValueError unless all are positive."""

    metres_per_second: float = 1.2
    """Of a step key."""
    degrees_per_second: float = 24.0
    """Of a look key."""
    fps: float = 16.0
    """Frames a second."""

    def __post_init__(self) -> None:
        for name in ("metres_per_second", "degrees_per_second", "fps"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"speed.{name} must be a positive number, not {getattr(self, name)}")


@dataclass(frozen=True)
class Controls:
    """The motion that leads *to* each frame from the one before, in the camera's own axes.

    move: ``[T, 3]`` metres a frame: right, down, forward.
    turn: ``[T, 2]`` degrees a frame: yaw (positive looks right), pitch (positive looks up).
    """

    move: Tensor
    turn: Tensor

    def __post_init__(self) -> None:
        if self.move.ndim != 2 or self.move.shape[1] != 3:
            raise ValueError(f"controls.move must be [frames, 3] metres a frame, not {tuple(self.move.shape)}")
        if self.turn.shape != (self.move.shape[0], 2):
            raise ValueError(f"controls.turn must be [{self.move.shape[0]}, 2] degrees a frame, not {tuple(self.turn.shape)}")
        for name, x in (("move", self.move), ("turn", self.turn)):
            if not bool(torch.isfinite(x).all()):
                raise ValueError(f"controls.{name} holds NaN or infinity; every number must be finite")

    def __len__(self) -> int:
        return self.move.shape[0]


def check_keys(keys: str) -> str:
    """The keys in lower case, each once and in the order of ``KEYS``; ValueError names a letter that is not a key."""
    held = set(keys.lower().replace(" ", ""))
    unknown = held - set(KEYS)
    if unknown:
        other = sorted(unknown)[0]
        named = shown(other) if other.isascii() else letter(other)
        raise ValueError(f"keys: {named} is not a key; use w a s d to move and i j k l to look, in any combination")
    return "".join(k for k in KEYS if k in held)  # the order of KEYS is that of the action vector in clips


def key_vector(keys: str) -> Tensor:
    """Held keys as the action vector ``[8]`` of zeros and ones, in the order of ``KEYS``."""
    held = check_keys(keys)
    return torch.tensor([float(k in held) for k in KEYS])


def from_keys(keys: Iterable[str], speed: Speed | None = None) -> Controls:
    """One string of held keys per frame -> calibrated controls. An empty string (or a space) stays in place."""
    speed = speed or Speed()
    rows = torch.tensor([[float(sum(_UNIT[k][i] for k in check_keys(held))) for i in range(5)] for held in keys])
    rows = rows.reshape(-1, 5)  # also for no frame at all, which torch makes [0]
    return Controls(rows[:, :3] * (speed.metres_per_second / speed.fps), rows[:, 3:] * (speed.degrees_per_second / speed.fps))


def walk(camera: Camera, controls: Controls, up: Tensor | None = None) -> Camera:
    """Integrate controls from one camera: the ``[T]`` cameras *after* each step, not the start itself.

    Each frame turns first and then moves along its own new axes, so that forward with a turn is a true arc (the official
    autoregressive generator's rule). Without ``up`` all motion is in the body frame, as there: looking up and walking
    climbs. With ``up`` (a world direction ``[3]``) the camera is a walker: yaw is about ``up``, steps stay on the level,
    and pitch stops at 75 degrees. ValueError when there is more than one camera to start from.
    """
    if camera.shape:
        raise ValueError(
            f"camera: walk starts from one camera, not from {tuple(camera.shape)} of them; pass for example camera[-1]"
        )
    pose = camera.pose
    move = controls.move.to(pose)
    r, p = pose[:3, :3], pose[:3, 3]
    yaws, pitches = (rotation(a, t) for a, t in zip("yx", controls.turn.to(pose).unbind(-1), strict=True))
    n = None if up is None else (up / up.norm()).to(pose)
    poses: list[Tensor] = []
    for yaw, pitch, step in zip(yaws, pitches, move, strict=True):
        if n is None:
            r = _rigid_again(r @ yaw @ pitch)
            p = p + r @ step  # after the turn, in the new axes: an arc
        else:
            basis = _upright(r, n)
            # About the world's vertical, not the camera's own: else turning while looking down rolls the horizon.
            r = basis @ yaw @ basis.T @ r
            pitched = r @ pitch
            steepness, before = (abs(float(x[:, 2] @ n)) for x in (pitched, r))  # sine of the pitch
            r = _rigid_again(pitched if steepness <= max(_STEEPEST, before) else r)  # from beyond, only back is allowed
            p = p + _upright(r, n) @ step  # level steps, even when looking at the ground
        poses.append(rigid(r, p))
    stack = torch.stack(poses) if poses else pose.new_zeros(0, 4, 4)
    return Camera(stack, camera.lens.expand(len(poses), 4))


_STEEPEST = 0.966  # sine of 75 degrees


def _rigid_again(r: Tensor) -> Tensor:
    """One Newton step to the nearest rotation: else float32 shears the view by 2e-4 in ten minutes, and it grows."""
    return 1.5 * r - 0.5 * r @ r.T @ r


def _upright(r: Tensor, up: Tensor) -> Tensor:
    """Axes [3, 3] of a level camera with the same heading, from a unit ``up``: x right, y down (along -up), z forward."""
    down = -up
    right = torch.linalg.cross(down, r[:, 2])  # x = y cross z
    if float(right.norm()) < 1e-6:  # looks straight up or down: the picture's right is still level
        right = r[:, 0] - (r[:, 0] @ down) * down
    right = right / right.norm()
    return torch.stack([right, down, torch.linalg.cross(right, down)], dim=1)
