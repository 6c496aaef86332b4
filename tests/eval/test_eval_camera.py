"""Camera scores against paths whose errors are known by construction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.eval.metrics.camera_error import angle_between, best_scale, camera_error, own_error, path_length
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.geometry.controls import from_keys, walk

KEYS = ["w"] * 16 + ["wj"] * 16 + ["dk"] * 8


def path() -> Camera:
    return walk(level(dtype=torch.float64), from_keys(KEYS))


def changed(camera: Camera, r: Tensor | None = None, shift: Tensor | None = None, scale: float = 1.0) -> Camera:
    """Every frame but the first turned by ``r`` in its own axes and moved by ``shift`` in those of the first camera."""
    pose = camera.pose.clone()
    first = pose[0].clone()
    pose[:, :3, 3] = first[:3, 3] + scale * (pose[:, :3, 3] - first[:3, 3])
    if r is not None:
        pose[1:, :3, :3] = pose[1:, :3, :3] @ r
    if shift is not None:
        pose[1:, :3, 3] += first[:3, :3] @ shift
    return Camera(pose, camera.lens)


def test_perfect_is_100() -> None:
    error = camera_error(path(), path())
    assert (error.rotation, error.translation) == (0, pytest.approx(0, abs=1e-9))
    assert error.score == pytest.approx(100)
    assert error.combined == pytest.approx(0, abs=1e-9)


def test_where_the_world_has_its_origin_and_what_its_unit_is_do_not_matter() -> None:
    move = rigid(rotation("y", torch.tensor(70.0, dtype=torch.float64)), torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64))
    moved = Camera(move @ path().pose, path().lens)
    assert camera_error(moved, path()).score == pytest.approx(100)
    error = camera_error(changed(path(), scale=0.2), path())
    assert error.scale == pytest.approx(5)
    assert error.score == pytest.approx(100)


@pytest.mark.parametrize("degrees", [0.001, 1.0, 7.5, 30.0])
def test_a_known_rotation_is_read_as_such(degrees: float) -> None:
    r = rotation("x", torch.tensor(degrees, dtype=torch.float64))
    error = camera_error(changed(path(), r), path())
    share = (len(KEYS) - 1) / len(KEYS)  # the first frame is right
    assert error.rotation == pytest.approx(degrees * share, rel=1e-6)
    assert error.translation == pytest.approx(0, abs=1e-9)
    assert error.score == pytest.approx(100 * max(0.0, 1 - degrees * share / 15) ** 0.5, rel=1e-6)


def test_a_known_shift_is_read_as_such() -> None:
    """Frames go straight ahead and stand 0.1 to the right: no scale makes that good, and the sum of norms is least at s = 1."""
    straight = walk(level(dtype=torch.float64), from_keys(["w"] * 41))
    beside = changed(straight, shift=torch.tensor([0.1, 0, 0], dtype=torch.float64))
    error = camera_error(straight, beside)
    assert error.scale == pytest.approx(1, abs=1e-6)
    assert error.translation == pytest.approx(0.1 * 40 / 41, rel=1e-6)
    assert error.score == pytest.approx(100 * (1 - 0.2 * 40 / 41) ** 0.5, rel=1e-6)


def test_the_scale_minimises_norms_and_not_squares() -> None:
    moved = torch.tensor([[1.0, 0, 0]] * 9 + [[1.0, 0, 0]], dtype=torch.float64)
    commanded = torch.tensor([[2.0, 0, 0]] * 9 + [[50.0, 0, 0]], dtype=torch.float64)
    assert best_scale(moved, commanded) == pytest.approx(2)  # squares would say 6.8
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(30, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    b = b + 1.3 * a
    s = best_scale(a, b)
    cost = [(b - x * a).norm(dim=-1).sum() for x in torch.linspace(0, 3, 3001, dtype=torch.float64)]
    assert s == pytest.approx(int(torch.stack(cost).argmin()) * 0.001, abs=1e-3)


def test_going_the_other_way_gets_no_credit() -> None:
    there, back = (walk(level(dtype=torch.float64), from_keys([k] * 40)) for k in "ws")
    error = camera_error(there, back)
    assert error.scale == 0
    assert error.score == 0
    assert camera_error(walk(level(), from_keys([""] * 40)), back.to(dtype=torch.float32)).score == 0  # nor does standing still


def test_angles_of_every_size() -> None:
    for degrees in (0.0, 1e-6, 0.5, 90.0, 179.999):
        r = rotation("y", torch.tensor(degrees, dtype=torch.float64))
        assert float(angle_between(r, torch.eye(3, dtype=torch.float64))) == pytest.approx(
            degrees, abs=1e-4 if degrees > 179 else 1e-9
        )


def test_an_estimator_has_an_error_of_its_own() -> None:
    r = rotation("y", torch.tensor(2.0, dtype=torch.float64))
    turn = walk(level(dtype=torch.float64), from_keys(["j"] * 40))
    error = own_error([changed(path(), r), changed(turn, r)], [path(), turn])
    assert error.degrees == pytest.approx(2 * 39 / 40, rel=1e-6)
    assert error.share == pytest.approx(0, abs=1e-9)
    assert error.paths == 2
    assert path_length(path()) == pytest.approx(39 * 0.075)
    assert (error.median_degrees, error.median_share) == (pytest.approx(error.degrees), pytest.approx(0, abs=1e-9))
    assert "2 true renders: 1.95 degrees and 0.0 % of the path in the mean, 1.95 and 0.0 % in the median" in str(error)
    fair, wild = path(), changed(path(), rotation("y", torch.tensor(9.0, dtype=torch.float64)))
    among = own_error([fair, fair, wild], [path()] * 3)
    assert among.median_degrees == pytest.approx(0, abs=1e-6)
    assert among.degrees == pytest.approx(9 * 39 / 40 / 3)


def test_bad_paths_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[frames\]"):
        camera_error(path()[:3], path())
    broken = Camera(path().pose * float("nan"), path().lens)
    with pytest.raises(ValueError, match="the read path holds NaN"):
        camera_error(broken, path())
    with pytest.raises(ValueError, match="no path"):
        own_error([], [])
