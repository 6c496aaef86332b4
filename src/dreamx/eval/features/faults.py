"""Ways in which a dream goes wrong, put into true pictures by a known amount: what a feature network must not be blind to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Fault = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def blur(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """What was never learned is soft: up to a tenth of the picture."""
    side = x.shape[-1]
    soft, out = x, x
    levels = [x]
    for k in (2, 4, 8):
        small = F.avg_pool2d(soft, k)
        levels.append(F.interpolate(small, size=(x.shape[-2], side), mode="bilinear"))
    at = much * (len(levels) - 1)
    for i in range(len(levels) - 1):
        share = (at - i).clamp(0, 1)
        out = out + share * (levels[i + 1] - levels[i])
    return out


def noise(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Grain, fine and coarse together."""
    fine = torch.randn(x.shape, generator=rng)
    coarse = F.interpolate(torch.randn((len(x), 3, x.shape[-2] // 4, x.shape[-1] // 4), generator=rng), size=x.shape[-2:], mode="bilinear")
    return (x + 0.5 * much * (0.6 * fine + coarse)).clamp(-1, 1)


def fade(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Contrast goes, towards the picture's own mean or towards a colour."""
    to = 0.5 * x.mean((-1, -2), keepdim=True) + 0.5 * (2 * torch.rand((len(x), 3, 1, 1), generator=rng) - 1)
    return x + 0.85 * much * (to - x)


def drift(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Colours run away: each channel with a gain and a shift of its own."""
    gain = (0.8 * torch.randn((len(x), 3, 1, 1), generator=rng)).exp()
    shift = 0.5 * torch.randn((len(x), 3, 1, 1), generator=rng)
    return (x + much * (x * gain + shift - x)).clamp(-1, 1)


def crumble(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Surfaces come apart: places are fetched from somewhere near, by a rough field."""
    n, _, h, w = x.shape
    field = F.interpolate(torch.randn((n, 2, h // 8, w // 8), generator=rng), size=(h, w), mode="nearest")
    field = field + F.interpolate(torch.randn((n, 2, h // 3, w // 3), generator=rng), size=(h, w), mode="nearest")
    y, z = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    grid = torch.stack([z, y], -1) + 0.12 * much[:, 0, :, :, None] * field.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")


def patch(x: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """A part of another picture stands in this one."""
    n, _, h, w = x.shape
    other = x.roll(1, 0)
    at = torch.rand((n, 2), generator=rng)
    y, z = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    far = torch.maximum((y[None] - at[:, :1, None]).abs(), (z[None] - at[:, 1:, None]).abs())[:, None]
    return torch.where(far < 0.45 * much, other, x)


FAULTS: dict[str, Fault] = {"blur": blur, "noise": noise, "fade": fade, "drift": drift, "crumble": crumble, "patch": patch}


def spoil(pictures: Tensor, rng: torch.Generator, often: float = 0.6) -> tuple[Tensor, Tensor]:
    """Pictures ``[N, 3, H, W]`` in [-1, 1], ``often`` of them with a fault (a third of those with a second), and how much of each
    ``[N, faults]``, 0 to 1. A pure function of ``rng``."""
    n = len(pictures)
    names = list(FAULTS)
    amounts = torch.zeros(n, len(names))
    for chance in (often, often / 3):
        hit = torch.rand(n, generator=rng) < chance
        which = torch.randint(len(names), (n,), generator=rng)
        amounts[hit, which[hit]] = torch.rand(n, generator=rng)[hit]
    for i, name in enumerate(names):
        some = amounts[:, i] > 0
        if int(some.sum()) > (name == "patch"):  # a patch comes from another picture
            pictures = pictures.clone()
            pictures[some] = FAULTS[name](pictures[some], amounts[some, i][:, None, None, None], rng)
        else:
            amounts[some, i] = 0.0
    return pictures, amounts
