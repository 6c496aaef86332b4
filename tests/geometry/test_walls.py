"""Walls stop a walker, who slides along them, and may always go away from them."""

from __future__ import annotations

import pytest
import torch

from dreamx.geometry.camera import Camera, level
from dreamx.geometry.controls import Speed, from_keys, walk
from dreamx.geometry.walls import REACH, stop_at_walls

UP = torch.tensor((0.0, -1.0, 0.0))
START = level((0.7, 0.7, 0.5, 0.5))
FAR = 16 * 8  # frames: 9.6 m


def wall(z: float, height: float = 0.0) -> torch.Tensor:
    """Points of a wall across the way, at a height below the eye."""
    x = torch.arange(-6, 6, 0.05)
    return torch.stack([x, torch.full_like(x, height), torch.full_like(x, z)], 1)


def held(keys: str, frames: int = FAR, start: Camera = START) -> Camera:
    return walk(start, from_keys([keys] * frames, Speed()), UP)


def test_a_wall_stops_who_walks_into_it() -> None:
    path, stopped = stop_at_walls(START, held("w"), wall(3.0))
    assert stopped
    assert float(path.pose[-1, 2, 3]) == pytest.approx(3.0 - REACH, abs=0.08)  # a step is 0.075 m
    assert float(path.pose[:, 2, 3].max()) <= 3.0 - REACH + 1e-4


def test_who_comes_at_a_slant_slides_along() -> None:
    free = held("wd", 72)  # 5.4 m: not around the end of the wall
    path, stopped = stop_at_walls(START, free, wall(2.0))
    assert stopped
    assert float(path.pose[:, 2, 3].max()) <= 2.0 - REACH + 0.03
    assert float(path.pose[60, 0, 3]) > 0.8 * float(free.pose[60, 0, 3])  # sideways nearly as far as without a wall


def test_a_corner_stops_altogether_and_one_can_turn_and_go() -> None:
    z = torch.arange(-6, 6, 0.05)
    side = torch.stack([torch.full_like(z, 1.0), torch.zeros_like(z), z], 1)
    corner = torch.cat([wall(2.0), side])
    path, _ = stop_at_walls(START, held("wd"), corner)
    last = path.pose[-1, :3, 3]
    assert float(last[0]) <= 1.0 - REACH + 0.03
    assert float(last[2]) <= 2.0 - REACH + 0.03
    back, stopped = stop_at_walls(path[-1], held("s", 16, path[-1]), corner)
    assert not stopped
    assert float(back.pose[-1, 2, 3]) == pytest.approx(float(last[2]) - 16 * 0.075, abs=1e-4)


def test_one_may_leave_from_within_reach() -> None:
    near = wall(0.1)
    path, stopped = stop_at_walls(START, held("s", 8), near)
    assert not stopped
    assert torch.equal(path.pose, held("s", 8).pose)
    path, stopped = stop_at_walls(START, held("w", 8), near)
    assert stopped
    assert float(path.pose[-1, 2, 3]) < 0.02


@pytest.mark.parametrize(("height", "stops"), [(1.5, False), (1.0, True), (-0.3, True), (-0.6, False)])
def test_ground_and_beams_are_no_walls(height: float, stops: bool) -> None:
    """1.5 m below the eye is the ground; more than 0.4 m above it one walks under."""
    assert stop_at_walls(START, held("w"), wall(3.0, height))[1] is stops


def test_a_few_points_of_noise_and_an_empty_place_stop_nobody() -> None:
    for points in (torch.zeros(0, 3), wall(3.0)[120:123]):
        path, stopped = stop_at_walls(START, held("w"), points)
        assert not stopped
        assert torch.equal(path.pose, held("w").pose)


def test_headings_stay() -> None:
    free = held("wl")
    path, stopped = stop_at_walls(START, free, wall(1.0))
    assert stopped
    assert torch.equal(path.pose[:, :3, :3], free.pose[:, :3, :3])
