"""Cameras as other people's datasets hold them: poses and lenses of any of the usual shapes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dreamx.data.dataset.part import Array


def poses_of(x: Array, frames: int) -> Tensor:
    """Poses ``[F, 4, 4]``, ``[F, 3, 4]``, or either of them flat -> float32 ``[F, 4, 4]``. ValueError for another shape."""
    flat = x.reshape(len(x), -1).astype(np.float32) if x.ndim > 1 else x
    if flat.shape not in ((frames, 16), (frames, 12)):
        raise ValueError(f"it has poses of shape {tuple(x.shape)} for {frames} frames")
    pose = torch.from_numpy(flat).reshape(frames, -1, 4)
    if pose.shape[1] == 3:
        pose = torch.cat([pose, torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(frames, 1, 4)], 1)
    return pose


def lenses_of(x: Array, frames: int, width: int, height: int) -> Tensor:
    """Intrinsics ``[4]``, ``[3, 3]``, with or without frames before -> ``[F, 4]`` shares of the picture's sides.

    Pixels are told by a middle beyond 2. ValueError for another shape.
    """
    if x.shape == (frames, 9):
        x = x.reshape(frames, 3, 3)
    if x.shape[-2:] == (3, 3):
        x = np.stack([x[..., 0, 0], x[..., 1, 1], x[..., 0, 2], x[..., 1, 2]], -1)
    if x.shape not in ((4,), (1, 4), (frames, 4)):
        raise ValueError(f"it has intrinsics of shape {tuple(x.shape)} for {frames} frames")
    x = np.broadcast_to(x.astype(np.float32).reshape(-1, 4), (frames, 4))
    if x[:, 2:].max() > 2:
        x = x / np.array([width, height, width, height], np.float32)
    return torch.from_numpy(x.copy())
