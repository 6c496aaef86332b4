"""Foresight: the view that a turn leads to is dreamt before it is seen, is remembered, and nothing else of the past changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamx.geometry.camera import level
from dreamx.geometry.controls import Speed, from_keys, walk
from dreamx.lookahead import LookaheadConfig, extrapolate_path
from dreamx.memory import Memory, MemoryConfig
from dreamx.world import World
from micro import world as micro_world

UP = torch.tensor([0.0, -1.0, 0.0])


@pytest.fixture
def world() -> World:
    world = micro_world(memory=MemoryConfig(views=2))
    world.config = replace(world.config, foresight=LookaheadConfig(latents=4, unknown=0.2, steps=2))
    return world


def picture(world: World) -> Tensor:
    return torch.randint(0, 256, (3, *world.size), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_onwards_is_where_the_keys_lead() -> None:
    here = level((0.7, 0.7, 0.5, 0.5))
    keys = ["wj", "w", "wj", ""]
    there = extrapolate_path(here, from_keys(keys, Speed()), 3, UP)
    walked = walk(here, from_keys(keys * 3, Speed()), UP)
    assert torch.allclose(there.pose, walked.pose[-4:], atol=1e-5)


def kept(world: World) -> list[Memory]:
    bank = world._bank  # pyright: ignore[reportPrivateUsage]
    assert bank is not None
    return bank.kept


def test_a_turn_dreams_ahead_and_remembers_it(world: World) -> None:
    world.reset(picture(world))
    world.step(from_keys(["j"] * world.frames_per_step, world.config.speed))
    before, here = len(kept(world)), world.camera
    latest = world._bank.latest  # pyright: ignore[reportOptionalMemberAccess, reportPrivateUsage]
    world.look_ahead()
    bank = world._bank  # pyright: ignore[reportPrivateUsage]
    assert bank is not None and len(bank.kept) == before + 1 and bank.latest is latest
    yaw = [torch.rad2deg(torch.acos(camera.pose[2, 2])) for camera in (here, bank.kept[-1].camera)]
    assert float(yaw[1]) > 4 * 0.9 * float(yaw[0])
    world.look_ahead()
    assert len(kept(world)) == before + 1, "once for each chunk"


def test_early_or_at_the_last_moment_is_the_same(world: World) -> None:
    turn = from_keys(["j"] * world.frames_per_step, world.config.speed)
    walks: list[Tensor] = []
    for early in (False, True):
        world.reset(picture(world), seed=4)
        for _ in range(4):
            walks.append(world.step(turn))
            if early:
                world.look_ahead()
    assert torch.equal(torch.stack(walks[:4]), torch.stack(walks[4:]))


@pytest.mark.parametrize(("keys", "memory"), [("", True), ("j", False)])
def test_standing_still_or_without_memory_nothing_is_dreamt_ahead(world: World, keys: str, memory: bool) -> None:
    world.switches = replace(world.switches, memory=memory)
    world.reset(picture(world))
    world.step(from_keys([keys] * world.frames_per_step, world.config.speed))
    before = len(kept(world))
    world.look_ahead()
    assert len(kept(world)) == before


def test_the_same_walk_is_the_same_also_after_a_save(world: World, tmp_path: Path) -> None:
    world.reset(picture(world), seed=5)
    turn = from_keys(["j"] * world.frames_per_step, world.config.speed)
    world.step(turn)
    world.save(tmp_path / "walk")
    on = [world.step(turn) for _ in range(3)]
    world.load(tmp_path / "walk")
    assert all(torch.equal(a, world.step(turn)) for a in on)


def test_what_is_foreseen_does_not_touch_the_noise_of_the_chunk(world: World) -> None:
    """Where memory knows enough, a world with foresight is the world without."""
    plain = micro_world(memory=MemoryConfig(views=2))
    world.config = replace(world.config, foresight=LookaheadConfig(latents=1, unknown=1.0, steps=2))
    keys = from_keys(["j"] * world.frames_per_step, world.config.speed)
    for w in (world, plain):
        w.reset(picture(w), seed=2)
    assert all(torch.equal(world.step(keys), plain.step(keys)) for _ in range(3))
