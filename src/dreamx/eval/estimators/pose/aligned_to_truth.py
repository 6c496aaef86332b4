"""The estimator for simulated scenes: where would the camera have to be for the true place to look like this frame?

Each frame is aligned with the true render of its commanded camera, seen from ever closer to where the frame says that it is. So
a video that equals the truth is read exactly, and errors do not add up over time. What does not look like the true place cannot
be read: between frames that can the camera lies between, and after the last one it stays there. A picture that stands still while
the camera is commanded on is so left behind, and not given the benefit of the doubt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval.estimators.pose.align import relative_motion
from dreamx.geometry.camera import Camera, relative_to, se3_inverse
from dreamx.geometry.path import resample
from dreamx.geometry.reproject import reproject

_ROUNDS = 3
_LEAST = 0.08  # share of the pixels that must speak for a motion


@dataclass(frozen=True)
class AlignedToTruth:
    """An ``Estimator`` for videos of one path: that of ``truth``, which needs depth."""

    truth: Clip

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``. ValueError when the truth has no depth, or another size or length, or no frame looks like it."""
        if self.truth.depth is None:
            raise ValueError("the true clip has no depth; render it again with depth")
        if video.shape != self.truth.video.shape:
            raise ValueError(f"the video is {tuple(video.shape)} and the truth {tuple(self.truth.video.shape)}; they must agree")
        camera, depth = self.truth.camera.to(dtype=torch.float32), self.truth.depth.float()
        depth = torch.where(torch.isfinite(depth), depth, 0.0)
        rgb = self.truth.video.float() / 255
        offset, good = torch.eye(4).expand(len(video), 4, 4), torch.ones(len(video), dtype=torch.bool)
        for turn in range(_ROUNDS):
            picture, far = rgb, depth
            if turn:
                view = reproject(rgb, depth, camera, Camera(camera.pose @ offset, camera.lens))
                picture, far = view.rgb, view.depth * (view.known > 0.5)
            move, sure = relative_motion(picture, video, far, lens, plain=True)
            good = sure >= _LEAST
            offset = _carried(offset @ se3_inverse(move), good)
        at = good.nonzero().flatten()
        if not len(at):
            raise ValueError("no frame of the video looks like the true place, so nothing can be read from it")
        found = Camera(camera.pose[at] @ offset[at], camera.lens[at])
        when = torch.arange(len(video)).clamp(int(at[0]), int(at[-1]))
        after = torch.searchsorted(at, when).clamp(max(0, min(1, len(at) - 1)), len(at) - 1)
        before = (after - 1).clamp(min=0)
        part = (when - at[before]) / (at[after] - at[before]).clamp(min=1)
        path = resample(found, (before + part).double())
        return relative_to(path, path[0])


def _carried(offset: Tensor, good: Tensor) -> Tensor:
    """Return the offsets to start the next search from: the last good one so far; the identity before the first."""
    index = torch.where(good, torch.arange(len(good)), -1).cummax(0).values
    return torch.where((index >= 0)[:, None, None], offset[index.clamp(min=0)], torch.eye(4))
