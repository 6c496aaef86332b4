"""Memory scores: is a place that comes back the place that it was? DreamX-World 1.0, section 5.3 and table 5.

A *revisit* is two frames of one video, far apart in time, whose cameras agree. How alike they look is only worth something above
how alike frames of the same gap look that do *not* agree: a slow camera would get credit otherwise. That difference is the gain.
What "alike" means is in ``similarity``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.geometry.camera import Camera

NEAR_DEGREES = 2.0  # of yaw
NEAR_METRES = 0.1
GAP = 0.2  # share of the video's frames
WEIGHT = 10.0  # degrees that a metre counts as
_DRAWN = 4  # frames that do not agree, drawn for each revisit

#: Pictures ``[N, 3, H, W]`` uint8 -> one vector each ``[N, D]``: a backbone, or a stand-in.
Embed = Callable[[Tensor], Tensor]
#: Pictures ``[N, 3, H, W]`` uint8 and as many others -> how alike each two are ``[N]``, more is more alike.
Compare = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class RevisitPairs:
    """Frames of one video by two, ``before [N]`` and ``after [N]``."""

    before: Tensor
    after: Tensor

    def __len__(self) -> int:
        return len(self.before)


@dataclass(frozen=True)
class RevisitGains:
    """Gains by measure: ``gain`` is ``revisit`` (mean over revisits) less ``other`` (mean over what does not agree)."""

    gain: dict[str, float]
    revisit: dict[str, float]
    other: dict[str, float]
    pairs: int


def yaw(camera: Camera) -> Tensor:
    """Headings ``[...]`` in degrees, 0 along +z, positive to the right."""
    forward = camera.pose[..., :3, 2].double()
    return torch.rad2deg(torch.atan2(forward[..., 0], forward[..., 2]))


def angular_distance(camera: Camera) -> tuple[Tensor, Tensor]:
    """Degrees of yaw ``[T, T]``, 0 to 180, and metres ``[T, T]`` between every two frames of ``camera [T]``."""
    heading, place = yaw(camera), camera.pose[:, :3, 3].double()
    degrees = ((heading[:, None] - heading + 180) % 360 - 180).abs()  # 359 and 1 are 2 apart
    # Not by a matrix product: equal places must be 0 m apart, not the root of a rounding error.
    return degrees, torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist")


def views_agree(camera: Camera) -> Tensor:
    """Mark pairs of frames ``[T, T]`` that look the same way from the same place, at any time."""
    degrees, metres = angular_distance(camera)
    return (degrees <= NEAR_DEGREES + 1e-6) & (metres <= NEAR_METRES + 1e-6)  # two steps of 1 degree are 2, give or take rounding


def find_revisits(camera: Camera) -> RevisitPairs:
    """Pair each frame of ``camera [T]`` that comes back with the earlier frame that it agrees with best.

    Earlier by ``floor(0.2 T)`` frames or more; the best is least in ``|yaw| + 10 |metres|``, the earliest of equals.
    """
    frames = len(camera)
    degrees, metres = angular_distance(camera)
    index = torch.arange(frames)
    early = index[:, None] - index >= max(1, int(GAP * frames))  # [after, before]
    # Rounded, so that equals are equal on every machine and the earliest is taken.
    cost = torch.where(views_agree(camera) & early, (degrees + WEIGHT * metres).round(decimals=6), torch.inf)
    least, before = cost.min(dim=1)
    after = index[least.isfinite()]
    return RevisitPairs(before[after], after)


def control_pairs(camera: Camera, pairs: RevisitPairs, seed: int = 0) -> RevisitPairs:
    """Frames that do not agree, the same frames apart: up to four for each revisit, drawn by ``seed``.

    Where no two frames with that gap disagree, the nearest gap that has such frames is taken; empty when all frames agree.
    """
    far = ~views_agree(camera)  # [T, T]
    frames = len(camera)
    by_gap = {gap: torch.nonzero(far.diagonal(gap)).flatten().numpy() for gap in range(1, frames)}
    known = np.array([gap for gap, found in by_gap.items() if len(found)])
    if not len(known):
        return RevisitPairs(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    rng = np.random.default_rng(seed)
    before: list[int] = []
    after: list[int] = []
    for gap in (pairs.after - pairs.before).tolist():
        nearest = int(known[np.abs(known - gap).argmin()])
        drawn = rng.choice(by_gap[nearest], min(_DRAWN, len(by_gap[nearest])), replace=False).tolist()
        before += drawn
        after += [i + nearest for i in drawn]
    return RevisitPairs(torch.tensor(before, dtype=torch.long), torch.tensor(after, dtype=torch.long))


def revisit_gains(video: Tensor, camera: Camera, measures: dict[str, Compare], seed: int = 0) -> RevisitGains:
    """Compare the similarity of revisits in ``video [T, 3, H, W]`` uint8 with that of frames with only the same gap.

    ``camera [T]`` is the commanded path. ValueError when lengths differ, nothing is revisited, or there is nothing to compare
    with.
    """
    if len(camera.shape) != 1 or len(video) != len(camera):
        raise ValueError(f"the video has {len(video)} frames and the path {tuple(camera.shape)}; give one camera a frame")
    pairs = find_revisits(camera)
    if not len(pairs):
        raise ValueError("the path never comes back to a place; memory is measured on paths that do")
    base = control_pairs(camera, pairs, seed)
    if not len(base):
        raise ValueError("the path never leaves its place, so there is nothing to compare a revisit with")
    means: list[dict[str, float]] = []
    for which in (pairs, base):
        means.append({n: float(of(video[which.before], video[which.after]).mean()) for n, of in measures.items()})
    again, other = means
    return RevisitGains({n: again[n] - other[n] for n in measures}, again, other, len(pairs))


def steadiness(video: Tensor, embed: Embed) -> float:
    """Mean cosine of neighbouring frames of ``video [T, 3, H, W]``: CLIP-V when ``embed`` is the picture side of CLIP.

    -1 to 1; ValueError for a video of fewer than 2 frames.
    """
    if len(video) < 2:
        raise ValueError("a video of 2 frames or more is needed to compare neighbours")
    vectors = embed(video).float()
    return float(F.cosine_similarity(vectors[:-1], vectors[1:], dim=-1).mean())
