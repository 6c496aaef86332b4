"""The camera: where a picture was taken from and through which lens. THE convention of the whole project.

Axes are OpenCV's: x to the right of the picture, y down, z into the scene. A pose is camera-to-world. A lens is
``(fx, fy, cx, cy)`` divided by the picture's width and height, so that it does not change when a picture is resized; the
middle of the picture is ``cx = cy = 0.5``. Distances are metres. Every function takes any leading shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import radians, tan
from typing import Any

import torch
from torch import Tensor

#: The lens of the official inference code: 969.697 / 1920, 969.697 / 1080, a horizontal view of 89.4 degrees.
OFFICIAL_LENS = (969.69697 / 1920, 969.69697 / 1080, 0.5, 0.5)


@dataclass(frozen=True)
class Camera:
    """One camera, or any array of them; a trajectory is a ``Camera`` whose last leading axis is time.

    pose: ``[..., 4, 4]`` camera-to-world, OpenCV axes, metres.
    lens: ``[..., 4]`` fx, fy, cx, cy, as shares of the picture's width and height.
    """

    pose: Tensor
    lens: Tensor

    def __post_init__(self) -> None:
        if self.pose.shape[-2:] != (4, 4):
            raise ValueError(f"camera.pose must end in 4x4, not {tuple(self.pose.shape)}")
        if self.lens.shape != (*self.pose.shape[:-2], 4):
            raise ValueError(
                f"camera.lens must be {(*self.pose.shape[:-2], 4)} to go with the pose, not {tuple(self.lens.shape)}"
            )

    @property
    def shape(self) -> torch.Size:
        """The leading shape, without the 4x4."""
        return self.pose.shape[:-2]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, item: Any) -> Camera:
        """Index the leading axes; ``...`` stands for leading axes only, never for those of the pose or the lens."""
        lead = item if isinstance(item, tuple) else (item,)
        lead = lead if any(i is ... for i in lead) else (*lead, ...)
        return Camera(self.pose[(*lead, slice(None), slice(None))], self.lens[(*lead, slice(None))])

    def map(self, fn: Callable[[Tensor], Tensor]) -> Camera:
        """Apply one function of the leading axes to pose and lens alike."""
        return Camera(fn(self.pose), fn(self.lens))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Camera:
        """Return the camera on another device, in another dtype."""
        return self.map(lambda x: x.to(device=device, dtype=dtype))


def level(lens: tuple[float, ...] | Tensor = OFFICIAL_LENS, dtype: torch.dtype = torch.float32) -> Camera:
    """A single camera at the origin that looks along +z with the horizon level."""
    return Camera(torch.eye(4, dtype=dtype), torch.as_tensor(lens, dtype=dtype))


def lens_from_fov(vertical_degrees: float, width: int, height: int) -> tuple[float, float, float, float]:
    """The lens of square pixels that sees ``vertical_degrees`` from top to bottom of a ``width`` x ``height`` picture."""
    fy = 0.5 / tan(radians(vertical_degrees) / 2)  # half the picture's height is 0.5
    return (fy * height / width, fy, 0.5, 0.5)  # square pixels: the same focal length in pixels, by the width


def cat(cameras: list[Camera] | tuple[Camera, ...], dim: int = 0) -> Camera:
    """Join cameras along a leading axis (counted from the front)."""
    return Camera(torch.cat([c.pose for c in cameras], dim), torch.cat([c.lens for c in cameras], dim))


def stack(each: Sequence[Camera]) -> Camera:
    """Cameras of one shape along a new first axis, ``[N, ...]``."""
    return Camera(torch.stack([c.pose for c in each]), torch.stack([c.lens for c in each]))


def se3_inverse(m: Tensor) -> Tensor:
    """Inverse of rigid motions ``[..., 4, 4]`` without a general matrix inverse."""
    r, t = m[..., :3, :3], m[..., :3, 3:]
    rt = r.transpose(-1, -2)
    top = torch.cat([rt, -rt @ t], dim=-1)  # the transpose inverts a rotation exactly
    return torch.cat([top, m[..., 3:, :]], dim=-2)


def relative_to(camera: Camera, reference: Camera) -> Camera:
    """The same cameras in a world whose origin and axes are those of ``reference``; leading shapes broadcast."""
    pose = se3_inverse(reference.pose) @ camera.pose  # camera -> world -> axes of the reference
    return Camera(pose, camera.lens.expand(*pose.shape[:-2], 4))


def rotation(axis: str, degrees: Tensor) -> Tensor:
    """Right-handed rotations ``[..., 3, 3]`` by ``degrees [...]`` about the axis ``x`` or ``y``."""
    a = torch.deg2rad(degrees)
    c, s, o, i = torch.cos(a), torch.sin(a), torch.zeros_like(a), torch.ones_like(a)
    rows = {"x": (i, o, o, o, c, -s, o, s, c), "y": (c, o, s, o, i, o, -s, o, c)}[axis]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def rigid(r: Tensor, t: Tensor) -> Tensor:
    """A rigid motion ``[..., 4, 4]`` from a rotation ``[..., 3, 3]`` and a translation ``[..., 3]``."""
    top = torch.cat([r, t[..., None]], dim=-1)
    last = torch.zeros_like(top[..., :1, :])
    last[..., 3] = 1
    return torch.cat([top, last], dim=-2)


def projection(camera: Camera) -> tuple[Tensor, Tensor]:
    """The projective matrices of PRoPE: ``P = lift(K) V`` and its inverse, both ``[..., 4, 4]``.

    V is world-to-camera; K is the lens with the principal point counted from the middle of the picture, so that a centred
    lens is a pure scaling. The inverse is analytic. Source: PRoPE (Li et al. 2025), section 3; DreamX-World 1.0, E-PRoPE.
    """
    fx, fy, cx, cy = camera.lens.unbind(-1)
    cx, cy = cx - 0.5, cy - 0.5  # (0, 0) is then the middle, as the released weights have it
    o, i = torch.zeros_like(fx), torch.ones_like(fx)
    k = torch.stack([fx, o, cx, o, o, fy, cy, o, o, o, i, o, o, o, o, i], -1).unflatten(-1, (4, 4))
    k_inv = torch.stack([1 / fx, o, -cx / fx, o, o, 1 / fy, -cy / fy, o, o, o, i, o, o, o, o, i], -1).unflatten(-1, (4, 4))
    return k @ se3_inverse(camera.pose), camera.pose @ k_inv  # no general inverse: that of a lens without skew is known


def rays(lens: Tensor, rows: int, cols: int) -> Tensor:
    """Directions ``[..., rows, cols, 3]`` through the middles of the pixels, in camera axes, with z = 1.

    Multiplied by metric depth along z they are the points that the pixels show.
    """
    v = (torch.arange(rows, dtype=lens.dtype, device=lens.device) + 0.5) / rows  # middles of pixels: 0.5 / rows, 1.5 / rows, ...
    u = (torch.arange(cols, dtype=lens.dtype, device=lens.device) + 0.5) / cols
    fx, fy, cx, cy = (x[..., None, None] for x in lens.unbind(-1))
    x = ((u[None, :] - cx) / fx).expand(*lens.shape[:-1], rows, cols)
    y = ((v[:, None] - cy) / fy).expand(*lens.shape[:-1], rows, cols)
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)  # z = 1, not length 1, since depth is along z
