"""Views of the past, chosen by hand first."""

from __future__ import annotations

import torch

from dreamx.geometry.camera import Camera, lens_from_fov, rigid, rotation
from dreamx.geometry.overlap import overlap
from dreamx.geometry.retrieval import retrieve, view_shares

LENS = torch.tensor(lens_from_fov(70, 64, 64))


def looking(*views: tuple[float, float, float]) -> Camera:
    """Cameras ``[N]`` at (x, z), turned by a yaw in degrees."""
    pose = [rigid(rotation("y", torch.tensor(yaw)), torch.tensor([x, 0.0, z])) for x, z, yaw in views]
    return Camera(torch.stack(pose), LENS.expand(len(pose), 4))


def test_turning_back_recalls_the_frames_that_saw_it() -> None:
    away = looking(*((0.0, 0.0, yaw) for yaw in (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)))
    assert retrieve(looking((0.0, 0.0, 0.0)), away, 2, 0.1, 0.5) == [0, 1]  # a turn of 60 leaves a seventh of 70 degrees
    assert retrieve(looking((0.0, 0.0, 180.0)), away, 1, 0.1, 0.5) == [6]
    assert retrieve(looking((0.0, 0.0, 120.0)), away, 3, 0.1, 1.0) == [4, 3, 5]


def test_nothing_is_recalled_where_nothing_overlaps() -> None:
    past = looking((0.0, 0.0, 0.0), (0.0, 40.0, 180.0))
    assert retrieve(looking((0.0, 0.0, 180.0)), past, 4, 0.01, 1.0) == []
    assert retrieve(looking((0.0, 0.0, 0.0)), past[:0], 4, 0.01, 1.0) == []
    assert retrieve(looking((0.0, 0.0, 0.0)), past, 0, 0.01, 1.0) == []


def test_what_was_shown_counts_less() -> None:
    """Beside the view itself, a copy of it sees all and a turned one a half that the copy shows, too, and nothing new of it."""
    past = looking((0.0, 0.0, 0.0), (0.01, 0.0, 0.0), (0.0, 0.0, 40.0), (0.0, 0.0, -40.0))
    wide = looking((0.0, 0.0, 40.0), (0.0, 0.0, -40.0))  # two targets: left and right
    assert retrieve(wide, past, 2, 0.1, 0.0) == [2, 3]
    first = retrieve(looking((0.0, 0.0, 0.0)), past, 4, 0.1, 0.0)
    assert first == [0], "one view shows all, and nothing shows more"
    assert retrieve(looking((0.0, 0.0, 0.0)), past, 2, 0.1, 1.0) == [0, 1]


def test_of_equal_views_the_earlier_and_none_twice() -> None:
    past = looking(*[(0.0, 0.0, 0.0)] * 5)
    assert retrieve(looking((0.0, 0.0, 0.0)), past, 3, 0.1, 0.5) == [0, 1, 2]


def test_a_rigid_motion_of_the_world_changes_no_choice() -> None:
    past = looking(*((0.3 * i, 0.1 * i, 25.0 * i) for i in range(12)))
    target = looking((0.5, 0.2, 40.0), (0.5, 0.2, 70.0))
    g = rigid(
        rotation("y", torch.tensor(33.0).double()) @ rotation("x", torch.tensor(70.0).double()), torch.tensor([30.0, -2, 90])
    )
    moved = [Camera(g @ x.pose.double(), x.lens) for x in (target, past)]
    chosen = retrieve(target, past, 4, 0.1, 0.5)
    assert len(chosen) == 4
    assert retrieve(moved[0], moved[1], 4, 0.1, 0.5) == chosen


def test_shares_are_overlaps() -> None:
    past = looking((0.0, 0.0, 90.0), (0.0, 0.0, 20.0), (0.0, 0.0, 180.0))
    target = looking((0.0, 0.0, 0.0))
    each = overlap(target, past, grid=(6, 8, 4))
    assert torch.allclose(view_shares(target, past), each)
    two = looking((0.0, 0.0, 0.0), (0.0, 0.0, 180.0))
    shares = view_shares(two.map(lambda x: x[None]), past.map(lambda x: x[None]))
    assert shares.shape == (1, 3)
    assert float(shares[0, 2]) == 0.5, "half of what both see"
