"""Estimators that read what others wrote, align with the truth, or ask COLMAP, on clips that the simulator made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.eval.estimators.pose.align import relative_motion
from dreamx.eval.estimators.pose.aligned_to_truth import AlignedToTruth
from dreamx.eval.estimators.pose.colmap import Colmap
from dreamx.eval.estimators.pose.flow_estimator import FlowEstimator
from dreamx.eval.estimators.pose.path_files import MegaSam, Vggt
from dreamx.eval.estimators.pose.pose_accuracy import NETS, EstimatorsConfig, estimate_all, shipped_estimator
from dreamx.eval.estimators.shipped import ShippedName, read_card
from dreamx.eval.metrics.camera_error import camera_error, path_length
from dreamx.eval.suites.true_clips import VideoFormat, render_truth
from dreamx.geometry.camera import Camera, lens_from_fov, relative_to, se3_inverse
from dreamx.geometry.path import resample
from repo import TESTS

MICRO = TESTS / "files/micro"


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A walk of the simulator, with depth."""
    return Clip.load(MICRO / "0000000_00.safetensors")


def test_the_truth_is_read_exactly(clip: Clip) -> None:
    read = AlignedToTruth(clip)(clip.video, clip.camera.lens[0], clip.fps)
    assert camera_error(read, clip.camera).score > 99


def test_a_video_that_runs_ahead_is_found_ahead(clip: Clip) -> None:
    """What is shown at frame t is true at t + 1: that is where its camera is found."""
    late = replace(clip, video=clip.video[:-1], camera=clip.camera[:-1], actions=clip.actions[:-1], depth=clip.depth[:-1])  # type: ignore[index]
    ahead = clip.camera[1:]
    read = AlignedToTruth(late)(clip.video[1:], clip.camera.lens[0], clip.fps)
    ours, commanded = camera_error(read, ahead), camera_error(late.camera, ahead)
    assert ours.rotation < 0.5
    assert ours.rotation < 0.5 * commanded.rotation or commanded.rotation < 0.2


def test_a_picture_that_stands_still_is_left_behind(clip: Clip) -> None:
    frozen = clip.video[:1].expand_as(clip.video).contiguous()
    read = camera_error(AlignedToTruth(clip)(frozen, clip.camera.lens[0], clip.fps), clip.camera)
    stands = camera_error(Camera(clip.camera.pose[:1].expand_as(clip.camera.pose), clip.camera.lens), clip.camera)
    assert read.rotation == pytest.approx(stands.rotation, rel=0.3, abs=0.5)
    assert read.score < stands.score + 10


