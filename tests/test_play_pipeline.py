"""The three threads: what comes out for what went in, one chunk ahead and never more, and how they end."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Semaphore, active_count, enumerate
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamx.geometry import Controls, from_keys
from dreamx.play.codec import jpeg, jpegs
from dreamx.play.opening import Opening, Outlets, Session
from dreamx.play.pipeline import Pipeline
from dreamx.play.protocol import Command, Restore
from dreamx.play.replies import Error, Made, Picture, Reply, Started, State
from dreamx.play.video import Recorder
from dreamx.world import World
from fake_world import FakeDream, FakeWorld
from play_house import eventually

SESSION = Session("one", Opening(None, "a park", 7))


class Page:
    """Paints at once what it gets; ``frames`` counts them."""

    def __init__(self, world: FakeWorld, session: Session, recordings: Path | None = None) -> None:
        self.heard: Queue[Reply | Picture] = Queue()
        self.all: list[Reply | Picture] = []
        self.kept: list[Session] = []
        recorder = None if recordings is None else Recorder(recordings, world.size, world.fps)
        outlets = Outlets(self.heard.put, jpegs(85), recorder, self.kept.append)
        self.pipeline = Pipeline(cast(World, world), session, outlets)
        self.hold = self.pipeline.asked.hold

    def next(self, kind: type) -> Reply | Picture:
        while True:
            self.all.append(self.heard.get(timeout=10))
            got = self.all[-1]
            if isinstance(got, Picture):
                self.pipeline.asked.shown(got.frame, None)
            if isinstance(got, kind):
                return got

    def chunks(self, count: int) -> list[Made]:
        return [cast(Made, self.next(Made)) for _ in range(count)]

    @property
    def pictures(self) -> list[Picture]:
        return [x for x in self.all if isinstance(x, Picture)]


@contextmanager
def page(world: FakeWorld, session: Session = SESSION, recordings: Path | None = None) -> Iterator[Page]:
    before = active_count()
    it = Page(world, session, recordings)
    it.pipeline.begin()
    try:
        yield it
    finally:
        it.pipeline.close()
        assert active_count() == before, [t.name for t in enumerate()]


def test_frames_are_those_of_the_world_in_order() -> None:
    with page(FakeWorld(fps=400, due=4)) as p:
        assert isinstance(p.next(Started), Started)
        p.hold("wl", 1)
        p.chunks(6)
        made = [x for x in p.all if isinstance(x, Made)]
    twin = FakeWorld(fps=400, due=4)
    expected = list(twin.reset(None, "a park", 7))
    for m in made[1:]:
        expected += list(twin.step(from_keys([m.held] * 4)))
    assert [x.frame for x in p.pictures] == list(range(len(p.pictures)))
    assert [x.data for x in p.pictures] == [jpeg(x, 85) for x in expected[: len(p.pictures)]]
    assert made[-1].held == "wl"
    assert p.pictures[-1].seq == 1


def test_a_tap_shorter_than_a_chunk_moves_exactly_one_chunk() -> None:
    with page(FakeWorld(fps=400, due=4)) as p:
        p.next(Picture)
        p.hold("j", 1)
        p.hold("", 2)
        held = [m.held for m in p.chunks(8)]
    assert held.count("j") == 1
    assert set(held) == {"", "j"}


def test_no_chunk_is_made_while_nothing_is_painted() -> None:
    world = FakeWorld(due=12)
    with page(world) as p:
        assert eventually(lambda: len(world.actions) == 1)
        assert not eventually(lambda: len(world.actions) > 1, 0.5)
        assert [m.chunk for m in p.chunks(3)] == [0, 1, 2]


def test_pause_stands_still_and_resume_goes_on() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world) as p:
        p.chunks(3)
        p.pipeline.pause(True)
        while not cast(State, p.next(State)).paused:
            pass
        eventually(lambda: p.heard.empty(), 0.2)
        while not p.heard.empty():
            p.next(object)
        steps = len(world.actions)
        assert not eventually(lambda: len(world.actions) > steps + 1, 0.3)
        p.pipeline.pause(False)
        assert not cast(State, p.next(State)).paused
        p.chunks(3)


def test_save_and_restore_bring_the_place_back() -> None:
    with page(FakeWorld(fps=400, due=4)) as p:
        p.pipeline.asked.wish(Restore("restore"))
        assert "no such moment" in cast(Error, p.next(Error)).text
        p.pipeline.asked.wish(Command("save"))
        while not cast(State, p.next(State)).moments:
            pass
        p.chunks(1)
        p.next(Picture)
        still = p.pictures[-1].data
        p.hold("l", 1)
        p.chunks(3)
        p.hold("", 2)
        p.chunks(2)
        p.pipeline.asked.wish(Restore("restore"))
        p.next(State)
        p.chunks(3)
        p.next(Picture)
        assert p.pictures[-1].data == still
        assert len({x.data for x in p.pictures}) > 4


def test_an_event_reaches_the_world_once_and_a_refused_one_is_said() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world) as p:
        p.pipeline.asked.event("it rains")
        p.chunks(4)
        assert world.events == ["it rains"]
        p.pipeline.asked.event("refuse")
        error = cast(Error, p.next(Error))
        assert "another" in error.text
        assert not error.over
        p.chunks(2)
        assert not p.pipeline.over


def test_a_step_that_fails_ends_the_world_with_one_sentence() -> None:
    with page(FakeWorld(fps=400, due=4, fail_at=2)) as p:
        error = cast(Error, p.next(Error))
        assert error.over
        assert "the dream broke" in error.text
        assert p.pipeline.over


def test_a_refused_beginning_is_said() -> None:
    with page(FakeWorld(), Session("two", Opening(None, "a" * 101, 7))) as p:
        error = cast(Error, p.next(Error))
        assert error.over
        assert "shorten" in error.text


class OverlapWorld(FakeWorld):
    """Remembers whether the chunk before was still being shown when a dream was done."""

    showing = False
    overlapped = False

    def dream(self, controls: Controls, event: str | None = None) -> FakeDream:
        dream = super().dream(controls, event)
        self.overlapped |= self.showing
        return dream

    def show(self, dream: FakeDream) -> Tensor:
        self.showing = True
        frames = super().show(dream)
        self.showing = False
        return frames


def test_dreaming_and_showing_overlap() -> None:
    world = OverlapWorld(fps=400, due=4, dream_seconds=0.1, show_seconds=0.15)
    with page(world) as p:
        p.chunks(6)
    assert world.overlapped


def test_jpeg_keeps_the_picture() -> None:
    world = FakeWorld((32, 48))
    frame = world.reset(torch.zeros(3, 32, 48, dtype=torch.uint8))[0]
    back = Image.open(io.BytesIO(jpeg(frame, 95)))
    assert back.size == (48, 32)
    assert np.abs(np.asarray(back).astype(float) - frame.permute(1, 2, 0).numpy()).mean() < 3


class GatedWorld(FakeWorld):
    """Shows a chunk for every ``gate.release()``; its frames last no time, so that it is always late."""

    def __init__(self) -> None:
        super().__init__(due=4, fps=1e6)
        self.gate = Semaphore(0)

    def show(self, dream: FakeDream) -> Tensor:
        self.gate.acquire()
        return super().show(dream)


def test_a_late_world_listens_to_the_keys_only_when_the_chunk_before_is_being_shown() -> None:
    world = GatedWorld()
    with page(world) as p:
        p.next(Picture)
        assert eventually(lambda: len(world.actions) == 2)  # one is being shown, one is dreamt
        assert not eventually(lambda: len(world.actions) > 2, 0.3)
        p.hold("w", 1)
        world.gate.release()
        assert eventually(lambda: len(world.actions) == 3)
        assert not eventually(lambda: len(world.actions) > 3, 0.3)
        world.gate.release(3)
        assert [m.held for m in p.chunks(3)] == ["", "", "w"]
        p.pipeline.close(0)
        world.gate.release(9)
