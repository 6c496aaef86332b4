"""The estimator for simulated scenes: where would the camera have to be for the true place to look like this frame?

Each frame is aligned with the true render of its commanded camera, seen from ever closer to where the frame says that it is. So
a video that equals the truth is read exactly, and errors do not add up over time. But what is not the true place cannot be read,
and a frame that went too far keeps the offset of the frame before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval.pose.align import moved
from dreamx.geometry.camera import Camera, relative_to, se3_inverse
from dreamx.geometry.reproject import reproject

_ROUNDS = 3
_LEAST = 0.08  # share of the pixels that must speak for a motion


@dataclass(frozen=True)
class Aligned:
    """An ``Estimator`` for videos of one path: that of ``truth``, which needs depth."""

    truth: Clip

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``. ValueError when the truth has no depth or another size or length."""
        if self.truth.depth is None:
            raise ValueError("the true clip has no depth; render it again with depth")
        if video.shape != self.truth.video.shape:
            raise ValueError(f"the video is {tuple(video.shape)} and the truth {tuple(self.truth.video.shape)}; they must agree")
        camera, depth = self.truth.camera.to(dtype=torch.float32), self.truth.depth.float()
        depth = torch.where(torch.isfinite(depth), depth, 0.0)
        rgb = self.truth.video.float() / 255
        offset = torch.eye(4).expand(len(video), 4, 4)
        for turn in range(_ROUNDS):
            picture, far = rgb, depth
            if turn:
                view = reproject(rgb, depth, camera, Camera(camera.pose @ offset, camera.lens))
                picture, far = view.rgb, view.depth * (view.known > 0.5)
            move, sure = moved(picture, video, far, lens)
            offset = _carried(offset @ se3_inverse(move), sure >= _LEAST)
        return relative_to(Camera(camera.pose @ offset, camera.lens), Camera(camera.pose[0] @ offset[0], camera.lens[0]))


def _carried(offset: Tensor, good: Tensor) -> Tensor:
    """Where it is not good, the last good one; the identity before the first."""
    index = torch.where(good, torch.arange(len(good)), -1).cummax(0).values
    return torch.where((index >= 0)[:, None, None], offset[index.clamp(min=0)], torch.eye(4))
