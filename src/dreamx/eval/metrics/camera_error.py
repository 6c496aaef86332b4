"""Camera scores: how far the path that a video shows is from the path that was commanded.

The protocol is WorldScore's (Duan et al. 2025, camera control), which DreamX-World 1.0 (section 5.1, Eq. 2) takes over. Both
paths start at the same camera. Rotations are compared as they are, translations after one factor for the whole path, because a
video has no scale. A path is a ``Camera`` with one time axis; estimators that read it from a video are in
``eval.estimators.pose``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to

WORST_DEGREES = 15.0  # WorldScore: from here on a rotation error scores 0
WORST_METRES = 0.5  # and from here on one of translation, in the units of the commanded path
_HALVINGS = 100  # each takes off a third: 2e-18 of the interval is left


@dataclass(frozen=True)
class CameraError:
    """degrees ``[F]`` and metres ``[F]``: of each frame, 0 for the first; ``scale``: factor on the read path."""

    degrees: Tensor
    metres: Tensor
    scale: float

    @property
    def rotation(self) -> float:
        """Mean geodesic angle over all frames, in degrees."""
        return float(self.degrees.mean())

    @property
    def translation(self) -> float:
        """Mean distance over all frames, in metres of the commanded path."""
        return float(self.metres.mean())

    @property
    def combined(self) -> float:
        """``sqrt(rotation * translation)``: DreamX-World 1.0, Eq. 2."""
        return sqrt(self.rotation * self.translation)

    @property
    def score(self) -> float:
        """0 (lost) to 100 (perfect): each error clipped, turned into a share, and the geometric mean of both (WorldScore)."""
        turned = 1 - min(self.rotation / WORST_DEGREES, 1.0)
        moved = 1 - min(self.translation / WORST_METRES, 1.0)
        return 100 * sqrt(turned * moved)  # 0 on either is 0: a lost camera is not saved by the other half


def camera_error(read: Camera, commanded: Camera) -> CameraError:
    """Compare the path read from a video with the commanded one, both ``[F]``, each seen from its own first camera.

    ValueError when the lengths differ, there is no second frame, or a number is not finite.
    """
    if len(read.shape) != 1 or read.shape != commanded.shape or len(read) < 2:
        raise ValueError(f"paths must both be [frames], 2 or more, not {tuple(read.shape)} and {tuple(commanded.shape)}")
    for name, path in (("read", read), ("commanded", commanded)):
        if not bool(path.pose.isfinite().all()):
            raise ValueError(f"the {name} path holds NaN or infinity; every pose must be finite")
    a, b = (relative_to(c.to(dtype=torch.float64), c[0].to(dtype=torch.float64)).pose for c in (read, commanded))
    scale = best_scale(a[:, :3, 3], b[:, :3, 3])
    metres = (b[:, :3, 3] - scale * a[:, :3, 3]).norm(dim=-1)  # [F]
    return CameraError(angle_between(a[:, :3, :3], b[:, :3, :3]), metres, scale)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Geodesic angle ``[...]`` in degrees, 0 to 180, between rotations ``[..., 3, 3]``; exact for small ones, too.

    The Frobenius norm of the difference of two rotations is ``2 sqrt(2) sin(angle / 2)``.
    """
    half = (a - b).flatten(-2).norm(dim=-1) / 8**0.5  # an arc cosine of the trace loses angles below 0.02 degrees in float32
    return torch.rad2deg(2 * torch.asin(half.clamp(max=1)))


def best_scale(moved: Tensor, commanded: Tensor) -> float:
    """The factor s >= 0 that minimises ``sum ||commanded - s moved||`` over positions ``[F, 3]``: of norms, not of squares.

    The sum is convex in s and each term is least at its own s, so the answer lies between the least and the greatest of these.
    A path that does not move is left as it is (1). Going the wrong way round is no scale: there the factor is 0.
    """
    squares = moved.square().sum(-1)
    goes = squares > 1e-18  # a nanometre: frames before the first step have no scale of their own
    if not bool(goes.any()):
        return 1.0
    own = (moved * commanded).sum(-1)[goes] / squares[goes]
    low, high = max(float(own.min()), 0.0), max(float(own.max()), 0.0)

    def cost(s: float) -> float:
        return float((commanded - s * moved).norm(dim=-1).sum())

    # Ternary search: the sum is convex but has kinks, so that no derivative is needed.
    for _ in range(_HALVINGS):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if cost(a) <= cost(b) else (a, high)
    return (low + high) / 2


def path_length(path: Camera) -> float:
    """Metres from the first camera to the last, along the path ``[F]``."""
    return float(path.pose[:, :3, 3].double().diff(dim=0).norm(dim=-1).sum())


@dataclass(frozen=True)
class OwnError:
    """Error of an estimator on true renders: mean degrees, and mean metres as a share of the length of the path; the same of
    the path in the middle.

    Printed beside every score that the estimator gives: a difference of scores below it means nothing.
    """

    degrees: float
    share: float
    paths: int
    median_degrees: float
    median_share: float

    def __str__(self) -> str:
        return (
            f"own error on {self.paths} true renders: {self.degrees:.2f} degrees and {100 * self.share:.1f} % of the path in the"
            f" mean, {self.median_degrees:.2f} and {100 * self.median_share:.1f} % in the median"
        )


def own_error(read: list[Camera], commanded: list[Camera]) -> OwnError:
    """Mean error of paths read from true renders. Paths that only turn count for the rotation alone; ValueError without any."""
    if not read:
        raise ValueError("there is no path to measure the estimator on")
    errors = [camera_error(a, b) for a, b in zip(read, commanded, strict=True)]
    lengths = [path_length(b) for b in commanded]
    degrees = [e.rotation for e in errors]
    # A turn on the spot has no length to be a share of.
    shares = [e.translation / length for e, length in zip(errors, lengths, strict=True) if length > _STANDS] or [0.0]
    return OwnError(fmean(degrees), fmean(shares), len(errors), median(degrees), median(shares))


_STANDS = 0.5  # metres: a shorter path has no direction to speak of
