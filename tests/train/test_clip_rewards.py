"""Rewards of clips: the scores of eval as they are, by networks for rewards, beside the networks that tables use."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dreamx.checkpoints import native
from dreamx.clip import Clip, latent_cameras
from dreamx.eval.estimators.features.feature_accuracy import shipped_features
from dreamx.eval.estimators.pose.flow_estimator import FlowEstimator
from dreamx.eval.estimators.pose.pose_accuracy import shipped_estimator
from dreamx.frames import clean
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.model.kv_cache import KVCache
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train.candidates import Candidates
from dreamx.train.clip_rewards import ClipScorer, GroupJudge, RewardConfig, describe, scorers, true_frames
from dreamx.train.latents import LatentClips
from repo import TESTS

CLIPS = [Clip.load(f) for f in sorted((TESTS / "files/micro").glob("*.safetensors"))]
NET, _ = shipped_features("reward")


def path(frames: int) -> Camera:
    """Ahead, turning: a metre and ten degrees every eight frames."""
    n = torch.arange(frames).float()
    pose = rigid(rotation("y", 10 * n / 8), torch.stack([0 * n, 0 * n, n / 8], -1))
    return Camera(pose, level().lens.expand(frames, 4))


class Told:
    """An estimator that answers with a path, and keeps what it was asked."""

    def __init__(self, camera: Camera | None) -> None:
        self.camera, self.asked = camera, list[tuple[int, float]]()

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        self.asked.append((len(video), fps))
        if self.camera is None:
            raise ValueError("a plain wall")
        return self.camera


def scorer(camera: Camera | None, every: int = 1, reference: Tensor | None = None) -> ClipScorer:
    return ClipScorer(Told(camera), NET, torch.zeros(8, 137) if reference is None else reference, 16.0, every)


def test_the_camera_is_scored_against_the_path_of_the_latents() -> None:
    video, whole = torch.zeros(17, 3, 32, 32, dtype=torch.uint8), path(17)
    asked = latent_cameras(whole)
    right = scorer(whole)
    assert right.camera(video, asked) == pytest.approx(1.0)
    scaled = Camera(whole.pose.clone(), whole.lens)
    scaled.pose[:, :3, 3] *= 3.0
    assert scorer(scaled).camera(video, asked) == pytest.approx(1.0, abs=1e-4), "a video has no scale"
    still = Camera(torch.eye(4).expand(17, 4, 4), whole.lens)
    mirrored = Camera(torch.linalg.inv(whole.pose), whole.lens)
    assert 1 > scorer(Camera(whole.pose[torch.arange(17) // 2], whole.lens)).camera(video, asked) > 0
    assert scorer(still).camera(video, asked) == scorer(mirrored).camera(video, asked) == 0.0
    assert scorer(None).camera(video, asked) == 0.0, "what cannot be read is not rewarded"
    for every in (2, 4):
        fewer = scorer(whole[::every], every)
        assert fewer.camera(video, asked) == pytest.approx(1.0)
        assert isinstance(fewer.estimator, Told) and fewer.estimator.asked == [(16 // every + 1, 16.0 / every)]


def test_true_frames_are_nearer_to_the_truth_than_spoilt_ones() -> None:
    true = torch.cat([clip.video[::4] for clip in CLIPS[1:]])
    judge = scorer(None, reference=describe(NET, true))
    video = CLIPS[0].video
    soft = F.avg_pool2d(video.float(), 5, 1, 2).to(torch.uint8)
    noise = (video.float() + 40 * torch.randn(video.shape, generator=Generator().manual_seed(0))).clamp(0, 255).to(torch.uint8)
    grey = torch.full_like(video, 128)
    best = judge.quality(video)
    assert 0 > best > max(judge.quality(x) for x in (soft, noise, grey))
    first = torch.cat([noise[:1], video[1:]])
    assert judge.quality(first) == best, "the frame that was given does not count"


def test_what_rewards_is_not_what_tables_use() -> None:
    pictures = torch.cat([clip.video[::8] for clip in CLIPS])
    rewards, watch = scorers(RewardConfig(every=2), pictures, 12.0)
    assert (rewards.fps, rewards.every, watch.every) == (12.0, 2, 2)
    assert rewards.features is shipped_features("reward")[0] and watch.features is shipped_features("evaluation")[0]
    readers = rewards.estimator, watch.estimator, shipped_estimator("reward")[0], shipped_estimator("evaluation")[0]
    weights = [torch.cat([p.flatten() for p in r.depth.parameters()]) for r in readers if isinstance(r, FlowEstimator)]
    assert torch.equal(weights[0], weights[2]) and torch.equal(weights[1], weights[3])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(rewards.reference, watch.reference) and len(rewards.reference) == len(pictures)
    with pytest.raises(ValueError, match=r"reward\.references: their clips have 4 frames, and 5 are compared; give more"):
        scorers(RewardConfig(), pictures[:4], 12.0)


def test_a_group_is_judged_and_watched() -> None:
    camera = level().map(lambda x: x.expand(4, 3, *x.shape))
    z = torch.arange(3.0)[None, :, None, None, None].expand(4, 3, 8, 4, 4)
    frames = clean(z, camera)
    group = Candidates(2, frames[:1], [(KVCache(), frames[1:2]), (KVCache(), frames[2:])], [""])
    videos = torch.stack([CLIPS[i].video[:9] for i in range(4)])
    true = torch.cat([clip.video[::4] for clip in CLIPS])
    judge = GroupJudge(RewardConfig(camera=0.0), true, 0.25, 16.0)
    rewards, said = judge.judge(group, videos, False)
    assert tuple(rewards.shape) == (1, 2, 2)
    assert said["quality"] == rewards.mean() and said["data_motion"] == 0.25
    assert float(said["quality_spread"]) == pytest.approx(float((rewards[0, :, 0] - rewards[0, :, 1]).abs().mean() / 2))
    assert float(said["motion"]) == 1.0, "from a latent to the next, the history's last included"
    assert float(said["sharpness"]) == pytest.approx(1.0, abs=0.5)
    assert not any(name.startswith("watch") for name in said)
    _, said = judge.judge(group, videos, True)
    assert said["watch_quality"] != said["quality"]
    both = GroupJudge(RewardConfig(every=1), true, 0.25, 16.0)
    both.rewards = replace(both.rewards, estimator=Told(level().map(lambda x: x.expand(9, *x.shape))))
    rewards, said = both.judge(group, videos, False)
    assert both.names == ["camera", "quality"] and torch.equal(rewards[0], torch.ones(2, 2, dtype=torch.float64))


def test_true_frames_are_the_autoencoders() -> None:
    vae = native.load(TESTS / "golden/start/autoencoder", "vae", VAE, VAEConfig).eval()
    data = LatentClips(TESTS / "golden/start/latents.safetensors")
    pictures, motion = true_frames(vae, data, 3, Generator().manual_seed(0), torch.device("cpu"))
    assert tuple(pictures.shape) == (3 * data.frames, 3, 32, 32) and pictures.dtype == torch.uint8
    known, _ = data.batch(3, Generator().manual_seed(0))
    assert motion == pytest.approx(float(known.z.diff(dim=1).abs().mean()))


def test_a_reward_has_a_weight() -> None:
    with pytest.raises(ValueError, match=r"reward\.camera and reward\.quality are both 0"):
        RewardConfig(0.0, 0.0)
    assert RewardConfig(2.0, 0.0).weights == {"camera": 2.0}
