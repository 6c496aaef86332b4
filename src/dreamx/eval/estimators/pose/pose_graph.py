"""A path from many motions between two frames: of all strides at once, and each frame where the motions that touch it agree best.

A chain of short steps adds up its errors, long steps see too little in common. Both together are a least-squares problem, first
of the rotations (their chordal relaxation, Martinec and Pajdla 2007), then of the places, which are linear in what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.geometry.camera import rigid


@dataclass(frozen=True)
class PairwiseMotions:
    """E motions: the pose of frame ``after [E]`` in the axes of frame ``before [E]``, ``pose [E, 4, 4]``, and how far each is
    trusted, ``weight [E]`` (above 0)."""

    before: Tensor
    after: Tensor
    pose: Tensor
    weight: Tensor


def frame_pairs(frames: int, steps: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """All pairs of frames that lie one of ``steps`` apart, and neighbours where frames are too few: before, after ``[E]``."""
    pairs = [(i, i + s) for s in steps for i in range(frames - s)]
    pairs = pairs or [(i, i + 1) for i in range(frames - 1)]
    before, after = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
    return before, after


def join_motions(parts: list[PairwiseMotions]) -> PairwiseMotions:
    """All motions of some lists."""
    before, after = torch.cat([p.before for p in parts]), torch.cat([p.after for p in parts])
    return PairwiseMotions(before, after, torch.cat([p.pose for p in parts]), torch.cat([p.weight for p in parts]))


def solve_path(frames: int, motions: PairwiseMotions) -> Tensor:
    """Poses ``[F, 4, 4]``, the first the identity, in float64; where all motions agree, they are kept exactly.

    Frames that no motion leads to lie between those around them, turned as the one before. ValueError when the last frame is
    led to by none.
    """
    before, after = motions.before, motions.after
    pose, weight = motions.pose.double(), motions.weight.double()
    touched = torch.zeros(frames, dtype=torch.bool)
    touched[before] = touched[after] = True
    if not bool(touched[-1]) or not bool(touched[0]):
        raise ValueError("no motion leads to the first or the last frame; read other pairs of frames")
    count = len(before)
    root = weight.sqrt()
    edge = torch.arange(count)
    # Rows of rotations: row r of R_after is row r of R_before times the motion's rotation.
    a = torch.zeros(count, 3, frames, 3, dtype=torch.float64)
    a[edge, :, after] = torch.eye(3, dtype=torch.float64) * root[:, None, None]
    a[edge, :, before] = -pose[:, :3, :3].mT * root[:, None, None]
    rows = _least(a.reshape(count * 3, frames * 3), torch.eye(3, dtype=torch.float64), torch.zeros(count * 3, 3).double())
    r = _rotations(rows.T.unflatten(1, (frames, 3)).transpose(0, 1))  # [F, 3, 3]
    b = torch.zeros(count, frames, dtype=torch.float64)
    b[edge, after] = root
    b[edge, before] = -root
    steps = (r[before] @ pose[:, :3, 3:])[..., 0] * root[:, None]
    t = _least(b, torch.zeros(1, 3, dtype=torch.float64), steps)
    return rigid(r, t)


def _least(a: Tensor, first: Tensor, right: Tensor) -> Tensor:
    """x ``[n, k]`` that solves ``a x = right`` best, its first rows given; what nothing speaks of is as smooth as can be."""
    known = len(first)
    loose, fixed = a[:, known:], a[:, :known]
    size = loose.shape[1]
    normal = loose.T @ loose
    between = torch.zeros(size, size + known, dtype=a.dtype)
    index = torch.arange(size)
    between[index, index + known], between[index, index] = 1, -1  # neighbours are alike, a very little
    rest = between[:, known:]
    normal = normal + _SMOOTH * rest.T @ rest
    wanted = loose.T @ (right - fixed @ first) - _SMOOTH * rest.T @ between[:, :known] @ first
    return torch.cat([first, torch.linalg.solve(normal, wanted)])


def _rotations(near: Tensor) -> Tensor:
    """The rotations ``[F, 3, 3]`` closest to these matrices."""
    u, _, vt = torch.linalg.svd(near)
    sign = torch.ones(len(near), 3, dtype=near.dtype)
    sign[:, 2] = torch.linalg.det(u @ vt)
    return u * sign[:, None] @ vt


_SMOOTH = 1e-9
