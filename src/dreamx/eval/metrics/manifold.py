"""Distances between two sets of features: do generated pictures look like true ones, when they are not in pairs?

precision, recall: shares of one set inside the balls around the other's points that reach to their ``k``-th neighbour
(Kynkaanniemi et al. 2019, Improved Precision and Recall, section 3). density, coverage: the same question, less easily fooled by
an outlier (Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, section 3). kernel distance: the unbiased squared MMD with
the cubic kernel of KID (Binkowski et al. 2018, Demystifying MMD GANs, section 4).

Features are ``[n, d]``; all functions are pure, in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 1024  # of a matrix of distances at a time


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances ``[n, m]`` between the rows of ``a [n, d]`` and ``b [m, d]``."""
    _check(a, b)
    a, b = a.double(), b.double()
    # Not by a matrix product, which loses small distances to cancellation.
    return torch.cat([torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist") for rows in a.split(_ROWS)])


def radii(x: Tensor, k: int) -> Tensor:
    """Distance ``[n]`` of rows of ``x [n, d]`` to their ``k``-th nearest other row. ValueError unless 1 <= k < n."""
    if not 1 <= k < len(x):
        raise ValueError(f"k: {k} neighbours asked of {len(x)} pictures; ask for 1 to {len(x) - 1}, or give more pictures")
    return distances(x, x).kthvalue(k + 1, dim=1).values  # k + 1: the nearest row is the row itself


def inside(x: Tensor, truth: Tensor, k: int = 5) -> Tensor:
    """Mark rows of ``x [n, d]`` within the manifold of ``truth [m, d]``: bool ``[n]``. Its mean is the precision."""
    return (distances(x, truth) <= radii(truth, k)[None]).any(1)


def precision_recall(x: Tensor, truth: Tensor, k: int = 5) -> tuple[float, float]:
    """Return precision, the share of ``x [n, d]`` that looks true, and recall, the share of ``truth [m, d]`` found in ``x``."""
    return float(inside(x, truth, k).double().mean()), float(inside(truth, x, k).double().mean())


def density_coverage(x: Tensor, truth: Tensor, k: int = 5) -> tuple[float, float]:
    """Density (1 in the mean where ``x`` is distributed as ``truth``; it can be more) and coverage (a share 0 to 1)."""
    near = distances(x, truth) <= radii(truth, k)[None]
    return float(near.double().sum(1).mean() / k), float(near.any(0).double().mean())


def kernel_distance(x: Tensor, truth: Tensor) -> float:
    """Unbiased squared MMD of ``x [n, d]`` and ``truth [m, d]``, kernel ``(a . b / d + 1) ** 3``; it may be a little below 0.

    ValueError for fewer than two rows.
    """
    _check(x, truth)
    if min(len(x), len(truth)) < 2:
        raise ValueError(f"kernel distance needs two pictures on both sides, not {len(x)} and {len(truth)}")
    x, truth = x.double(), truth.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))  # without the diagonal: unbiased

    return float(among(x) + among(truth) - 2 * kernel(x, truth).mean())


def standardised(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets with the mean and deviation of ``truth`` taken out of each feature, so that none counts for its unit."""
    mean, deviation = truth.double().mean(0), truth.double().std(0).clamp_min(1e-6)  # a constant feature stays finite
    return (x.double() - mean) / deviation, (truth.double() - mean) / deviation


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be [n, d] of one d, not {list(a.shape)} and {list(b.shape)}")
