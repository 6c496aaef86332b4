"""Amount of detail in a picture at each scale, in numbers: what a learned feature may be blind to, a blur cannot hide from.

Logarithms of the mean square of the bands of a Laplacian pyramid (Burt and Adelson 1983) of the luma, of what is left of it and
of the colour differences, and the mean colour. Nothing is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BANDS = 3
SIZE = BANDS + 1 + 2 + 3  # of the vector
_SIDE = 64  # pixels: every picture is brought to this size, as for the learned features
_LEAST = (0.5 / 255) ** 2  # half a grey level, so that a flat picture has a logarithm


def texture_statistics(pictures: Tensor) -> Tensor:
    """``[N, SIZE]`` of pictures uint8 ``[N, 3, H, W]``."""
    x = pictures.float() / 255
    x = F.adaptive_avg_pool2d(x, _SIDE) if x.shape[-2:] != (_SIDE, _SIDE) else x
    luma = (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    found: list[Tensor] = []
    level = luma
    for _ in range(BANDS):
        coarse = F.avg_pool2d(level, 2)
        found.append(_log_power(level - F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)))
        level = coarse
    found.append(_log_power(level - level.mean((-1, -2), keepdim=True)))
    for colour in (x[:, :1] - luma, x[:, 2:] - luma):
        found.append(_log_power(colour - colour.mean((-1, -2), keepdim=True)))
    return torch.cat([torch.stack(found, 1), 4 * x.mean((-1, -2))], 1)


def _log_power(band: Tensor) -> Tensor:
    return (band.square().flatten(1).mean(1) + _LEAST).log()
