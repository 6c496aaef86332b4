from __future__ import annotations

import pytest
import torch

from dreamx.geometry.camera import Camera, lens_from_fov, level, rigid, rotation
from dreamx.geometry.overlap import may_overlap, overlap, view_overlaps


def looking(
    yaw: torch.Tensor, pitch: float = 0.0, at: tuple[float, float, float] = (1.0, 0.5, -2.0), fov: float = 58.0
) -> Camera:
    r = rotation("y", yaw) @ rotation("x", torch.full_like(yaw, pitch))
    lens = torch.tensor(lens_from_fov(fov, 160, 90))
    return Camera(rigid(r, torch.tensor([1.0, 0.5, -2.0]).expand(*yaw.shape, 3)), lens.expand(*yaw.shape, 4))


def test_the_same_view_overlaps_fully_and_the_opposite_not_at_all():
    a = looking(torch.tensor([0.0, 33.0, -150.0]), pitch=20)
    assert torch.equal(overlap(a, a), torch.ones(3))
    assert torch.equal(overlap(looking(torch.tensor(10.0)), looking(torch.tensor(190.0))), torch.tensor(0.0))


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("fov", [35.0, 58.0, 90.0])
def test_it_falls_steadily_with_the_yaw_between(side: float, fov: float):
    yaw = side * torch.arange(0.0, 181.0, 2.0)
    shares = overlap(looking(torch.zeros(()), fov=fov), looking(yaw, fov=fov))
    assert shares[0] == 1
    assert shares[-1] == 0
    assert bool((shares.diff() <= 0).all())
    assert len(shares.unique()) > 10  # steadily, not at once


def test_half_of_the_view_turned_away_is_about_half():
    horizontal = 2 * torch.rad2deg(torch.atan(torch.tensor(0.5 / lens_from_fov(58, 160, 90)[0])))
    assert overlap(looking(torch.zeros(())), looking(horizontal / 2)) == pytest.approx(0.45, abs=0.1)


def test_a_narrow_view_lies_inside_a_wide_one_but_not_the_other_way():
    wide, narrow = looking(torch.zeros(()), fov=70), looking(torch.zeros(()), fov=30)
    assert overlap(narrow, wide) == 1
    assert overlap(wide, narrow) < 0.3


def test_distance_counts():
    here = level()
    away = [Camera(rigid(torch.eye(3), torch.tensor([x, 0.0, 0.0])), here.lens) for x in (0.5, 2.0, 6.0, 40.0)]
    shares = [float(overlap(here, there)) for there in away]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0


def test_leading_shapes_broadcast_to_a_table():
    query, bank = looking(torch.tensor([0.0, 90.0])), looking(torch.arange(0.0, 360.0, 30.0))
    table = overlap(query[:, None], bank[None])
    assert table.shape == (2, 12)
    assert torch.equal(table[1, 4], overlap(query[1], bank[4]))
    assert table.argmax(1).tolist() == [0, 3]


def test_moving_the_world_changes_nothing():
    a, b = looking(torch.tensor(0.0)).to(dtype=torch.float64), looking(torch.tensor(25.0), 10).to(dtype=torch.float64)
    world = rigid(rotation("x", torch.tensor(50.0)), torch.tensor([3.0, -4.0, 5.0])).to(torch.float64)
    moved = overlap(Camera(world @ a.pose, a.lens), Camera(world @ b.pose, b.lens))
    assert torch.equal(moved, overlap(a, b))


def scattered(count: int, fov: float, spread: float) -> Camera:
    """Views at chance places up to some ``spread`` metres, looking anywhere, through a lens that is not in the middle."""
    rng = torch.Generator().manual_seed(7)
    yaw, pitch = 360 * torch.rand(count, generator=rng), 120 * torch.rand(count, generator=rng) - 60
    at = spread * torch.randn(count, 3, generator=rng)
    lens = torch.tensor(lens_from_fov(fov, 160, 90)) + torch.tensor([0.0, 0.0, 0.06, -0.04])
    return Camera(rigid(rotation("y", yaw) @ rotation("x", pitch), at), lens.expand(count, 4)).to(dtype=torch.float64)


@pytest.mark.parametrize("fov", [30.0, 70.0, 110.0])
def test_views_that_cannot_overlap_are_told_without_counting(fov: float):
    """Never one that does, whatever the lens; and nearly all that lie too far, or look away."""
    views = scattered(400, fov, 6.0)
    share, may = overlap(views[:40, None], views[None]), may_overlap(views[:40, None], views[None])
    assert bool((share[~may] == 0).all())
    assert float((~may).double().mean()) > (0.2 if fov > 90 else 0.35)
    assert bool(may[torch.arange(40), torch.arange(40)].all())
    pose = views.pose.clone()
    pose[:, 0, 3] += 60
    assert not bool(may_overlap(views, Camera(pose, views.lens)).any())


@pytest.mark.parametrize("count", [0, 1, 33, 200])
def test_one_camera_against_many_views_is_the_same_one_by_one(count: int):
    views, camera = scattered(200, 70.0, 3.0)[:count], scattered(201, 70.0, 3.0)[200]
    want = [float(overlap(camera, views[i])) for i in range(count)]
    assert view_overlaps(camera, views).tolist() == want
    assert count < 100 or sum(x > 0 for x in want) > 20
