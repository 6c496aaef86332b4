"""Pictures of a long video: is there still one, and are its colours those of the opening?

Black frames and pure noise are said in one sentence, instead of an hour of them in a file. Colours drift; an option, off unless
asked for, moves mean and deviation of each channel in CIE Lab towards those of a reference, as the official script does
afterwards. It changes the pictures alone, never what the network sees.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLACK, _FLAT = 4.0, 3.0  # of 255: mean, and deviation
_LIKE = 0.1  # correlation of neighbours below which a frame is noise
_PATIENCE = 12  # frames in a row: a walk may pass through the dark

# sRGB to XYZ under D65, and the white of it.
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)
_EDGE = 6 / 29


class VideoHealth:
    """Watch one video. ``opening``: its first picture, uint8 ``[3, H, W]``, as noise may be wanted; ``frames``: seen before."""

    def __init__(self, opening: Tensor, frames: int = 0) -> None:
        self._frames, self._black, self._noise = frames, 0, 0
        self._dark, self._noisy = is_black(opening), is_noise(opening)

    def look(self, frames: Tensor) -> None:
        """New frames, uint8 ``[n, 3, H, W]``. ValueError when a dozen in a row are black, or noise."""
        for frame in frames:
            self._frames += 1
            self._black = self._black + 1 if is_black(frame) else 0
            self._noise = self._noise + 1 if is_noise(frame) else 0
            for count, expected, what in ((self._black, self._dark, "black"), (self._noise, self._noisy, "pure noise")):
                if count >= _PATIENCE and not expected:
                    raise ValueError(
                        f"the last {count} frames, to frame {self._frames - 1}, are {what}: the weights do not fit their config, "
                        "or the dtype is too small for them; check the checkpoint with dreamx doctor"
                    )


def is_black(frame: Tensor) -> bool:
    """Is a picture uint8 ``[3, H, W]`` dark and flat all over?"""
    x = frame.float()
    return float(x.mean()) < _BLACK and float(x.std()) < _FLAT


def is_noise(frame: Tensor) -> bool:
    """Do neighbours have nothing in common, left and right, above and below? Flat pictures are no noise."""
    x = frame.float()
    x = x - x.mean((1, 2), keepdim=True)
    power = x.square().mean()
    if float(power) < _FLAT**2:
        return False
    aside, below = (x[..., 1:] * x[..., :-1]).mean() / power, (x[:, 1:] * x[:, :-1]).mean() / power
    return float(aside) < _LIKE and float(below) < _LIKE


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
    x_, y, z = torch.where(xyz > _EDGE**3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * _EDGE**2) + 4 / 29).unbind(1)
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
