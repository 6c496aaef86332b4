"""Stills that a small feature network learns in seconds: checkers, their width and colour, and a square in some."""

from __future__ import annotations

import torch

from dreamx.data.sim.stills import THINGS, Stills
from dreamx.eval.estimators.features.net import FeatureConfig

SMALL = FeatureConfig((16, 16, 16, 16), (1, 0, 0, 0), 16)


def planted(seed: int, count: int = 24) -> Stills:
    """Checkers of a kind's own width in a look's own colour, one thing in some of them."""
    rng = torch.Generator().manual_seed(seed)
    kind, look = (torch.randint(n, (count,), generator=rng) for n in (2, 3))
    there = torch.rand(count, generator=rng) < 0.5
    pictures = torch.zeros(count, 3, 64, 64)
    row = torch.arange(64)
    for i in range(count):
        width = 4 + 8 * int(kind[i])
        pictures[i, int(look[i])] = 200.0 * ((row[:, None] // width + row // width) % 2)
        if there[i]:
            pictures[i, :, 20:44, 20:44] = 255
    things = torch.zeros(count, len(THINGS), dtype=torch.bool)
    things[:, 3] = there
    return Stills(pictures.to(torch.uint8), torch.ones(count, 8, 8) * (1.0 + kind[:, None, None]), kind, look, things)
