"""Sessions that step together: latents of each to 1e-5 of those it makes alone, in as few passes as their shapes allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import micro
from dreamx.frames import Frames, clean, stack_rows
from dreamx.geometry import from_keys
from dreamx.geometry.camera import level
from dreamx.geometry.controls import Controls
from dreamx.lookahead import LookaheadConfig
from dreamx.memory import MemoryConfig
from dreamx.model.attention import Attend
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache, stack_caches
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.session import Dream, Switches
from dreamx.world import World
from dreamx.world_batch import decode_together, denoise_together

KEYS = ("w", "j", "wl")  # of each session, all the time


class Counted(nn.Module):
    """The network, and the rows of each of its passes."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit, self.rows = dit, list[int]()
        self.config = dit.config

    def forward(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        self.rows.append(len(frames.z))
        return self.dit(frames, text, attend)


def counted(world: World) -> Counted:
    net = Counted(world.dit)
    world.dit = net  # pyright: ignore[reportAttributeAccessIssue]
    return net


def opened(world: World, count: int = 3) -> list[World]:
    """Forks of a world, each with a picture, words and a seed of its own."""
    forks = [world.fork() for _ in range(count)]
    for i, fork in enumerate(forks):
        fork.reset(micro.picture(i), ("a red room", "the sea", "a hill")[i % 3], seed=10 + i)
    return forks


def held(worlds: list[World]) -> list[Controls]:
    return [from_keys([k] * w.frames_per_step, w.config.speed) for w, k in zip(worlds, KEYS, strict=False)]


def near(got: Dream, want: Dream) -> None:
    torch.testing.assert_close(got.frames.z, want.frames.z, rtol=0, atol=1e-5)
    assert torch.equal(got.path.pose, want.path.pose)
    assert len(got.recalled) == len(want.recalled)
    assert [f.index for f in got.packed] == [f.index for f in want.packed]


def agree(worlds: list[World], steps: int, events: Callable[[int], list[str | None]], walked: bool = True) -> None:
    """Walk in one batch, and hold each step against a fork that steps alone, and with ``walked`` against a walk that was alone.

    Not where re-projected memory sends rounding round and round: after six steps it was 1.6e-5.
    """
    alone = [world.fork() for world in worlds]
    for step in range(steps):
        alone, said = alone if walked else [world.fork() for world in worlds], events(step)[: len(worlds)]
        dreams = denoise_together(worlds, held(worlds), said)
        shown = decode_together(worlds, dreams)
        for world, dream, frames, controls, event in zip(alone, dreams, shown, held(alone), said, strict=True):
            want = world.denoise(controls, event)
            near(dream, want)
            # A value that lies on the border of two bytes may fall to either side.
            assert int((frames.int() - world.decode(want).int()).abs().max()) <= 1


def quiet(step: int) -> list[str | None]:
    return [None] * 3


FOG = TaughtEvent("fog", "The fog comes up", "Fog hangs in the air", "The fog lifts", 0.5)


def plain() -> World:
    return micro.world()


def three_latents() -> World:
    return micro.world(chunk=3, window=8, sinks=2)


def remembers() -> World:
    return micro.world(memory=MemoryConfig(views=2))


def looks_ahead() -> World:
    world = remembers()
    world.config = replace(world.config, foresight=LookaheadConfig(latents=4, unknown=0.2, steps=2))
    return world


def packs() -> World:
    return micro.packed(micro.world(1, window=3, sinks=1), PackedMemoryConfig(frames=2))


def hears() -> World:
    world = micro.world()
    world.taught = Taught((), (), True, (FOG,))
    world.config = replace(world.config, event_guidance=0.5)
    return world


@pytest.mark.parametrize("make", [plain, three_latents, remembers, looks_ahead, packs])
def test_each_makes_what_it_makes_alone(make: Callable[[], World]) -> None:
    agree(opened(make()), 6, quiet, walked=make not in (remembers, looks_ahead))


def test_views_ahead_are_dreamt_in_one_batch() -> None:
    """Two passes with the past and two without for the view ahead of all, then those of the chunk."""
    world = looks_ahead()
    net = counted(world)
    worlds = opened(world)
    turns = [from_keys(["j"] * w.frames_per_step, w.config.speed) for w in worlds]
    decode_together(worlds, denoise_together(worlds, turns, quiet(0)))
    net.rows.clear()
    kept = [len(w._bank.kept) for w in worlds if w._bank is not None]  # pyright: ignore[reportPrivateUsage]
    denoise_together(worlds, turns, quiet(0))
    assert net.rows == [3] * 4 + [3] * 3
    assert [len(w._bank.kept) for w in worlds if w._bank is not None] == [n + 1 for n in kept]  # pyright: ignore[reportPrivateUsage]


def test_events_and_switches_of_each() -> None:
    worlds = opened(hears())
    worlds[2].switches = Switches(camera=False)
    agree(worlds, 5, lambda step: [None, "fog" if step == 1 else None, "fog" if step == 2 else None])


def test_one_pass_serves_all_that_are_in_step() -> None:
    """Two passes and one that writes: rows of all sessions in each; a session that is behind by chunks has passes of its own."""
    world = micro.world()
    net = counted(world)
    worlds = opened(world)
    net.rows.clear()
    denoise_together(worlds, held(worlds), quiet(0))
    assert net.rows == [3, 3, 3]
    worlds[1].reset(micro.picture(1), "the sea", 11)  # writes its opening
    alone = opened(micro.world())
    alone[0].denoise(held(alone)[0])
    alone[2].denoise(held(alone)[2])
    net.rows.clear()
    dreams = denoise_together(worlds, held(worlds), quiet(0))
    assert net.rows == [2, 2, 2, 1, 1, 1]
    for dream, single, controls in zip(dreams, alone, held(alone), strict=True):
        near(dream, single.denoise(controls))


def test_after_a_full_window_all_are_in_step_again() -> None:
    world = micro.world(window=3)
    net = counted(world)
    worlds = opened(world, 2)
    for _ in range(4):
        worlds[0].denoise(held(worlds)[0])
    denoise_together(worlds, held(worlds), quiet(0)[:2])
    denoise_together(worlds, held(worlds), quiet(0)[:2])
    net.rows.clear()
    denoise_together(worlds, held(worlds), quiet(0)[:2])
    assert net.rows == [2, 2, 2]


def test_a_session_may_leave_the_batch_and_be_forked() -> None:
    world = micro.world()
    worlds, alone = opened(world), opened(world)
    for _ in range(3):
        denoise_together(worlds, held(worlds), quiet(0))
        for single, controls in zip(alone, held(alone), strict=True):
            single.denoise(controls)
    other, controls = worlds[1].fork(), held(alone)[1]
    near(worlds[1].denoise(controls), want := alone[1].denoise(controls))
    near(other.denoise(controls), want)
    assert other.actions == alone[1].actions


def test_a_refusal_names_the_session_and_nobody_has_moved() -> None:
    worlds = opened(micro.world())
    before = [world.camera for world in worlds]
    short = held(worlds)
    short[1] = from_keys(["w"], worlds[1].config.speed)
    with pytest.raises(ValueError, match="session 1: controls: 1 frames given where this step makes 4"):
        denoise_together(worlds, short, quiet(0))
    assert [world.camera for world in worlds] == before
    assert [world.chunk for world in worlds] == [1, 1, 1]
    for wrong, words in (
        ([worlds[0], worlds[0]], "named twice; fork it"),
        ([worlds[0], opened(micro.world(), 1)[0]], "different networks; give forks of one world"),
        ([], "give at least one"),
    ):
        with pytest.raises(ValueError, match=words):
            denoise_together(wrong, held(wrong), [None] * len(wrong))


def test_caches_and_frames_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="settings or lengths differ"):
        stack_caches([KVCache(4), KVCache(5)])
    here = level().map(lambda x: x[None, None])
    bare = clean(torch.zeros(1, 1, 2, 4, 4), here)
    with pytest.raises(ValueError, match="1 of 2 have hints"):
        stack_rows([bare, replace(bare, hint=torch.zeros(1, 1, 3, 4, 4))])
