"""Stretches taken from a clip: one, or two that see the same place at different times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dreamx.data.dataset import Clips
from dreamx.geometry.overlap import overlap


@dataclass(frozen=True)
class Window:
    """``frames`` in a row, anywhere in a clip; clips that are shorter are left out. Long ones are windows with many frames."""

    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"window.frames must be 1 or more, not {self.frames}")

    def least(self) -> int:
        """Frames that a clip must have."""
        return self.frames

    def starts(self, clips: Clips, i: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the first frame of its stretch."""
        return (int(rng.integers(clips.row(i).frames - self.frames + 1)),)


@dataclass(frozen=True)
class Revisit:
    """Two stretches of ``frames``: the later one ends with a view of which at least ``share`` was seen at the end of the earlier
    one, that lies ``apart`` frames or more before. Where a clip has no such pair, the one that shares most."""

    frames: int
    apart: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.frames < 1 or self.apart < self.frames:
            raise ValueError(
                f"revisit.frames must be 1 or more and apart no less, or the two are one; not {self.frames} and {self.apart}"
            )
        if not 0 <= self.share <= 1:
            raise ValueError(f"revisit.share must lie between 0 and 1, not {self.share}")

    def least(self) -> int:
        """Frames that a clip must have."""
        return self.frames + self.apart

    def starts(self, clips: Clips, i: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the first frames of its two stretches."""
        cameras = clips.cameras(i)
        ends = torch.arange(self.frames - 1, len(cameras))  # last frames of all possible stretches
        if len(ends) > _VIEWS:  # of long clips, views evenly spread and shifted at random
            step = len(ends) / _VIEWS
            ends = ends[((torch.arange(_VIEWS) + float(rng.random())) * step).long()]
        seen = cameras[ends]
        share = overlap(seen[:, None], seen[None])  # [later, earlier]
        allowed = ends[:, None] - ends[None] >= self.apart
        share = torch.where(allowed, share, -1.0)  # below any overlap
        good = (share >= self.share).nonzero()
        if len(good):
            later, earlier = good[int(rng.integers(len(good)))].tolist()
        else:
            later, earlier = divmod(int(share.argmax()), len(ends))
        first = self.frames - 1
        if share[later, earlier] < 0:  # the spread-out views of a clip that is just long enough are too near each other
            return (0, len(cameras) - self.frames)
        return (int(ends[earlier]) - first, int(ends[later]) - first)


_VIEWS = 48  # a table of 48 x 48 overlaps, however long the clip
