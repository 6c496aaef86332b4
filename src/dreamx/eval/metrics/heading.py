"""Yaw of a video that turns on the spot, read from its pictures alone.

On the spot a picture turns into the next by a rotation that needs no depth. Between frames some degrees apart the yaw is found
whose rotation makes the earlier picture fit the later one best, and these yaws add up: a generated place need not look like the
true one to be measured, only like itself. Its own error is that on true renders, and stands beside every figure.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.geometry.camera import rays, rotation

_STEP = 0.5  # degrees between the yaws that are tried
_REACH = 1.6  # times the commanded yaw, and a few degrees more, are tried
_MORE = 4.0


def read_heading(video: Tensor, yaw: Tensor, lens: Tensor, stride: int = 12) -> tuple[Tensor, Tensor]:
    """Read ``video`` uint8 ``[F, 3, H, W]``, commanded to look ``yaw [F]`` degrees right of frame 0, every ``stride`` frames.

    Returns the frames that were read ``[N]`` and the degrees ``[N]`` that the picture had turned by then.
    """
    frames = torch.arange(0, len(video), stride)  # 12 apart: off by 1.0 degree after a whole turn, 8 apart by 5.5
    steps = [
        turn_between(video[a].float(), video[b].float(), lens, float(yaw[b] - yaw[a]))
        for a, b in zip(frames[:-1].tolist(), frames[1:].tolist(), strict=True)
    ]
    return frames[1:], torch.tensor(steps).cumsum(0)


def turn_between(before: Tensor, after: Tensor, lens: Tensor, commanded: float) -> float:
    """The yaw in degrees (positive: right) that turns ``before [3, H, W]`` into ``after`` best, about the commanded one."""
    reach = _REACH * abs(commanded) + _MORE
    tried = torch.arange(-reach, reach + _STEP / 2, _STEP)
    rows, cols = before.shape[-2:]
    looks = rays(lens.float(), rows, cols) @ rotation("y", tried).mT[:, None]  # [N, H, W, 3] in the axes of the earlier camera
    z = looks[..., 2].clamp(min=1e-6)
    # The homography of a turn on the spot: no depth is needed.
    u, v = lens[0] * looks[..., 0] / z + lens[2], lens[1] * looks[..., 1] / z + lens[3]
    grid = torch.stack([2 * u - 1, 2 * v - 1], -1)
    seen = (looks[..., 2] > 0) & (grid.abs() < 1).all(-1)  # [N, H, W]
    warped = F.grid_sample(before.expand(len(tried), *before.shape), grid, align_corners=False)
    error = ((warped - after).square().mean(1) * seen).sum((1, 2)) / seen.sum((1, 2)).clamp(min=1)
    # A sliver of overlap fits by chance: a fifth of the picture at least.
    error = torch.where(seen.float().mean((1, 2)) > 0.2, error, torch.inf)
    best = int(error.argmin())
    # No neighbours to put a parabola through.
    if not 0 < best < len(tried) - 1 or not bool(error[best - 1 : best + 2].isfinite().all()):
        return float(tried[best])
    left, middle, right = error[best - 1 : best + 2].tolist()
    bend = left - 2 * middle + right
    return float(tried[best]) + (_STEP * (left - right) / (2 * bend) if bend > 0 else 0.0)  # the bottom of a parabola
