"""Confidence intervals of means: bootstrap over trials. Seeded, so that the same numbers give the same intervals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_DRAWS = 2000  # the ends of the interval then lie between 50 and 1950 of them
_SHARE = 0.95


@dataclass(frozen=True)
class BootstrapMean:
    """A mean of ``count`` trials and its interval of 95 %."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: list[float], seed: int = 0) -> BootstrapMean:
    """The mean of trials, and where it would lie with other trials of the same law (percentiles). ValueError without any."""
    if not values:
        raise ValueError("there is no value to average")
    x = torch.tensor(values, dtype=torch.float64)
    means = resample_means(x, seed)
    low, high = (float(means.quantile(q)) for q in ((1 - _SHARE) / 2, (1 + _SHARE) / 2))
    return BootstrapMean(float(x.mean()), low, high, len(values))


def resample_means(values: Tensor, seed: int = 0) -> Tensor:
    """Means ``[2000]`` of ``values [n]`` drawn again with replacement."""
    rng = torch.Generator().manual_seed(seed)
    index = torch.randint(len(values), (_DRAWS, len(values)), generator=rng)  # [2000, n]
    return values[index].mean(1)
