"""The depth of an opening picture: it is learned, it is in metres, and a world remembers by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.train.augment import jitter_colour
from dreamx.train.depth import depth_loss
from dreamx.world import World, load

SMALL = DepthConfig(widths=(16, 32), blocks=(1, 1), heads=2)


def test_planes_and_metres_are_the_same_thing() -> None:
    net = Depth(SMALL)
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    metres = net.metres(picture)
    assert metres.shape == (2, 32, 32)
    assert bool((metres >= SMALL.near).all()) and bool((metres <= SMALL.far * 1.001).all())
    assert torch.allclose(net.plane(metres), net(picture).clamp(-1, 1), atol=1e-4)


def test_it_learns_which_of_two_pictures_is_near() -> None:
    torch.manual_seed(0)
    net = Depth(SMALL)
    picture = torch.stack([torch.full((3, 16, 16), -0.8), torch.full((3, 16, 16), 0.8)])
    depth = torch.stack([torch.full((16, 16), 1.0), torch.full((16, 16), 8.0)])
    depth[:, :2] = 0  # unknown: does not count
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(120):
        loss = depth_loss(net(picture), depth, net, 1.0)[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    made = net.metres(picture)[:, 4:].mean((1, 2)).detach()
    assert abs(float(made[0]) - 1) < 0.3 and abs(float(made[1]) - 8) < 2.4


def test_a_picture_of_another_size_is_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        Depth(SMALL)(torch.zeros(1, 3, 30, 32))


def test_varied_colours_stay_colours_and_differ() -> None:
    rng = torch.Generator().manual_seed(0)
    video = torch.rand(3, 1, 3, 8, 8) * 2 - 1
    other = jitter_colour(video, 0.2, rng)
    assert other.shape == video.shape and float(other.abs().max()) <= 1 and not torch.equal(other, video)


def test_a_world_remembers_its_opening_by_that_depth(tmp_path: Path) -> None:
    world = load("tiny")
    assert world.depth is not None
    picture = torch.randint(0, 256, (3, *world.size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    world.export(tmp_path / "with")
    again = World.open(tmp_path / "with")
    assert again.identity == world.identity
    assert torch.equal(world.reset(picture), again.reset(picture))
    hold = ["w"] * 4
    with_depth = next(world.play(hold))
    assert torch.equal(with_depth, next(again.play(hold)))
    world.depth = None
    world.reset(picture)
    assert not torch.equal(with_depth, next(world.play(hold)))
