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


def view_overlaps(camera: Camera, views: Camera) -> Tensor:
    """``overlap`` of one camera with each of ``views [N]``, as ``[N]``: what a memory of many views is asked once a chunk.

    Points are counted for those views alone that may see any, and for few at a time, which stay in the processor's cache: of
    256 views along a walk it takes a third of the time or less, so that a chunk costs no more the longer one walks.
    """
    near, world = may_overlap(camera, views), points(camera)
    found = near.to(camera.pose.dtype)
    for part in near.nonzero()[:, 0].split(_AT_ONCE):
        found[part] = sees(views[part], world).to(found.dtype).mean(-1)
    return found


def may_overlap(a: Camera, b: Camera, far: float = 8.0) -> Tensor:
    """Bool ``[...]``: False where nothing up to ``far`` metres can be seen by both cameras, so that ``overlap`` is 0.

    By spheres about what each sees, which is some thousand times cheaper than counting points. Leading shapes broadcast.
    """
    (middle, radius), (other, reach) = _sphere(a, far), _sphere(b, far)
    return (middle - other).norm(dim=-1) <= (radius + reach) * (1 + 1e-4)  # wider than rounding: a point on both rims counts


def points(camera: Camera, near: float = 0.5, far: float = 8.0, grid: tuple[int, int, int] = (9, 16, 8)) -> Tensor:
    """Points ``[..., P, 3]`` of what cameras see between ``near`` and ``far`` metres, in the axes of the walk."""
    return _points(camera, near, far, grid) @ camera.pose[..., :3, :3].mT + camera.pose[..., None, :3, 3]


def sees(camera: Camera, world: Tensor, near: float = 0.5, far: float = 8.0) -> Tensor:
    """Return whether cameras ``[...]`` see points ``[..., P, 3]`` between ``near`` and ``far`` metres: bool ``[..., P]``."""
    view = se3_inverse(camera.pose)
    seen = view[..., :3, :3] @ world.mT + view[..., :3, 3:]  # [..., 3, P] in the camera's axes, each axis in one piece
    fx, fy, cx, cy = (x[..., None] for x in camera.lens.unbind(-1))
    x, y, z = seen.unbind(-2)
    u, v = fx * x + cx * z, fy * y + cy * z  # times z, so that nothing is divided by a depth near zero
    inside = torch.minimum(torch.minimum(u, z - u), torch.minimum(v, z - v)) > 0  # 0 < u < z is also before the camera
    # Nearness is a distance, not a depth: turning on the spot changes no distance, so that overlap is monotone in the angle.
    distance = x.square() + y.square() + z.square()
    return inside & (distance > near**2) & (distance < far**2)


def _sphere(camera: Camera, far: float) -> tuple[Tensor, Tensor]:
    """Middle ``[..., 3]`` in the axes of the walk, and radius ``[...]``, of a ball about what a camera sees up to ``far``."""
    fx, fy, cx, cy = camera.lens.unbind(-1)
    aside = torch.maximum(cx, 1 - cx) / fx, torch.maximum(cy, 1 - cy) / fy  # of the widest corner, at depth 1
    cosine = (1 + aside[0].square() + aside[1].square()).rsqrt()
    # About a cone that ends in a cap: through its tip and rim, or about its rim where it is wider than a right angle.
    ahead = far * torch.where(cosine.square() > 0.5, 0.5 / cosine, cosine)
    radius = torch.where(cosine.square() > 0.5, ahead, far * (1 - cosine.square()).clamp_min(0).sqrt())
    return camera.pose[..., :3, 3] + ahead[..., None] * camera.pose[..., :3, 2], radius


_AT_ONCE = 32  # views whose points are counted together


def _points(camera: Camera, near: float, far: float, grid: tuple[int, int, int]) -> Tensor:
    """Points ``[..., P, 3]`` in camera axes: a grid of pixels, each at distances evenly spaced in the logarithm."""
    rows, cols, depths = grid
    steps = (torch.arange(depths, dtype=camera.pose.dtype, device=camera.pose.device) + 0.5) / depths
    # Even in the logarithm: near surfaces fill as much of a picture as far ones.
    distance = near * (far / near) ** steps  # [depths]: middles of cells, never on a bound
    # Length 1, so that distances are along the ray.
    direction = torch.nn.functional.normalize(rays(camera.lens, rows, cols), dim=-1)
    return (direction[..., None, :] * distance[:, None]).flatten(-4, -2)
