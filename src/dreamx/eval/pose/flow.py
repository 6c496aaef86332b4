"""An estimator made of parts that are there: the flow between frames, and the depth that a world's own network guesses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.eval import motion
from dreamx.eval.pose.align import explained, moved_again, returned
from dreamx.eval.pose.graph import Motions, path, strides
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.model import weights
from dreamx.model.depth import Depth, DepthConfig

_BATCH = 32  # pairs at once


@dataclass(frozen=True)
class ByFlow:
    """An ``Estimator``. ``seconds``: how far apart in time compared frames are; each pair is read both ways."""

    depth: Depth
    seconds: tuple[float, ...] = (0.125, 0.25)

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``; lengths are metres, as far as the depth network tells."""
        if len(video) < 2:
            raise ValueError("a path needs a video of 2 frames or more")
        if not fps > 0:
            raise ValueError(f"fps must be a positive number, not {fps}")
        with torch.inference_mode():
            far = torch.cat([self.depth.metres(x.float() / 127.5 - 1) for x in video.split(_BATCH)])
            before, after = strides(len(video), tuple(sorted({max(1, round(s * fps)) for s in self.seconds})))
            there, sure, back, sure_back = self._moved(video, far, lens, before, after)
            weight = (torch.cat([sure, sure_back]) + 1e-3) / (after - before).repeat(2)
            motions = Motions(before.repeat(2), after.repeat(2), torch.cat([se3_inverse(there), back]), weight)
            poses = path(len(video), motions).float()
        return Camera(poses.clone(), lens.float().expand(len(video), 4))

    def _moved(self, video: Tensor, far: Tensor, lens: Tensor, first: Tensor, second: Tensor) -> list[Tensor]:
        """Motions from the first frames to the second and how sure they are, and the same back."""
        parts: list[tuple[Tensor, ...]] = []
        for i, j in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
            there, back = motion.flow(video[i], video[j]), motion.flow(video[j], video[i])
            first_guess, _ = explained(there, returned(there, back), far[i], lens)
            other_guess, _ = explained(back, returned(back, there), far[j], lens)
            parts.append(
                (
                    *moved_again(video[i], video[j], far[i], lens, first_guess),
                    *moved_again(video[j], video[i], far[j], lens, other_guess),
                )
            )
        return [torch.cat(x) for x in zip(*parts, strict=True)]


def load(folder: Path) -> ByFlow:
    """With the depth network of a world's folder. ValueError where it has none."""
    net = Depth(weights.read_config(folder, "depth", DepthConfig))
    weights.load_into(net, folder / "depth.safetensors")
    return ByFlow(net.eval())
