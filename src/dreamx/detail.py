"""Lay the fine detail of one picture over another that shows the same place in another light.

A guided filter (He, Sun and Tang 2010): near each pixel the soft picture is taken for a linear function of the sharp one, and the
slope says how much of the detail is left in this light. Where the two have nothing in common, as behind thick fog or where
something stands that was not there, the slope is nearly 0 and nothing is added.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.geometry.reproject import View

_SOFT = 1.0  # pixels, deviation: as soft as the decoder is without memory
_AROUND = 5  # pixels to each side that a slope is taken from
_FLAT = 0.002  # variance of colours in [-1, 1] below which there is no detail
_MOST = 1.5  # slope


def add_detail(rgb: Tensor, view: View) -> Tensor:
    """Return pictures ``rgb [B, F, 3, H, W]`` in [-1, 1] with the detail of ``view [B, F]`` where that is known."""
    soft, sharp = rgb.flatten(0, 1), view.rgb.flatten(0, 1)
    known = view.known.flatten(0, 1)[:, None]
    sharp = torch.where(known > 0, sharp, soft)  # without an edge where the known ends
    smooth = _gauss(sharp)
    mean, other = _mean(smooth), _mean(soft)
    slope = (_mean(smooth * soft) - mean * other) / (_mean(smooth.square()) - mean.square() + _FLAT)
    out = soft + known * _mean(slope.clamp(0, _MOST)) * (sharp - smooth)
    return out.clamp(-1, 1).unflatten(0, rgb.shape[:2])


def _mean(x: Tensor) -> Tensor:
    """Mean about each pixel of pictures ``[N, C, H, W]``."""
    return F.avg_pool2d(F.pad(x, [_AROUND] * 4, mode="replicate"), 2 * _AROUND + 1, 1)


def _gauss(x: Tensor) -> Tensor:
    """Blur pictures ``[N, C, H, W]``."""
    reach = round(3 * _SOFT)
    line = torch.exp(-(torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) ** 2) / (2 * _SOFT**2))
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)  # [C, 1, 1, 2 reach + 1]
    x = F.conv2d(F.pad(x, [reach] * 4, mode="replicate"), line, groups=x.shape[1])
    return F.conv2d(x, line.mT, groups=x.shape[1])
