"""The three threads: what comes out for what went in, one chunk ahead and never more, and how they end."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Semaphore, active_count, enumerate
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamx.geometry import Controls, from_keys
from dreamx.play.client_messages import Command, Restore, Rewind
from dreamx.play.codec import jpeg, jpegs
from dreamx.play.history import MOMENTS, RECENT, History
from dreamx.play.inputs import MAX_PENDING
from dreamx.play.pipeline import Pipeline
from dreamx.play.server_messages import ChunkReady, Error, Picture, Reply, Started, State
from dreamx.play.session_spec import Session, SessionStart, Sinks
from dreamx.play.video import Recorder
from dreamx.replay import ReplayStep, controls
from dreamx.session import Switches
from dreamx.world import World
from fake_world import FakeDream, FakeWorld
from play_house import eventually

SESSION = Session("one", SessionStart(None, "a park", 7))


class Page:
    """Paints at once what it gets; ``frames`` counts them."""

    def __init__(self, world: FakeWorld, session: Session, recordings: Path | None = None) -> None:
        self.heard: Queue[Reply | Picture] = Queue()
        self.all: list[Reply | Picture] = []
        self.kept: list[Session] = []
        recorder = None if recordings is None else Recorder(recordings, world.size, world.fps)
        sinks = Sinks(self.heard.put, jpegs(85), recorder, self.kept.append)
        self.pipeline = Pipeline(cast(World, world), session, sinks)
        self.hold = self.pipeline.inputs.hold

    def next(self, kind: type) -> Reply | Picture:
        for _ in range(5000):
            self.all.append(self.heard.get(timeout=10))
            got = self.all[-1]
            if isinstance(got, Picture):
                self.pipeline.inputs.shown(got.frame, None)
            if isinstance(got, kind):
                return got
        raise AssertionError(f"5000 messages, and none was {kind.__name__}")

    def chunks(self, count: int) -> list[ChunkReady]:
        return [cast(ChunkReady, self.next(ChunkReady)) for _ in range(count)]

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
        made = [x for x in p.all if isinstance(x, ChunkReady)]
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
        p.pipeline.inputs.submit(Restore("restore"))
        assert "no such moment" in cast(Error, p.next(Error)).text
        p.pipeline.inputs.submit(Command("save"))
        while not cast(State, p.next(State)).moments:
            pass
        p.chunks(1)
        p.next(Picture)
        still = p.pictures[-1].data
        p.hold("l", 1)
        p.chunks(3)
        p.hold("", 2)
        p.chunks(2)
        p.pipeline.inputs.submit(Restore("restore"))
        jump(p)
        p.next(Picture)
        assert p.pictures[-1].data == still
        assert len({x.data for x in p.pictures}) > 4


def test_an_event_reaches_the_world_once_and_a_refused_one_is_said() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world) as p:
        p.pipeline.inputs.event("it rains")
        p.chunks(4)
        assert world.events == ["it rains"]
        p.pipeline.inputs.event("refuse")
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
    with page(FakeWorld(), Session("two", SessionStart(None, "a" * 101, 7))) as p:
        error = cast(Error, p.next(Error))
        assert error.over
        assert "shorten" in error.text


class OverlapWorld(FakeWorld):
    """Remembers whether the chunk before was still being shown when a dream was done."""

    showing = False
    overlapped = False

    def denoise(
        self, controls: Controls, event: str | None = None, early: Callable[[FakeDream], None] = lambda _: None
    ) -> FakeDream:
        def made(dream: FakeDream) -> None:
            self.overlapped |= self.showing
            early(dream)

        return super().denoise(controls, event, made)

    def decode(self, dream: FakeDream) -> Tensor:
        self.showing = True
        frames = super().decode(dream)
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

    def decode(self, dream: FakeDream) -> Tensor:
        self.gate.acquire()
        return super().decode(dream)


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


# ---- going back, switching, walking along ------------------------------------------------------------------------------


def state(p: Page, wanted: Callable[[State], bool]) -> State:
    """The next state that is wanted."""
    for _ in range(500):
        if wanted(got := cast(State, p.next(State))):
            return got
    raise AssertionError("500 states, and none was wanted")


def jump(p: Page) -> ChunkReady:
    """The next chunk that is the place of a jump."""
    for _ in range(500):
        if (made := cast(ChunkReady, p.next(ChunkReady))).frames == 1:
            return made
    raise AssertionError("500 chunks, and none was a jump")


def test_where_one_is_comes_with_every_chunk() -> None:
    with page(FakeWorld(fps=400, due=4)) as p:
        assert cast(ChunkReady, p.next(ChunkReady)).pose == (0, 0, 0, 0)
        p.hold("wl", 1)
        made = p.chunks(12)[-1]
        p.hold("i", 2)
        up = p.chunks(12)[-1]
    x, z, heading, pitch = made.pose
    assert x > 0
    assert z > 0
    assert heading > 0
    assert pitch == 0
    assert up.pose[3] > 0


@pytest.mark.parametrize("ahead", [True, False])
def test_the_world_is_dreamt_ahead_only_where_it_may_be(ahead: bool) -> None:
    world = FakeWorld(fps=400, due=4, show_seconds=0.01, ahead=ahead)  # complains itself
    with page(world) as p:
        p.hold("w", 1)
        p.chunks(10)
        assert not p.pipeline.over
        recalled = [m.recalled for m in p.all if isinstance(m, ChunkReady)]
    assert recalled[0] == []
    assert all(bool(x) is not ahead for x in recalled[2:])


def test_keys_are_sampled_after_the_wait_for_what_was_shown() -> None:
    world = GatedWorld()
    world.can_pipeline = False
    with page(world) as p:
        p.next(Picture)
        assert eventually(lambda: len(world.actions) == 1)
        assert not eventually(lambda: len(world.actions) > 1, 0.3)
        p.hold("w", 1)  # while the first is being shown
        world.gate.release()
        assert eventually(lambda: len(world.actions) == 2)
        assert float(world.actions[1].move[0, 2]) > 0
        p.pipeline.close(0)
        world.gate.release(9)


def test_there_is_nothing_to_rewind_at_the_beginning() -> None:
    p = Page(FakeWorld(), SESSION)
    p.pipeline.inputs.submit(Rewind("rewind", 5))
    p.pipeline.begin()
    assert "nothing to rewind" in cast(Error, p.next(Error)).text
    p.pipeline.close()


def test_rewind_goes_back_as_far_as_there_is() -> None:
    with page(FakeWorld(fps=100, due=10)) as p:
        p.hold("w", 1)
        state(p, lambda s: s.rewindable >= 5)
        assert len(p.pipeline.history.recent) >= 5
        there = p.chunks(1)[0].pose
        p.pipeline.inputs.submit(Rewind("rewind", 2))
        back = jump(p).pose
        second = 100 * 0.075  # metres, at that pace
        assert 1.9 * second < there[1] - back[1] < 4.1 * second
        p.chunks(3)
        p.pipeline.inputs.submit(Rewind("rewind", 1000))
        assert jump(p).pose == (0, 0, 0, 0)


def test_the_recent_past_is_bounded() -> None:
    past, world = History(), FakeWorld((8, 8))
    frame = world.reset(None)[-1]
    for _ in range(1000):
        past.step(ReplayStep("w", 16))
        past.recent.append(past.here(cast(World, world), frame))
        past.remember(cast(World, world), frame)
    assert len(past.recent) == RECENT + 1
    assert [m.id for m in past.moments] == [str(i) for i in range(1000 - MOMENTS + 1, 1001)]
    assert past.spans == [(ReplayStep("w", 16), 1000)]
    assert past.rewindable() == RECENT * 16


def test_moments_are_branches_that_stay() -> None:
    with page(FakeWorld(fps=400, due=4)) as p:
        p.hold("w", 1)
        p.chunks(4)
        p.pipeline.inputs.submit(Command("save"))
        one = state(p, lambda s: len(s.moments) == 1).moments[0]
        p.hold("d", 2)
        p.chunks(6)
        p.pipeline.inputs.submit(Command("save"))
        two = state(p, lambda s: len(s.moments) == 2).moments[1]
        assert two.chunk > one.chunk
        p.pipeline.inputs.submit(Restore("restore", one.id))
        first = jump(p).pose
        p.pipeline.inputs.submit(Restore("restore"))
        second = jump(p).pose
        p.pipeline.inputs.submit(Restore("restore", one.id))
        assert jump(p).pose == first != second
        assert [x for x in p.all if isinstance(x, State)][-1].moments == [one, two]
        p.pipeline.inputs.submit(Restore("restore", "9"))
        assert "no such moment" in cast(Error, p.next(Error)).text


def test_too_many_wishes_at_once_are_refused() -> None:
    world = GatedWorld()
    with page(world) as p:
        assert eventually(lambda: len(world.actions) == 2)
        for _ in range(MAX_PENDING):
            p.pipeline.inputs.submit(Command("save"))
        with pytest.raises(ValueError, match="commands are waiting"):
            for _ in range(MAX_PENDING):
                p.pipeline.inputs.submit(Command("save"))
        p.pipeline.close(0)
        world.gate.release(9)


def test_switches_reach_the_world_with_the_next_chunk() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world) as p:
        p.chunks(3)
        p.pipeline.switch(Switches(memory=False, camera=True))
        assert state(p, lambda s: not s.switches.memory).switches.camera
        p.chunks(6)
    assert world.switched[0] == Switches()
    assert world.switched[-1] == Switches(memory=False)


def test_the_mouse_turns_the_view_and_not_too_fast() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world) as p:
        p.next(Picture)
        p.hold("", 1, (8.0, -4.0), None)
        p.chunks(8)
        p.hold("", 2, (900.0, 0.0), None)
        p.chunks(8)
    turns = torch.stack([a.turn for a in world.actions])
    turned = turns.flatten(1).abs().sum(1).nonzero()[:, 0].tolist()
    assert len(turned) == 2
    assert torch.allclose(turns[turned[0]], torch.tensor([[2.0, -1.0]]).expand(4, 2))
    assert torch.equal(turns[turned[1], :, 0], torch.full((4,), 12.0))


SCRIPT = (
    ReplayStep("w", 4),
    ReplayStep("w", 4, (10.0, 0.0)),
    ReplayStep("", 4, event="it rains", switches=Switches(memory=False)),
    ReplayStep("d", 4),
)


def test_a_replay_is_walked_to_its_end_and_then_the_player_goes_on() -> None:
    world = FakeWorld(fps=400, due=4)
    with page(world, Session("one", SessionStart(None, "a park", 7, script=SCRIPT))) as p:
        p.hold("s", 1)
        assert cast(State, p.next(State)).replaying
        state(p, lambda s: not s.switches.memory)
        state(p, lambda s: not s.replaying)
        p.chunks(6)  # those of the replay may still be on their way
        assert world.events == ["it rains"]
        spans = list(p.pipeline.history.spans)
    held = [m.held for m in p.all if isinstance(m, ChunkReady)]
    assert held[:6] == ["", "w", "w", "", "d", "s"]
    assert [s for s, _ in spans[:4]] == list(SCRIPT)
    twin = FakeWorld(fps=400, due=4)
    frames = list(twin.reset(None, "a park", 7))
    for step in SCRIPT:
        frames += list(twin.step(controls(step, twin.config.speed)))
    assert [x.data for x in p.pictures[: len(frames)]] == [jpeg(x, 85) for x in frames]


def test_a_replay_of_another_pace_is_refused_and_the_player_goes_on() -> None:
    with page(FakeWorld(fps=400, due=8), Session("one", SessionStart(None, "a park", 7, script=SCRIPT))) as p:
        error = cast(Error, p.next(Error))
        assert "4 frames at a time" in error.text
        assert not error.over
        p.chunks(3)


def test_a_session_is_kept_at_the_beginning_every_few_seconds_and_at_the_end() -> None:
    with page(FakeWorld(fps=16, due=16)) as p:
        p.pipeline.inputs.submit(Command("save"))
        p.hold("w", 1)
        p.chunks(2)
        first = len(p.kept)
    walked = [s.here.frames for s in p.kept if s.here is not None]
    assert first >= 1
    assert walked[0] == 1
    assert walked[-1] == p.pipeline.history.frames
    assert walked == sorted(walked)


def test_a_world_that_broke_is_not_kept_as_it_broke() -> None:
    with page(FakeWorld(fps=400, due=4, fail_at=3)) as p:
        p.hold("w", 1)
        assert cast(Error, p.next(Error)).over
    assert p.kept[-1].here is not None
    assert p.kept[-1].here.frames == 1
    assert p.kept[-1].here.spans == ()
