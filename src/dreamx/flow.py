"""Rectified flow: how noise is mixed in and taken out.

``x = (1 - sigma) clean + sigma noise``; the network predicts the velocity ``v = noise - clean``. Noise levels are per frame,
``sigma [B, T]``, and broadcast over ``[B, T, C, H, W]``. Source: Wan2.2 and DreamX-World 1.0, section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.frames import Frames


def _wide(sigma: Tensor) -> Tensor:
    return sigma[..., None, None, None]  # [B, T, 1, 1, 1]


def shift(sigma: Tensor, by: float) -> Tensor:
    """Push noise levels towards 1: ``by sigma / (1 + (by - 1) sigma)``. 5 is the official value at full size."""
    return by * sigma / (1 + (by - 1) * sigma)


def schedule(steps: int, by: float) -> list[float]:
    """The noise levels of a sampler of ``steps`` network passes, from 1 down to the closing 0 (``steps + 1`` numbers).

    4 steps with a shift of 5 give 1, 0.9375, 0.8333, 0.625, 0: the official few-step schedule.
    """
    return shift(torch.linspace(1, 0, steps + 1, dtype=torch.float64), by).tolist()  # numbers, the same on every device


def draw_sigma(shape: tuple[int, ...], by: float, rng: torch.Generator | None = None) -> Tensor:
    """Training noise levels: uniform, then shifted."""
    return shift(torch.rand(shape, generator=rng), by)  # shifted by 5, half of the draws lie above 0.83


def mix(frames: Frames, sigma: Tensor, noise: Tensor) -> tuple[Frames, Tensor]:
    """Noise clean frames to ``sigma [B, T]``. Returns the network's input and the velocity it should predict."""
    s = _wide(sigma)
    return frames.with_z((1 - s) * frames.z + s * noise, sigma), noise - frames.z  # the velocity is the same at every sigma


def to_clean(x: Tensor, sigma: Tensor, v: Tensor) -> Tensor:
    """The clean estimate that a velocity implies."""
    return x - _wide(sigma) * v


def euler(x: Tensor, sigma: Tensor, following: Tensor, v: Tensor) -> Tensor:
    """One deterministic step along the flow, from ``sigma`` to ``following`` (both ``[B, T]``)."""
    return x + _wide(following - sigma) * v


def renoise(x: Tensor, sigma: Tensor, following: Tensor, v: Tensor, noise: Tensor) -> Tensor:
    """One stochastic few-step move: jump to the clean estimate, then noise it afresh to ``following``."""
    s = _wide(following)
    return (1 - s) * to_clean(x, sigma, v) + s * noise


def velocity_loss(v: Tensor, target: Tensor, counted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error over the frames for which ``counted [B, T]`` is true, places weighted by ``weight [B, T, 1, H, W]``."""
    error = (v - target).square()
    error = (error if weight is None else error * weight).mean(dim=(2, 3, 4))  # [B, T]
    share = counted.to(error)
    return (error * share).sum() / share.sum().clamp(min=1)  # 0, not NaN, where no frame counts
