"""View overlap of two cameras, which memory is searched by.

The paper retrieves by "camera pose and view overlap" without a formula (DreamX-World 1.0, memory section). Ours counts
points, as HY-WorldPlay 1.5 does, but takes them from the real view of the camera instead of a ball with fixed angles, and on
a fixed grid instead of at random: the same question has the same answer on every machine. Occlusion is ignored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, rays, se3_inverse


def overlap(a: Camera, b: Camera, near: float = 0.5, far: float = 8.0, grid: tuple[int, int, int] = (9, 16, 8)) -> Tensor:
    """The share ``[...]`` of what ``a`` sees between ``near`` and ``far`` metres that ``b`` sees, too: 0 to 1.

    Leading shapes broadcast: ``overlap(query[:, None], bank[None])`` is a table. Not symmetric: a narrow view inside a wide
    one scores 1, the wide one in the narrow less. On one spot it falls steadily with the yaw between the two.
    ``grid`` is rows, columns and depths of the points; every ray counts the same.
    """
    # 9 x 16 pixels at 8 distances are 1152 points.
    return sees(b, points(a, near, far, grid), near, far).to(a.pose.dtype).mean(-1)


def points(camera: Camera, near: float = 0.5, far: float = 8.0, grid: tuple[int, int, int] = (9, 16, 8)) -> Tensor:
    """Points ``[..., P, 3]`` of what cameras see between ``near`` and ``far`` metres, in the axes of the walk."""
    return _points(camera, near, far, grid) @ camera.pose[..., :3, :3].mT + camera.pose[..., None, :3, 3]


def sees(camera: Camera, world: Tensor, near: float = 0.5, far: float = 8.0) -> Tensor:
    """Return whether cameras ``[...]`` see points ``[..., P, 3]`` between ``near`` and ``far`` metres: bool ``[..., P]``."""
    view = se3_inverse(camera.pose)
    seen = world @ view[..., :3, :3].mT + view[..., None, :3, 3]  # [..., P, 3] in the camera's axes
    fx, fy, cx, cy = (x[..., None] for x in camera.lens.unbind(-1))
    x, y, z = seen.unbind(-1)
    u, v = fx * x + cx * z, fy * y + cy * z  # times z, so that nothing is divided by a depth near zero
    # Nearness is a distance, not a depth: turning on the spot changes no distance, so that overlap is monotone in the angle.
    distance = seen.norm(dim=-1)
    return (z > 0) & (u > 0) & (u < z) & (v > 0) & (v < z) & (distance > near) & (distance < far)


def _points(camera: Camera, near: float, far: float, grid: tuple[int, int, int]) -> Tensor:
    """Points ``[..., P, 3]`` in camera axes: a grid of pixels, each at distances evenly spaced in the logarithm."""
    rows, cols, depths = grid
    steps = (torch.arange(depths, dtype=camera.pose.dtype, device=camera.pose.device) + 0.5) / depths
    # Even in the logarithm: near surfaces fill as much of a picture as far ones.
    distance = near * (far / near) ** steps  # [depths]: middles of cells, never on a bound
    # Length 1, so that distances are along the ray.
    direction = torch.nn.functional.normalize(rays(camera.lens, rows, cols), dim=-1)
    return (direction[..., None, :] * distance[:, None]).flatten(-4, -2)
