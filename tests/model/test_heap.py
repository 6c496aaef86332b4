"""A long walk holds no more memory than a short one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import micro
from dreamx import rollout
from dreamx.geometry import from_keys
from dreamx.hardware import resident_memory
from dreamx.model import heap
from dreamx.world import World


def test_freed_pages_go_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(heap, "_TRIM", asked.append)
    for _ in range(3 * heap.EVERY):
        heap.tidy()
    assert asked == [heap.END] * 3
    monkeypatch.setattr(heap, "_TRIM", None)
    for _ in range(heap.EVERY):
        heap.tidy()


def test_every_chunk_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(rollout, "tidy", lambda: calls.append(None))
    world = micro.world()
    world.reset(micro.picture(), seed=1)
    for _ in range(3):
        world.step(from_keys(["w"] * world.frames_per_step))
    assert len(calls) == 3


@pytest.mark.slow
@pytest.mark.skipif(resident_memory() == 0, reason="this system does not say how much memory a process holds")
def test_resident_memory_stands_still() -> None:
    """Twenty seconds of the shipped world, then a minute; its memory is full at once, as after minutes of walking."""
    torch.set_num_threads(1)
    world = World.open("tiny")
    assert world.config.memory is not None
    world.config = replace(world.config, memory=replace(world.config.memory, capacity=16))
    world.reset(prompt="a park", seed=7)
    keys = (["w"] * 48 + ["wl"] * 32 + ["l"] * 64 + ["w"] * 48 + ["wj"] * 48) * 6
    held: list[int] = []
    for i, frames in enumerate(world.play(keys[: 80 * 16])):
        assert len(frames) == 4
        if i >= 20 * 16 // 4:
            held.append(resident_memory())
    assert max(held) < 1.02 * held[0]
