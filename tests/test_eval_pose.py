"""Paths from motions, and the learned estimator's geometry, against cameras that are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamx.eval.camera import camera_error
from dreamx.eval.pose.graph import Motions, path, strides
from dreamx.eval.pose.learned import Learned, fitted, load
from dreamx.eval.pose.motion import Motion, MotionConfig, Seen, solve
from dreamx.geometry.camera import Camera, cat, level, rigid, rotation, se3_inverse
from dreamx.geometry.controls import from_keys, walk
from dreamx.model import weights

KEYS = ["w"] * 8 + ["wj"] * 16 + ["dk"] * 8 + ["l"] * 8
SMALL = MotionConfig(size=16, widths=(16, 16, 16), match=8, across=1, down=1, blocks=1)


def cameras() -> Camera:
    start = level(dtype=torch.float64)
    return cat([start.map(lambda x: x[None]), walk(start, from_keys(KEYS))])


def between(camera: Camera, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return se3_inverse(camera.pose[before]) @ camera.pose[after]


def test_motions_that_agree_give_the_path_back() -> None:
    camera = cameras()
    before, after = strides(len(camera), (2, 5))
    got = path(len(camera), Motions(before, after, between(camera, before, after), torch.rand(len(before)) + 0.1))
    assert torch.allclose(got, se3_inverse(camera.pose[:1]) @ camera.pose, atol=1e-7)
    assert camera_error(Camera(got, camera.lens), camera).score == pytest.approx(100, abs=1e-3)


def test_a_motion_that_is_hardly_trusted_hardly_counts() -> None:
    camera = cameras()
    before, after = strides(len(camera), (1, 4))
    pose = between(camera, before, after)
    wild = rigid(rotation("y", torch.tensor(40.0)), torch.ones(3)).double()
    pose[10] = pose[10] @ wild
    weight = torch.ones(len(before))
    trusting = camera_error(Camera(path(len(camera), Motions(before, after, pose, weight)), camera.lens), camera)
    weight[10] = 1e-6
    careful = camera_error(Camera(path(len(camera), Motions(before, after, pose, weight)), camera.lens), camera)
    assert careful.rotation < 1e-3 < trusting.rotation
    assert careful.translation < 1e-3 < trusting.translation


def test_long_strides_hold_a_noisy_chain_together() -> None:
    camera = cameras()
    rng = torch.Generator().manual_seed(0)

    def read(steps: tuple[int, ...]) -> float:
        before, after = strides(len(camera), steps)
        noise = rotation("y", 0.5 * torch.randn(len(before), generator=rng, dtype=torch.float64))
        pose = between(camera, before, after) @ rigid(noise, torch.zeros(len(before), 3).double())
        got = path(len(camera), Motions(before, after, pose, 1 / (after - before)))
        return camera_error(Camera(got, camera.lens), camera).rotation

    assert sum(read((1, 4, 8)) for _ in range(5)) < 0.6 * sum(read((1,)) for _ in range(5))


def test_frames_without_a_motion_lie_between_the_others() -> None:
    camera = cameras()
    before = torch.arange(0, 40, 4)
    got = path(41, Motions(before, before + 4, between(camera, before, before + 4), torch.ones(10)))
    assert torch.allclose(got[::4], camera.pose[::4], atol=1e-6)
    error = camera_error(Camera(got, camera.lens), camera)
    assert error.translation < 0.1
    with pytest.raises(ValueError, match="the last frame"):
        path(42, Motions(before, before + 4, between(camera, before, before + 4), torch.ones(10)))


def test_geometry_finds_the_motion_that_moved_the_points() -> None:
    net = Motion(MotionConfig())
    cells = net.cells()
    rng = torch.Generator().manual_seed(0)
    distance = 1 + 9 * torch.rand(1, len(cells), generator=rng)
    turn = rotation("y", torch.tensor([14.0])) @ rotation("x", torch.tensor([-5.0]))
    want = rigid(turn, torch.tensor([[0.4, -0.1, 0.6]]))
    moved = (cells * distance[..., None]) @ want[:, :3, :3].mT + want[:, None, :3, 3]
    to = moved[..., :2] / moved[..., 2:]
    weight = torch.ones(1, len(cells), 2)
    assert torch.allclose(solve(cells, Seen(to, weight, distance), 6), want, atol=1e-3)
    to[:, :50] += 0.3  # wrong, and known to be wrong
    weight[:, :50] = 0
    assert torch.allclose(solve(cells, Seen(to, weight, distance), 6), want, atol=1e-3)


def test_the_correlation_is_that_of_the_cells_around() -> None:
    net = Motion(MotionConfig(size=32, across=2, down=1))
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2, 5, 8, 8, generator=rng)
    got = net.correlate(a, b)  # [2, 15, 8, 8]
    assert got.shape == (2, 15, 8, 8)
    for (dy, dx), offset in zip([(dy, dx) for dy in (-1, 0, 1) for dx in (-2, -1, 0, 1, 2)], range(15), strict=True):
        for y, x in ((0, 0), (3, 4), (7, 7)):
            inside = 0 <= y + dy < 8 and 0 <= x + dx < 8
            want = (a[:, :, y, x] * b[:, :, y + dy, x + dx]).sum(1) if inside else torch.zeros(2)
            assert torch.allclose(got[:, offset, y, x], want, atol=1e-5)


def test_another_lens_is_looked_through_as_the_own() -> None:
    config = MotionConfig()
    own = torch.tensor(config.lens)
    video = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.equal(fitted(video, own, config), video.float() / 127.5 - 1)
    # A picture of twice the view in each direction has ours in its middle half.
    wide = torch.full((2, 3, 128, 128), 7, dtype=torch.uint8)
    wide[:, :, 32:96, 32:96] = video
    got = fitted(wide, torch.tensor([own[0] / 2, own[1] / 2, 0.5, 0.5]), config)
    assert float((got - (video.float() / 127.5 - 1))[..., 4:-4, 4:-4].abs().max()) < 1e-3
    assert got.shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="lens: it sees 50 %"):
        fitted(video, torch.tensor([2 * own[0], 2 * own[1], 0.5, 0.5]), config)


def test_an_estimator_is_saved_and_read_and_gives_a_camera_a_frame(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Motion(SMALL)
    weights.save(tmp_path, {"motion": (net, SMALL)})
    video = torch.randint(0, 256, (9, 3, 16, 16), dtype=torch.uint8)
    lens = torch.tensor(SMALL.lens)
    got = load(tmp_path)(video, lens, 16.0)
    assert got.shape == (9,)
    assert torch.equal(got.pose[0], torch.eye(4))
    assert torch.equal(got.pose, Learned(net.eval())(video, lens, 16.0).pose)
    with pytest.raises(ValueError, match="2 frames"):
        load(tmp_path)(video[:1], lens, 16.0)
    with pytest.raises(ValueError, match="fps"):
        load(tmp_path)(video, lens, 0.0)
