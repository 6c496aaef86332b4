"""Estimators of a camera's path from a video. One protocol, ``estimate(video, lens, fps) -> Camera``, and four that keep it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dreamx.geometry.camera import Camera


class Estimator(Protocol):
    """Reads ``video`` uint8 ``[F, 3, H, W]``, taken through one ``lens [4]`` at ``fps``: cameras ``[F]``, the first
    at the origin.

    The unit of length is the estimator's own. ValueError when nothing can be read, with the reason.
    """

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera: ...
