"""An estimator made of parts that are there: the flow between frames, and the depth that a world's own network guesses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.checkpoints import native
from dreamx.eval.estimators.pose.align import refine_motion, relative_motion
from dreamx.eval.estimators.pose.pose_graph import PairwiseMotions, frame_pairs, join_motions, solve_path
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.model.depth_net import Depth, DepthConfig

_BATCH = 32  # pairs at once
_DOUBT = 0.2  # of a guessed depth: as a share of it


@dataclass(frozen=True)
class FlowEstimator:
    """An ``Estimator``. ``seconds``: how far apart in time compared frames are, the shortest first."""

    depth: Depth
    seconds: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5)

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``; lengths are metres, as far as the depth network tells."""
        if len(video) < 2:
            raise ValueError("a path needs a video of 2 frames or more")
        if not fps > 0:
            raise ValueError(f"fps must be a positive number, not {fps}")
        with torch.inference_mode():
            far = torch.cat([self.depth.metres(x.float() / 127.5 - 1) for x in video.split(_BATCH)])
            poses = estimate_path(video, far, lens, tuple(sorted({max(1, round(s * fps)) for s in self.seconds})))
        return Camera(poses.clone(), lens.float().expand(len(video), 4))


def estimate_path(video: Tensor, far: Tensor, lens: Tensor, steps: tuple[int, ...], start: Tensor | None = None) -> Tensor:
    """Poses ``[F, 4, 4]`` of a video ``[F, 3, H, W]`` with guessed depth ``far [F, H, W]``, both ways over pairs ``steps`` apart.

    Each step begins where the path so far leads (the first at ``start``, or where nothing moves), because flow is only good at
    what is small; and a path of all steps drifts less than one of the short ones.
    """
    poses = start
    found: list[PairwiseMotions] = []
    for step in steps:
        before, after = frame_pairs(len(video), (step,))
        guess = None if poses is None else se3_inverse(poses[after]) @ poses[before]
        there, sure = _moved(video, far, lens, (before, after), guess)
        back, sure_back = _moved(video, far, lens, (after, before), None if guess is None else se3_inverse(guess))
        pose, weight = torch.cat([se3_inverse(there), back]), torch.cat([sure, sure_back]) + 1e-3
        found.append(PairwiseMotions(before.repeat(2), after.repeat(2), pose, weight))
        poses = solve_path(len(video), join_motions(found)).float()
    assert poses is not None
    return poses


def _moved(video: Tensor, far: Tensor, lens: Tensor, pair: tuple[Tensor, Tensor], guess: Tensor | None) -> tuple[Tensor, Tensor]:
    """Motions ``[E, 4, 4]`` from the axes of the first frames to those of the second, and how sure they are ``[E]``.

    Nobody's guess is no motion at all: plain walls seem to stand still, and would be believed."""
    parts: list[tuple[Tensor, Tensor]] = []
    for index, (i, j) in enumerate(zip(pair[0].split(_BATCH), pair[1].split(_BATCH), strict=True)):
        a, b, depth = video[i], video[j], far[i]
        first = relative_motion(a, b, depth, lens)[0] if guess is None else guess[index * _BATCH :][: len(i)]
        parts.append(refine_motion(a, b, depth, lens, first, _DOUBT))
    move, sure = zip(*parts, strict=True)
    return torch.cat(move), torch.cat(sure)


def load_flow_estimator(folder: Path) -> FlowEstimator:
    """Build the estimator on the depth network of a world's folder. ValueError where it has none."""
    return FlowEstimator(native.load(folder, "depth", Depth, DepthConfig).eval())
