"""What a walk has seen before, on scenes whose answer is known."""

from __future__ import annotations

import pytest
import torch

from dreamx.eval.metrics.seen import seen_before
from dreamx.geometry.camera import Camera, lens_from_fov, rotation

SIDE = 32


def cameras(*moves: tuple[float, tuple[float, float, float]]) -> Camera:
    """Yaw in degrees and place of each frame; 90 degrees of view."""
    lens = torch.tensor(lens_from_fov(90, SIDE, SIDE))
    poses = []
    for yaw, at in moves:
        pose = torch.eye(4)
        pose[:3, :3] = rotation("y", torch.tensor(yaw))
        pose[:3, 3] = torch.tensor(at)
        poses.append(pose)
    return Camera(torch.stack(poses), lens.expand(len(moves), 4))


def test_turning_on_the_spot_shows_the_part_that_comes_in() -> None:
    walk = cameras((0, (0, 0, 0)), (45, (0, 0, 0)), (90, (0, 0, 0)), (0, (0, 0, 0)))
    x = torch.arange(SIDE) + 0.5
    ray = torch.sqrt(1 + (2 * x / SIDE - 1)[None] ** 2 + (2 * x / SIDE - 1)[:, None] ** 2)
    sphere = (10 / ray).expand(4, SIDE, SIDE)  # everything is 10 m away: depth along z is less beside the middle
    seen = seen_before(walk, sphere, every=1, slack=0.05)
    assert not seen[0].any()
    middle = seen[1][SIDE // 2]
    assert middle[: SIDE // 2 - 1].all(), "the left half was in the first picture"
    assert not middle[SIDE // 2 + 1 :].any()
    assert seen[3].float().mean() > 0.97, "all of the first view again"
    assert float(seen[2].float().mean()) == pytest.approx(float(seen[1].float().mean()), abs=0.1)


def test_what_stood_behind_something_was_not_seen() -> None:
    walk = cameras((0, (0, 0, 0)), (0, (0, 0, 0)))
    depth = torch.full((2, SIDE, SIDE), 8.0)
    depth[0, :, :8] = 2.0  # a board in the first picture that is gone in the second
    seen = seen_before(walk, depth, every=1)
    assert not seen[1, :, :8].any()
    assert seen[1, :, 8:].all()


def test_unknown_depth_was_never_seen_and_shapes_are_checked() -> None:
    walk = cameras((0, (0, 0, 0)), (0, (0, 0, 0)))
    depth = torch.full((2, SIDE, SIDE), 8.0)
    depth[1, 0] = torch.inf
    assert not seen_before(walk, depth, every=1)[1, 0].any()
    with pytest.raises(ValueError, match=r"\[F, H, W\]"):
        seen_before(walk, depth[0])
