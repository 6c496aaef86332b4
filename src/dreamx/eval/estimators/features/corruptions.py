"""Ways in which a dream goes wrong, put into true pictures by a known amount: what a feature network must not be blind to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

#: Pictures ``[N, 3, H, W]`` in [-1, 1], how much of it ``[N, 1, 1, 1]`` from 0 to 1, randomness -> pictures.
Corruption = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def blur(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Average over squares of up to an eighth of the picture: what was never learned is soft."""
    levels = [x]
    for k in (2, 4, 8):
        small = F.avg_pool2d(x, k, ceil_mode=True)
        levels.append(F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False))
    at = much * (len(levels) - 1)
    for before, after in pairwise(levels):
        x = x + at.clamp(0, 1) * (after - before)
        at = at - 1
    return x


def noise(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Add grain, fine and coarse together."""
    fine = torch.randn(x.shape, generator=rng)
    small = torch.randn((len(x), 3, x.shape[-2] // 4, x.shape[-1] // 4), generator=rng)
    coarse = F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
    return (x + 0.5 * much * (0.6 * fine + coarse)).clamp(-1, 1)


def fade(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Take contrast away, towards the picture's own mean or towards a colour; of 1 nothing is left."""
    to = 0.5 * x.mean((-1, -2), keepdim=True) + 0.5 * (2 * torch.rand((len(x), 3, 1, 1), generator=rng) - 1)
    return x + much * (to - x)


def drift(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Let colours run away: each channel with a gain and a shift of its own."""
    gain = (0.8 * torch.randn((len(x), 3, 1, 1), generator=rng)).exp()
    shift = 0.5 * torch.randn((len(x), 3, 1, 1), generator=rng)
    return (x + much * (x * gain + shift - x)).clamp(-1, 1)


def crumble(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Take surfaces apart: each place is fetched from somewhere near, by a rough field."""
    n, _, h, w = x.shape
    field = F.interpolate(torch.randn((n, 2, h // 8, w // 8), generator=rng), size=(h, w), mode="nearest")
    field = field + F.interpolate(torch.randn((n, 2, h // 3, w // 3), generator=rng), size=(h, w), mode="nearest")
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    grid = torch.stack([columns, rows], -1) + 0.12 * much[:, 0, :, :, None] * field.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")


def patch(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Put a square of another picture of the batch into each."""
    n, _, h, w = x.shape
    at = torch.rand((n, 2), generator=rng)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    far = torch.maximum((rows[None] - at[:, :1, None]).abs(), (columns[None] - at[:, 1:, None]).abs())[:, None]
    return torch.where(far < 0.45 * much, x.roll(1, 0), x)


CORRUPTIONS: dict[str, Corruption] = {
    "blur": blur,
    "noise": noise,
    "fade": fade,
    "drift": drift,
    "crumble": crumble,
    "patch": patch,
}


def corrupt(pictures: Tensor, rng: torch.Generator, share: float = 0.6) -> tuple[Tensor, Tensor]:
    """Corrupt a ``share`` of pictures ``[N, 3, H, W]`` in [-1, 1], a third of them twice.

    Returns the pictures and how much of each corruption is in them, ``[N, corruptions]`` from 0 to 1. A pure function of ``rng``.
    """
    n, names = len(pictures), list(CORRUPTIONS)
    amounts = torch.zeros(n, len(names))
    for chance in (share, share / 3):
        hit = torch.rand(n, generator=rng) < chance
        which = torch.randint(len(names), (n,), generator=rng)
        amounts[hit, which[hit]] = torch.rand(n, generator=rng)[hit]
    pictures = pictures.clone()
    for i, name in enumerate(names):
        some = amounts[:, i] > 0
        if int(some.sum()) > (name == "patch"):  # a patch comes from another picture
            pictures[some] = CORRUPTIONS[name](pictures[some], amounts[some, i][:, None, None, None], rng)
        else:
            amounts[some, i] = 0.0
    return pictures, amounts
