"""Colours drift over a long video; this pulls them back to those of the opening picture. An option, off unless asked for.

Mean and deviation of each channel in CIE Lab are moved towards those of a reference, as the official script does afterwards.
It changes the pictures alone, never what the network sees.
"""

from __future__ import annotations

import torch
from torch import Tensor

# sRGB to XYZ under D65, and the white of it.
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)
_EDGE = 6 / 29


class Correction:
    """Towards ``opening``, uint8 ``[3, H, W]``; strength 1 takes its colours whole."""

    def __init__(self, opening: Tensor, strength: float) -> None:
        lab = to_lab(opening[None])
        self._mean, self._std = lab.mean((2, 3), keepdim=True), lab.std((2, 3), keepdim=True)
        self._strength = strength

    def __call__(self, frames: Tensor) -> Tensor:
        """The corrected frames, uint8 ``[n, 3, H, W]``."""
        lab = to_lab(frames)
        mean, std = lab.mean((2, 3), keepdim=True), lab.std((2, 3), keepdim=True)
        pulled = (lab - mean) * (self._std / std.clamp(min=1e-3)) + self._mean
        return to_rgb(torch.lerp(lab, pulled, self._strength))


def to_lab(rgb: Tensor) -> Tensor:
    """uint8 sRGB ``[n, 3, H, W]`` -> Lab, float32: L 0 to 100."""
    x = rgb.float() / 255
    linear = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,njhw->nihw", torch.tensor(_XYZ), linear) / torch.tensor(_WHITE)[:, None, None]
    f = torch.where(xyz > _EDGE**3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * _EDGE**2) + 4 / 29)
    x_, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x_ - y), 200 * (y - z)], 1)


def to_rgb(lab: Tensor) -> Tensor:
    """The way back, rounded and cut to uint8."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(f > _EDGE, f**3, 3 * _EDGE**2 * (f - 4 / 29)) * torch.tensor(_WHITE)[:, None, None]
    linear = torch.einsum("ij,njhw->nihw", torch.linalg.inv(torch.tensor(_XYZ)), xyz).clamp(0, 1)
    x = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    return (x * 255).round().clamp(0, 255).to(torch.uint8)