def test_frames_that_are_lost_lie_between_those_that_are_not(clip: Clip) -> None:
    video = clip.video.clone()
    video[4:7] = torch.randint(0, 256, video[4:7].shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    read = AlignedToTruth(clip)(video, clip.camera.lens[0], clip.fps)
    assert camera_error(read, clip.camera).score > 97


def test_noise_is_not_read_as_motion(clip: Clip) -> None:
    noise = torch.randint(0, 256, clip.video.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with pytest.raises(ValueError, match="no frame of the video looks like the true place"):
        AlignedToTruth(clip)(noise, clip.camera.lens[0], clip.fps)
    with pytest.raises(ValueError, match="must agree"):
        AlignedToTruth(clip)(clip.video[1:], clip.camera.lens[0], clip.fps)
    with pytest.raises(ValueError, match="no depth"):
        AlignedToTruth(replace(clip, depth=None))(clip.video, clip.camera.lens[0], clip.fps)


def test_the_motion_between_two_frames_is_found_by_flow_and_depth(clip: Clip) -> None:
    assert clip.depth is not None
    pose = clip.camera.pose
    want = se3_inverse(pose[1:]) @ pose[:-1]
    depth = torch.where(clip.depth.float().isfinite(), clip.depth.float(), 0.0)
    got, sure = relative_motion(clip.video[:-1], clip.video[1:], depth[:-1], clip.camera.lens[0])
    degrees = (se3_inverse(got) @ want)[:, :3, :3].diagonal(dim1=-2, dim2=-1).sum(-1).sub(1).div(2).clamp(max=1).acos().rad2deg()
    assert float(degrees.median()) < 0.3
    assert float((got - want)[:, :3, 3].norm(dim=-1).median()) < 0.03
    assert float(sure.min()) > 0.1


def test_files_of_megasam_and_vggt(clip: Clip, tmp_path: Path) -> None:
    pose = clip.camera.pose.double()
    k = np.array([[45.7, 0, 32], [0, 45.7, 32], [0, 0, 1]])
    np.savez(tmp_path / "m.npz", cam_c2w=pose.numpy(), intrinsic=k)
    np.savez(tmp_path / "v.npz", extrinsic=se3_inverse(pose)[None, :, :3].numpy(), intrinsic=k)
    lens = clip.camera.lens[0]
    for estimator in (MegaSam(tmp_path / "m.npz"), Vggt(tmp_path / "v.npz")):
        read = estimator(clip.video, lens, clip.fps)
        assert torch.allclose(
            read.pose, relative_to(Camera(pose, clip.camera.lens.double()), Camera(pose[0], lens)).pose, atol=1e-5
        )
        assert camera_error(read, clip.camera).score > 99.9
        with pytest.raises(ValueError, match="run the estimator on every frame"):
            estimator(clip.video[1:], lens, clip.fps)
    with pytest.raises(ValueError, match="no extrinsic"):
        Vggt(tmp_path / "m.npz")(clip.video, lens, clip.fps)
    with pytest.raises(ValueError, match="No such file"):
        MegaSam(tmp_path / "none.npz")(clip.video, lens, clip.fps)


def test_colmap_says_what_it_cannot_read() -> None:
    pytest.importorskip("pycolmap")
    plain = torch.full((9, 3, 64, 64), 128, dtype=torch.uint8)
    with pytest.raises(ValueError, match="COLMAP placed 0 of 3 frames"):
        Colmap()(plain, torch.tensor([0.714, 0.714, 0.5, 0.5]), 16.0)


def test_frames_between_those_that_were_placed_lie_between(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    pose = clip.camera.pose.double()

    def placed(folder: Path, video: torch.Tensor, frames: list[int], lens: torch.Tensor, overlap: int) -> dict[int, torch.Tensor]:
        return {i: pose[i] for i in frames if i != frames[1]}

    monkeypatch.setattr("dreamx.eval.estimators.pose.colmap.reconstruct", placed)
    read = Colmap(stride=2, least=0.5)(clip.video, clip.camera.lens[0], clip.fps)
    assert len(read) == len(clip.video)
    last = len(clip.video) - 1
    want = relative_to(clip.camera[last], clip.camera[0]).pose.double()
    assert torch.allclose(read.pose[last], want, atol=1e-5)
    middle = resample(Camera(torch.stack([pose[0], pose[4]]), clip.camera.lens[:2].double()), torch.tensor([0.25]))
    assert torch.allclose(read.pose[1], relative_to(middle[0], Camera(pose[0], middle.lens[0])).pose, atol=1e-5)


def test_an_estimators_own_error_counts_what_it_cannot_read(clip: Clip) -> None:
    def perfect(video: torch.Tensor, lens: torch.Tensor, fps: float) -> Camera:
        return relative_to(clip.camera, clip.camera[0])

    def blind(video: torch.Tensor, lens: torch.Tensor, fps: float) -> Camera:
        raise ValueError("too dark")

    assert estimate_all("perfect", perfect, [clip, clip]).degrees == pytest.approx(0, abs=1e-2)
    stands = camera_error(Camera(torch.eye(4).expand_as(clip.camera.pose), clip.camera.lens), clip.camera)
    assert estimate_all("blind", blind, [clip]).degrees == pytest.approx(stands.rotation)


@pytest.mark.parametrize("name", ["evaluation", "reward"])
def test_a_shipped_estimator_reads_walks_it_was_not_told(name: ShippedName) -> None:
    """64 x 64 pixels of two held-out scenes, rendered here: each within 2 degrees and a tenth of the path."""
    estimator, error = shipped_estimator(name)
    assert error.paths >= 12
    for index in (3, 5):
        clip = render_truth(FIRST_HELD_OUT_SEED + index, "walk", VideoFormat(64, 64, lens_from_fov(70, 64, 64), 16.0))
        part = replace(clip, video=clip.video[:25], camera=clip.camera[:25], actions=clip.actions[:25], depth=None)
        found = camera_error(estimator(part.video, part.camera.lens[0], part.fps), part.camera)
        assert found.rotation < 2
        assert found.translation < 0.1 * path_length(part.camera)


def test_what_rewards_is_another_network_than_what_evaluates() -> None:
    """Of another seed and other scenes, none of which is held out."""
    ours, other = read_card(NETS / "evaluation"), read_card(NETS / "reward")
    assert ours.seed != other.seed
    assert ours.scenes[1] <= other.scenes[0] or other.scenes[1] <= ours.scenes[0]
    assert max(ours.scenes[1], other.scenes[1]) <= FIRST_HELD_OUT_SEED
    a, b = shipped_estimator("evaluation")[0], shipped_estimator("reward")[0]
    assert isinstance(a, FlowEstimator)
    assert isinstance(b, FlowEstimator)
    assert not torch.allclose(a.depth.out.weight, b.depth.out.weight, atol=1e-3)


def test_videos_that_are_too_short_or_have_no_time_are_named() -> None:
    estimator, _ = shipped_estimator("evaluation")
    video, lens = torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.tensor(lens_from_fov(70, 64, 64))
    with pytest.raises(ValueError, match="2 frames"):
        estimator(video[:1], lens, 16.0)
    with pytest.raises(ValueError, match="fps"):
        estimator(video, lens, 0.0)


def test_estimators_are_measured_on_scenes_that_nobody_trains_on() -> None:
    with pytest.raises(ValueError, match="first_seed must be 1000000 or more"):
        EstimatorsConfig(first_seed=5)
    with pytest.raises(ValueError, match="clips must be 1 or more"):
        EstimatorsConfig(clips=0)
