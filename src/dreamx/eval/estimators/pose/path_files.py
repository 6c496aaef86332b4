"""Paths that large estimators, run elsewhere, have left in files: MegaSaM and VGGT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to, se3_inverse
from dreamx.geometry.formats import MotionOptions, read
from dreamx.geometry.formats.arrays import read_npy, read_npz


@dataclass(frozen=True)
class MegaSam:
    """An ``Estimator``: MegaSaM's ``.npz`` of this video (``cam_c2w [F, 4, 4]``)."""

    file: Path

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``. ValueError when the file is not readable, or not of as many frames."""
        height, width = video.shape[-2:]
        motion = read("megasam", {"": _bytes(self.file)}, MotionOptions(fps=fps, size=(width, height)))
        return _of(motion.camera.pose, video, lens, self.file)


@dataclass(frozen=True)
class Vggt:
    """An ``Estimator``: VGGT's predictions of this video as ``.npz`` (``extrinsic [F, 3, 4]``, world-to-camera, OpenCV)."""

    file: Path

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``. ValueError when the file is not readable, or not of as many frames."""
        arrays = read_npz(_bytes(self.file), str(self.file))
        if "extrinsic" not in arrays:
            raise ValueError(f"{self.file} has no extrinsic; its arrays are {', '.join(arrays) or 'none'}")
        x = read_npy(arrays["extrinsic"], "extrinsic").double()
        x = x[0] if x.ndim == 4 and len(x) == 1 else x
        if x.ndim != 3 or x.shape[1:] != (3, 4):
            raise ValueError(f"{self.file}: extrinsic must be [frames, 3, 4], not {list(x.shape)}")
        last = torch.tensor([0.0, 0, 0, 1]).double().expand(len(x), 1, 4)
        return _of(se3_inverse(torch.cat([x, last], 1)), video, lens, self.file)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as e:
        raise ValueError(f"{file}: {e.strerror}; give the estimator's output for this video") from e


def _of(pose: Tensor, video: Tensor, lens: Tensor, file: Path) -> Camera:
    if len(pose) != len(video):
        raise ValueError(f"{file} has {len(pose)} cameras and the video {len(video)} frames; run the estimator on every frame")
    if not bool(pose.isfinite().all()):
        raise ValueError(f"{file}: a camera holds NaN or infinity")
    camera = Camera(pose.double(), lens.double().expand(len(pose), 4))
    return relative_to(camera, camera[0])
