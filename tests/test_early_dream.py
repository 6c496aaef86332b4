"""A chunk is shown while it is still being written into the past, and the frames are those of one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import cast

import pytest
import torch
from torch import Tensor

import micro
from dreamx.geometry import Controls, from_keys
from dreamx.memory import MemoryConfig
from dreamx.play.codec import jpegs
from dreamx.play.pipeline import Pipeline
from dreamx.play.server_messages import Error, Picture
from dreamx.play.session_spec import Session, SessionStart, Sinks
from dreamx.session import Dream
from dreamx.world import World
from fake_world import FakeDream, FakeWorld
from play_house import eventually

KEYS = ["w", "wj", "l", "", "s"]


def opened(memory: bool, chunk: int) -> World:
    world = micro.world(chunk=chunk, window=6, memory=MemoryConfig() if memory else None)
    picture = torch.randint(0, 256, (3, *world.size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    world.reset(picture, "a park", 1)
    return world


@pytest.mark.parametrize("memory", [True, False], ids=["re-projected", "none"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_decoding_beside_the_writing_pass_changes_no_frame(memory: bool, chunk: int) -> None:
    plain, world = opened(memory, chunk), opened(memory, chunk)
    passes: list[int] = []
    world.dit.register_forward_hook(lambda *_: passes.append(0))
    for key in KEYS:
        want: Tensor = plain.step(from_keys([key] * plain.frames_per_step))
        shown: list[Tensor] = []
        helpers: list[Thread] = []
        before = len(passes)
        done: list[int] = []

        def early(dream: Dream, shown: list[Tensor] = shown, helpers: list[Thread] = helpers, done: list[int] = done) -> None:
            done.append(len(passes))
            helpers.append(Thread(target=lambda: shown.append(world.decode(dream))))
            helpers[0].start()

        world.denoise(from_keys([key] * world.frames_per_step), None, early)
        helpers[0].join()
        assert torch.equal(shown[0], want)
        assert want.float().std() > 1
        assert (done[0] - before, len(passes) - before) == (2, 3), "two passes made it, and the third wrote it"


class SlowWriter(FakeWorld):
    """Writes until the chunk was decoded, and then for a while."""

    def __init__(self, ahead: bool) -> None:
        super().__init__(fps=400, due=4, ahead=ahead)
        self.decoded, self.overlapped = Event(), list[bool]()
        self.write_seconds = 0.02

    def denoise(
        self, controls: Controls, event: str | None = None, early: Callable[[FakeDream], None] = lambda _: None
    ) -> FakeDream:
        def wait(dream: FakeDream) -> None:
            early(dream)
            self.overlapped.append(self.decoded.wait(10))

        self.decoded.clear()
        return super().denoise(controls, event, wait)

    def decode(self, dream: FakeDream) -> Tensor:
        frames = super().decode(dream)
        self.decoded.set()
        return frames

    def look_ahead(self) -> None:
        super().look_ahead()  # complains while something is unwritten
        time.sleep(0)


@pytest.mark.parametrize("ahead", [True, False])
def test_the_pipeline_decodes_what_is_being_written_and_looks_ahead_only_then(ahead: bool) -> None:
    world, said = SlowWriter(ahead), list[object]()

    def emit(reply: object) -> None:
        said.append(reply)
        if isinstance(reply, Picture):
            pipeline.inputs.shown(reply.frame, None)

    pipeline = Pipeline(cast(World, world), Session("one", SessionStart(None, "a park", 7)), Sinks(emit, jpegs(85)))
    pipeline.begin()
    try:
        assert eventually(lambda: len(world.overlapped) > 5, 20)
        assert not [x for x in said if isinstance(x, Error)]
    finally:
        pipeline.close()
    assert all(world.overlapped)
