"""Paths from motions, and motions from points, against cameras that are known."""

from __future__ import annotations

import pytest
import torch

from dreamx.eval.estimators.pose.align import explained_pixels
from dreamx.eval.estimators.pose.pose_graph import PairwiseMotions, frame_pairs, solve_path
from dreamx.eval.estimators.pose.rigid_motion import Observations, solve_motion
from dreamx.eval.metrics.camera_error import camera_error
from dreamx.geometry.camera import Camera, cat, lens_from_fov, level, rays, rigid, rotation, se3_inverse
from dreamx.geometry.controls import from_keys, walk

KEYS = ["w"] * 8 + ["wj"] * 16 + ["dk"] * 8 + ["l"] * 8
LENS = torch.tensor(lens_from_fov(70, 64, 64))


def cameras() -> Camera:
    start = level(dtype=torch.float64)
    return cat([start.map(lambda x: x[None]), walk(start, from_keys(KEYS))])


def between(camera: Camera, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return se3_inverse(camera.pose[before]) @ camera.pose[after]


def test_motions_that_agree_give_the_path_back() -> None:
    camera = cameras()
    before, after = frame_pairs(len(camera), (2, 5))
    got = solve_path(len(camera), PairwiseMotions(before, after, between(camera, before, after), torch.rand(len(before)) + 0.1))
    assert torch.allclose(got, se3_inverse(camera.pose[:1]) @ camera.pose, atol=1e-7)
    assert camera_error(Camera(got, camera.lens), camera).score == pytest.approx(100, abs=1e-3)


def test_a_motion_that_is_hardly_trusted_hardly_counts() -> None:
    camera = cameras()
    before, after = frame_pairs(len(camera), (1, 4))
    pose = between(camera, before, after)
    wild = rigid(rotation("y", torch.tensor(40.0)), torch.ones(3)).double()
    pose[10] = pose[10] @ wild
    weight = torch.ones(len(before))
    trusting = camera_error(Camera(solve_path(len(camera), PairwiseMotions(before, after, pose, weight)), camera.lens), camera)
    weight[10] = 1e-6
    careful = camera_error(Camera(solve_path(len(camera), PairwiseMotions(before, after, pose, weight)), camera.lens), camera)
    assert careful.rotation < 1e-3 < trusting.rotation
    assert careful.translation < 1e-3 < trusting.translation


def test_long_strides_hold_a_noisy_chain_together() -> None:
    camera = cameras()
    rng = torch.Generator().manual_seed(0)

    def read(steps: tuple[int, ...]) -> float:
        before, after = frame_pairs(len(camera), steps)
        noise = rotation("y", 0.5 * torch.randn(len(before), generator=rng, dtype=torch.float64))
        pose = between(camera, before, after) @ rigid(noise, torch.zeros(len(before), 3).double())
        got = solve_path(len(camera), PairwiseMotions(before, after, pose, 1 / (after - before)))
        return camera_error(Camera(got, camera.lens), camera).rotation

    assert sum(read((1, 4, 8)) for _ in range(5)) < 0.6 * sum(read((1,)) for _ in range(5))


def test_frames_without_a_motion_lie_between_the_others() -> None:
    camera = cameras()
    before = torch.arange(0, 40, 4)
    got = solve_path(41, PairwiseMotions(before, before + 4, between(camera, before, before + 4), torch.ones(10)))
    assert torch.allclose(got[::4], camera.pose[::4], atol=1e-6)
    error = camera_error(Camera(got, camera.lens), camera)
    assert error.translation < 0.1
    with pytest.raises(ValueError, match="the last frame"):
        solve_path(42, PairwiseMotions(before, before + 4, between(camera, before, before + 4), torch.ones(10)))


def points(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions ``[256, 3]`` and how far there something is, metres ``[1, 256]``."""
    cells = rays(LENS, 16, 16).flatten(0, 1)
    return cells, 1 + 9 * torch.rand(1, len(cells), generator=torch.Generator().manual_seed(seed))


def seen_from(cells: torch.Tensor, distance: torch.Tensor, move: torch.Tensor) -> torch.Tensor:
    moved = (cells * distance[..., None]) @ move[:, :3, :3].mT + move[:, None, :3, 3]
    return moved[..., :2] / moved[..., 2:]


def test_geometry_finds_the_motion_that_moved_the_points() -> None:
    cells, distance = points(0)
    turn = rotation("y", torch.tensor([14.0])) @ rotation("x", torch.tensor([-5.0]))
    want = rigid(turn, torch.tensor([[0.4, -0.1, 0.6]]))
    to = seen_from(cells, distance, want)
    weight = torch.ones(1, len(cells), 2)
    assert torch.allclose(solve_motion(cells, Observations(to, weight, distance), 6), want, atol=1e-3)
    assert torch.allclose(solve_motion(cells, Observations(to, weight, distance), 1, want), want, atol=1e-4)
    to[:, :50] += 0.3  # wrong, and known to be wrong
    weight[:, :50] = 0
    assert torch.allclose(solve_motion(cells, Observations(to, weight, distance), 6), want, atol=1e-3)


def test_weights_go_along_the_axes_that_are_given() -> None:
    """Every point is wrong along a line of its own: where that line has no weight, the motion is still found."""
    cells, distance = points(1)
    rng = torch.Generator().manual_seed(2)
    want = rigid(rotation("y", torch.tensor([3.0])), torch.tensor([[0.2, 0.1, 0.3]]))
    angle = 7 * torch.rand(1, len(cells), generator=rng)
    x, y = angle.cos(), angle.sin()
    axes = torch.stack([x, y, -y, x], -1).unflatten(-1, (2, 2))
    wrong = 0.05 * torch.randn(1, len(cells), 1, generator=rng).abs() * axes[:, :, 0]
    to = seen_from(cells, distance, want) + wrong
    weight = torch.tensor([0.0, 1.0]).expand(1, len(cells), 2)
    assert torch.allclose(solve_motion(cells, Observations(to, weight, distance, axes), 8), want, atol=1e-3)
    assert not torch.allclose(solve_motion(cells, Observations(to, torch.ones_like(weight), distance), 8), want, atol=2e-3)


def test_a_doubtful_depth_is_not_taken_for_a_turn() -> None:
    """A camera goes aside before far ground and near things, whose distance is guessed badly."""
    rng = torch.Generator().manual_seed(3)
    depth = 6 + 14 * torch.rand(1, 64, 64, generator=rng)
    near = torch.rand(1, 64, 64, generator=rng) < 0.5
    depth = torch.where(near, 1.5, depth)
    guessed = torch.where(near, 1.0 + torch.rand(1, 64, 64, generator=rng), depth)
    want = rigid(torch.eye(3)[None], torch.tensor([[0.3, 0.0, 0.0]]))
    directions = rays(LENS, 64, 64)
    to = seen_from(directions.flatten(0, 1), depth.flatten(1), want).unflatten(1, (64, 64))
    flow = ((to - directions[..., :2]) * LENS[:2] * 64).movedim(-1, 1)

    def off(doubt: float) -> float:
        got, _ = explained_pixels(flow, torch.eye(2).expand(1, 64, 64, 2, 2), guessed, LENS, None, doubt)
        return float((got - want).abs().max())

    assert off(0.3) < 0.7 * off(0.0)
