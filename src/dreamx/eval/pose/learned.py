"""The small learned estimator: reads the path from the pictures alone, knows nothing of what was commanded.

The recipe trains two, of other seeds and other scenes: one for tables and one for rewards, so that no world is praised for the
mistakes of the one it was trained by. ``dreamx eval estimators`` says what their own errors are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.eval.pose.graph import Motions, path, strides
from dreamx.eval.pose.motion import Motion, MotionConfig
from dreamx.geometry.camera import Camera, rays, se3_inverse
from dreamx.model import weights

_BATCH = 64  # pairs at once
_NARROW = 0.7  # of the network's own view must be in the picture, each way


@dataclass(frozen=True)
class Learned:
    """An ``Estimator``. ``seconds``: how far apart in time compared frames are; each pair is read both ways."""

    net: Motion
    seconds: tuple[float, ...] = (0.125, 0.25, 0.5)

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``; lengths are metres, as far as pictures tell. ValueError for a lens that sees too little."""
        if len(video) < 2:
            raise ValueError("a path needs a video of 2 frames or more")
        if not fps > 0:
            raise ValueError(f"fps must be a positive number, not {fps}")
        with torch.inference_mode():
            pictures = fitted(video, lens, self.net.config)
            features = torch.cat([self.net.features(p) for p in pictures.split(_BATCH)])
            before, after = strides(len(video), tuple(sorted({max(1, round(s * fps)) for s in self.seconds})))
            there, sure = self._moved(features, before, after)
            back, sure_back = self._moved(features, after, before)
            pose = torch.cat([se3_inverse(there), back])
            gap = (after - before).repeat(2)
            motions = Motions(before.repeat(2), after.repeat(2), pose, torch.cat([sure, sure_back]) / gap)
            poses = path(len(video), motions).float()
        return Camera(poses.clone(), lens.float().expand(len(video), 4))

    def _moved(self, features: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Rigid motions ``[E, 4, 4]`` from the first frames' axes to the second's, and how sure they are ``[E]``."""
        moves: list[Tensor] = []
        sure: list[Tensor] = []
        for i, j in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
            seen = self.net.seen(features[i], features[j])
            moves.append(self.net.solve(seen))
            sure.append(seen.weight.mean((1, 2)) + 1e-3)
        return torch.cat(moves), torch.cat(sure)


def fitted(video: Tensor, lens: Tensor, config: MotionConfig) -> Tensor:
    """``video`` uint8 ``[F, 3, H, W]`` as the network's lens and size show it: ``[F, 3, size, size]`` in [-1, 1].

    Larger pictures are averaged down. What the network would see beyond the picture's edge repeats the edge.
    """
    x = video.float() / 127.5 - 1
    own = torch.tensor(config.lens)
    if video.shape[-2:] == (config.size, config.size) and torch.allclose(lens.float(), own, atol=1e-3):
        return x
    share = (own[:2] / lens[:2].float()).min()
    if share < _NARROW:
        seen, needed = (f"{100 * float(x):.0f} %" for x in (share, _NARROW))
        raise ValueError(f"lens: it sees {seen} of what the estimator looks at; {needed} are needed")
    looks = rays(own, config.size, config.size)
    at = looks[..., :2] * lens[:2].float() + lens[2:].float()  # where in the picture, 0 to 1
    rows, cols = (round(config.size * float(own[i] / lens[i])) for i in (1, 0))  # as fine as the network's own
    x = F.interpolate(x, size=(max(rows, 2), max(cols, 2)), mode="bilinear", antialias=True, align_corners=False)
    return F.grid_sample(x, (2 * at - 1).expand(len(x), -1, -1, -1), padding_mode="border", align_corners=False)


def load(folder: Path) -> Learned:
    """The estimator of a folder that the stage ``train.pose`` wrote."""
    net = Motion(weights.read_config(folder, "motion", MotionConfig))
    weights.load_into(net, folder / "motion.safetensors")
    return Learned(net.eval())
