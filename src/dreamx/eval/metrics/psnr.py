"""Scores: pure functions of videos, one number a frame.

Videos are ``[..., 3, H, W]``, uint8 or float in 0 to 1, and may be mixed; scores are float32 ``[...]``.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: The PSNR of a picture that equals the truth, so that means stay finite; half a grey level everywhere is 54 dB.
PSNR_CAP = 99.0


def psnr(video: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio ``[...]`` in dB of each frame, at most ``PSNR_CAP``. ValueError unless the shapes agree."""
    error = (_unit(video, truth) - _unit(truth, video)).square().flatten(-3).mean(-1)
    return (-10 * torch.log10(error)).clamp(max=PSNR_CAP)


def sharpness(video: Tensor, truth: Tensor) -> Tensor:
    """Gradient energy of each frame, relative to the true frame ``[...]``: 1 is as sharp, 0 a blur, above 1 noise or ringing.

    PSNR forgives a blur and even asks for one; this does not. ValueError unless the shapes agree.
    """
    _unit(video, truth)
    return gradient_energy(video) / gradient_energy(truth)


def gradient_energy(video: Tensor) -> Tensor:
    """Mean square ``[...]`` of the steps between neighbouring pixels, plus that of one grey level, so that it is never 0."""
    video = _unit(video, video)
    across, down = video.diff(dim=-1).square().flatten(-3).mean(-1), video.diff(dim=-2).square().flatten(-3).mean(-1)
    return across + down + 255.0**-2  # a plain wall would divide by 0


def _unit(video: Tensor, other: Tensor) -> Tensor:
    """Return the video as float32 in 0 to 1; ValueError where the two have unlike shapes."""
    if video.shape != other.shape or video.ndim < 3 or video.shape[-3] != 3:
        raise ValueError(f"videos must both be [..., 3, height, width], not {tuple(video.shape)} and {tuple(other.shape)}")
    return video.float() / 255 if video.dtype == torch.uint8 else video.float()
