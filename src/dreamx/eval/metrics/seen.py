"""Surfaces that a walk has seen before: these can be remembered; all others have to be generated."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, rays, se3_inverse


def seen_before(cameras: Camera, depth: Tensor, every: int = 4, slack: float = 0.03, near: float = 0.05) -> Tensor:
    """Tell for each pixel of frames ``[F]`` whether an earlier frame showed the same surface: bool ``[F, H, W]``.

    depth: metres along z ``[F, H, W]``; 0 or infinity where unknown, which counts as never seen.
    every: frame 0 and then every so many frames are looked back at; what only the frames between them showed counts as unseen.
    slack, near: a surface is the same when its depth in the earlier frame differs by at most this share, and so many metres.
    ValueError unless the shapes agree.
    """
    if len(cameras.shape) != 1 or depth.ndim != 3 or len(depth) != len(cameras):
        raise ValueError(f"seen_before takes cameras [F] and depth [F, H, W], not {list(cameras.shape)} and {list(depth.shape)}")
    frames, rows, columns = depth.shape
    known = torch.isfinite(depth) & (depth > 0)
    depth = torch.where(known, depth, 0.0).float()  # infinity times 0 would be NaN
    # In float64 up to the relative motion: differences of far places are small.
    to_world = cameras.pose.double()
    to_camera = se3_inverse(to_world)
    out = torch.zeros_like(known)
    for t in range(1, frames):
        points = rays(cameras.lens[t].float(), rows, columns) * depth[t][..., None]
        past = torch.arange(0, t, every)  # all earlier ones would be quadratic: 81 frames are 3240 pairs
        move = (to_camera[past] @ to_world[t]).float()  # [N, 4, 4]
        seen = points.flatten(0, 1) @ move[:, :3, :3].mT + move[:, None, :3, 3]  # [N, H W, 3]
        z = seen[..., 2].clamp_min(1e-6)
        lens = cameras.lens[past].float()[:, None]
        u, v = lens[..., 0] * seen[..., 0] / z + lens[..., 2], lens[..., 1] * seen[..., 1] / z + lens[..., 3]
        column, row = (u * columns).floor().long(), (v * rows).floor().long()
        inside = (seen[..., 2] > 0) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        pixel = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
        there = depth[past].flatten(1).gather(1, pixel)  # [N, H W]: depth that the earlier frame has at that pixel
        same = inside & (there > 0) & ((z - there).abs() <= slack * z + near)
        out[t] = same.any(0).reshape(rows, columns) & known[t]
    return out
