"""Rewards of clips: scores of ``eval`` as they are, by networks that no table uses.

Camera: WorldScore's score of the path that is read from the video. Quality: how near frames are to the manifold of true ones, by
the measure of ``eval hold`` (learned features, and texture, so that blur does not pay). Both want no true video of the same path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dreamx.bounds import NonNegativeFloat, PositiveInt
from dreamx.eval.estimators.features.feature_accuracy import (
    features_of,
    load_features,
    shipped_features,
)
from dreamx.eval.estimators.features.net import FeatureNet
from dreamx.eval.estimators.pose import Estimator
from dreamx.eval.estimators.pose.flow_estimator import load_flow_estimator
from dreamx.eval.estimators.pose.pose_accuracy import shipped_estimator
from dreamx.eval.metrics.camera_error import camera_error
from dreamx.eval.metrics.hold import NEIGHBOURS, STRIDE, comparable, described
from dreamx.eval.metrics.manifold import distances
from dreamx.eval.metrics.psnr import gradient_energy
from dreamx.geometry.camera import Camera
from dreamx.model.vae import GROUP, VAE, to_bytes
from dreamx.train.candidates import Candidates
from dreamx.train.latents import LatentClips


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the rewards; each is standardised within its group before they are added."""

    camera: NonNegativeFloat = 1.0
    """Weight of the accuracy of the camera: rotation and translation. 0: not scored."""
    quality: NonNegativeFloat = 1.0
    """Weight of the nearness of frames to true ones. 0: not scored."""
    every: Literal[1, 2, 4] = 2
    """Frames from one that the camera is read from to the next."""
    references: PositiveInt = 24
    """True clips, as the autoencoder shows them, that frames are compared with."""

    def __post_init__(self) -> None:
        if not self.camera and not self.quality:
            raise ValueError("reward.camera and reward.quality are both 0; give one of them a weight")

    @property
    def weights(self) -> dict[str, float]:
        """Weights by the names of rewards, without those that are not scored."""
        return {name: w for name, w in (("camera", self.camera), ("quality", self.quality)) if w}


@dataclass(frozen=True)
class ClipScorer:
    """Scores of clips by one pair of networks. reference: ``describe`` of true frames ``[M, D]``; fps: of all clips;
    every: as in ``RewardConfig``."""

    estimator: Estimator
    features: FeatureNet
    reference: Tensor
    fps: float
    every: int = 1

    def camera(self, video: Tensor, path: Camera) -> float:
        """Score the path that ``video`` uint8 ``[1 + 4 T, 3, H, W]`` shows against the commanded one ``[1 + T]``: 0 to 1.

        Each path is seen from its own first camera. 0 where nothing can be read.
        """
        try:
            read = self.estimator(video[:: self.every], path.lens[0], self.fps / self.every)
        except ValueError:
            return 0.0
        return camera_error(read[:: GROUP // self.every], path).score / 100

    def quality(self, video: Tensor) -> float:
        """Return how near the frames of ``video`` uint8 ``[1 + 4 T, 3, H, W]`` are to true ones: 0 at most.

        The negative of the mean distance to the 5th nearest true frame; the first frame, which is given, does not count.
        """
        x, truth = comparable(describe(self.features, video[STRIDE::STRIDE]), self.reference)
        return -float(distances(x, truth).kthvalue(NEIGHBOURS, 1).values.mean())

    def scores(self, videos: Tensor, path: Camera, names: list[str]) -> Tensor:
        """Return the rewards of these names ``[N, B]`` of ``videos [B, 1 + 4 T, 3, H, W]`` along ``path [B, 1 + T]``."""
        path = path.to("cpu", torch.float32)
        rows = [
            [self.camera(video, path[i]) if name == "camera" else self.quality(video) for i, video in enumerate(videos)]
            for name in names
        ]
        return torch.tensor(rows, dtype=torch.float64)


class GroupJudge:
    """Rewards of groups of candidates, and figures that tell whether they are earned honestly.

    The second scorer is of the networks that tables use, and nothing is learned from it: a reward that rises while its score does
    not is earned by what the first overlooks. ``true`` and ``motion`` as of ``true_frames``.
    """

    def __init__(
        self,
        cfg: RewardConfig,
        true: Tensor,
        motion: float,
        fps: float,
        pose: Path | None = None,
        features: Path | None = None,
    ) -> None:
        self.names, self.motion, self.sharp = list(cfg.weights), motion, gradient_energy(true).mean()
        self.rewards, self.watch = scorers(cfg, true, fps, pose, features)

    def judge(self, group: Candidates, videos: Tensor, watched: bool) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Return the rewards ``[N, C, G]`` of decoded candidates, and figures for the log; watched: also by the second scorer.

        NAME: mean reward; NAME_spread: mean deviation within a group; sharpness: gradient energy by that of true frames; motion:
        mean change of a latent to the next, beside data_motion, that of true clips; watch_NAME: by the second scorer.
        """
        found = self.rewards.scores(videos, group.path, self.names)
        each = found.unflatten(1, (-1, group.group))
        said: dict[str, Tensor | float] = {}
        for name, row in zip(self.names, each, strict=True):
            said |= {name: row.mean(), f"{name}_spread": row.std(1, correction=0).mean()}
        whole = torch.cat([group.lead.z[:, -1:], group.clip.z], 1)
        said |= {"sharpness": gradient_energy(videos[:, 1:]).mean() / self.sharp, "motion": whole.diff(dim=1).abs().mean()}
        said["data_motion"] = self.motion
        if watched:
            other = self.watch.scores(videos, group.path, self.names)
            said |= {f"watch_{name}": row.mean() for name, row in zip(self.names, other, strict=True)}
        return each, said


def scorers(
    cfg: RewardConfig, pictures: Tensor, fps: float, pose: Path | None = None, features: Path | None = None
) -> tuple[ClipScorer, ClipScorer]:
    """Return two scorers with true ``pictures`` uint8 ``[M, 3, H, W]``: for rewards, and of the networks that tables use.

    pose, features: folders of networks for rewards; None: those that come with dreamx. ValueError for too few pictures.
    """
    if len(pictures) < NEIGHBOURS:
        raise ValueError(f"reward.references: their clips have {len(pictures)} frames, and {NEIGHBOURS} are compared; give more")
    reader = shipped_estimator("reward")[0] if pose is None else load_flow_estimator(pose)
    net = shipped_features("reward")[0] if features is None else load_features(features)
    other, beside = shipped_estimator("evaluation")[0], shipped_features("evaluation")[0]
    return (
        ClipScorer(reader, net, describe(net, pictures), fps, cfg.every),
        ClipScorer(other, beside, describe(beside, pictures), fps, cfg.every),
    )


def describe(net: FeatureNet, pictures: Tensor) -> Tensor:
    """Describe pictures uint8 ``[N, 3, H, W]`` as ``eval hold`` does: ``[N, D]``."""
    return described(pictures, lambda x: features_of(net, x))


@torch.no_grad()
def true_frames(vae: VAE, data: LatentClips, clips: int, rng: torch.Generator, device: torch.device) -> tuple[Tensor, float]:
    """Decode clips drawn at random: every fourth frame uint8 ``[M, 3, H, W]``, and the mean change of a latent to the next."""
    known, _ = data.batch(clips, rng)
    shown = [to_bytes(vae.decode(z[None].to(device)).rgb[0, ::STRIDE]).cpu() for z in known.z]
    return torch.cat(shown), float(known.z.diff(dim=1).abs().mean())
