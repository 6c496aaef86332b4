"""Hands and pace: which keys a chunk gets, and when it begins."""

from __future__ import annotations

import math
from collections import deque

import pytest

from dreamx.geometry.controls import Speed
from dreamx.play.inputs import InputQueue, KeyState
from dreamx.play.pacing import HURRY, SPARE, ChunkPacer
from dreamx.session import Switches

SPEED = Speed(degrees_per_second=32, fps=16)  # 2 degrees a frame


def keys(hands: KeyState) -> str:
    return hands.sample(4, SPEED)[0]


def test_a_held_key_counts_until_it_is_let_go() -> None:
    hands = KeyState()
    hands.hold("w", 1)
    assert [keys(hands), keys(hands)] == ["w", "w"]
    hands.hold("", 2)
    assert keys(hands) == ""
    assert hands.seq == 2


def test_a_tap_counts_for_exactly_one_chunk() -> None:
    hands = KeyState()
    hands.hold("j", 1)
    hands.hold("", 2)
    assert [keys(hands), keys(hands)] == ["j", ""]


def test_taps_add_up_with_held_keys() -> None:
    hands = KeyState()
    hands.hold("w", 1)
    hands.hold("wl", 2)
    hands.hold("w", 3)
    assert [keys(hands), keys(hands)] == ["wl", "w"]


def test_of_opposite_keys_the_newer_tap_wins_and_both_held_stay() -> None:
    hands = KeyState()
    for seq, held in enumerate(["j", "", "l"]):  # tapped left, then held right
        hands.hold(held, seq)
    assert [keys(hands), keys(hands)] == ["l", "l"]
    hands.hold("lj", 4)  # both held: the controls cancel them
    assert keys(hands) == "jl"
    hands.hold("w", 5)
    hands.hold("ws", 6)
    hands.hold("w", 7)
    assert [keys(hands), keys(hands)] == ["s", "w"]


def test_the_mouse_counts_once_and_a_stick_until_it_is_let_go() -> None:
    hands = KeyState()
    hands.hold("", 1, look=(5, -1))
    hands.hold("", 2, look=(2, 0), turn=(0.5, 0))
    assert hands.sample(4, SPEED) == ("", (7 + 0.5 * 4 * 2, -1))
    assert hands.sample(4, SPEED) == ("", (4, 0))
    hands.hold("w", 3)
    assert hands.sample(4, SPEED) == ("w", None)


def test_unknown_keys_change_nothing() -> None:
    hands = KeyState()
    hands.hold("w", 1)
    with pytest.raises(ValueError, match="not a key"):
        hands.hold("q", 2)
    assert (keys(hands), hands.seq) == ("w", 1)


class Theatre:
    """One millisecond after the other: a maker that obeys the pace, and a page that paints. ``spares`` of the chunks.

    ``delays``: what its messages take, one after the other and then from the first again. Until ``blocked`` it paints nothing.
    """

    def __init__(self, making: float, size: int = 12, painting: float = 1 / 16, delays: tuple[float, ...] = (0.0,)) -> None:
        self.now = 100.0
        self.pace = ChunkPacer(16, lambda: self.now)
        self.making, self.size, self.painting = making, size, painting
        self.spares: list[float] = []
        self.waits: list[float] = []  # how long the pictures of a chunk were still enough for when it was begun
        self.blocked = 0.0
        self._delays, self._said = delays, deque[tuple[float, int, float | None]]()
        self._arrives: float | None = None
        self._next = self.now  # when the next frame is to be painted
        self._ready: list[tuple[int, float | None]] = [(0, None)]
        self._painted, self._made = 0, 1
        self.pace.began(1)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 1000)):
            self.now += 0.001
            if self._arrives is None and self.pace.wait() == 0:
                self.waits.append((self._made - self._painted) / 16)
                self.pace.began(self.size)
                self._arrives = self.now + self.making
            if self._arrives is not None and self.now >= self._arrives:
                self._arrives = None
                spare = self._next + len(self._ready) * self.painting - self.now
                self.spares.append(spare)
                self._ready += [(self._made + i, spare if i == 0 else None) for i in range(self.size)]
                self._made += self.size
            if self._ready and self.now >= max(self._next, self.blocked):
                self._said.append((self.now + self._delays[self._painted % len(self._delays)], *self._ready.pop(0)))
                self._painted += 1
                late = self.now - self._next > self.painting
                self._next = (self.now if late else self._next) + self.painting  # as play/static/screen.js has it
            while self._said and self.now >= self._said[0][0]:
                self.pace.shown(*self._said.popleft()[1:])


@pytest.mark.parametrize(("making", "size"), [(0.02, 4), (0.02, 12), (0.15, 4), (0.15, 12), (0.6, 12)])
def test_chunks_arrive_shortly_before_their_time(making: float, size: int) -> None:
    theatre = Theatre(making, size)
    theatre.run(30)
    late = theatre.spares[-5:]
    assert all(0 < x < 2 * SPARE for x in late), late


def test_slowness_that_lasts_is_answered_fast_and_forgotten_slowly() -> None:
    theatre = Theatre(0.05, 4)
    theatre.run(15)
    before = theatre.pace.lead
    theatre.making = 0.15
    theatre.run(1.3)  # five chunks
    assert theatre.pace.lead == pytest.approx(before + 0.1, abs=0.01)
    theatre.making = 0.05
    theatre.run(0.8)
    assert theatre.pace.lead > before + 0.04
    theatre.run(15)
    assert theatre.pace.lead == pytest.approx(before, abs=0.005)


def test_one_slow_chunk_does_not_make_all_keys_after_it_wait() -> None:
    theatre = Theatre(0.05, 4)
    theatre.run(15)
    before, made = theatre.pace.lead, len(theatre.spares)
    theatre.making = 0.15
    while len(theatre.spares) == made:
        theatre.run(0.001)
    theatre.making = 0.05
    theatre.run(0.25)
    assert before + 0.02 < theatre.pace.lead < before + 0.06


def test_messages_that_are_late_by_chance_are_not_taken_for_a_late_page() -> None:
    theatre = Theatre(0.05, 4, delays=(0.001, 0.03, 0.01, 0.02, 0.003, 0.015, 0.03))
    theatre.run(15)
    assert theatre.pace.lead < 0.05 + SPARE + 0.01
    assert min(theatre.spares[-20:]) > 0


def test_a_page_that_was_late_is_followed() -> None:
    theatre = Theatre(0.05, 4)
    theatre.run(15)
    theatre.blocked = theatre.now + 1.0
    theatre.run(3)
    assert all(0 < x < 2 * SPARE for x in theatre.spares[-4:]), theatre.spares[-4:]


def test_a_world_slower_than_real_time_is_never_idle() -> None:
    theatre = Theatre(1.0)
    theatre.run(20)
    assert len(theatre.spares) >= 19


def test_a_slow_page_is_waited_for() -> None:
    theatre = Theatre(0.05, painting=1 / 8)
    theatre.run(30)
    assert len(theatre.spares) <= 30 * 8 / 12 + 2
    assert max(theatre.waits[3:]) < 0.75, "more than a chunk ahead"


def test_a_page_that_stops_gets_at_most_one_chunk_more() -> None:
    theatre = Theatre(0.05)
    theatre.run(5)
    theatre.painting = math.inf
    theatre._next = math.inf
    chunks = len(theatre.spares)
    theatre.run(5)
    assert len(theatre.spares) <= chunks + 1


def test_a_page_that_claims_to_paint_faster_than_the_world_runs_is_not_believed() -> None:
    theatre = Theatre(0.01, painting=1 / 200)
    theatre.run(10)
    assert len(theatre.spares) <= 10 * 16 / (1 - HURRY) / 12 + 4


@pytest.mark.parametrize("spare", [-60.0, 60.0, 0.0, None])
def test_a_lying_page_cannot_break_the_pace(spare: float | None) -> None:
    pace = ChunkPacer(16, lambda: 5.0)
    for frame in range(0, 1200, 12):
        pace.began(12)
        pace.shown(frame + 5000, spare)
        pace.shown(frame, spare)
        assert 0 <= pace.lead <= 12 / 16 + 0.5
        assert pace.wait() >= 0


def test_what_was_meant_for_elsewhere_is_forgotten_with_a_jump() -> None:
    """Keys tapped and words said just before a player goes back do not reach the place that he goes back to."""
    queue = InputQueue(Speed(fps=16), Switches(), ())
    queue.hold("w", 1)
    queue.hold("", 2)
    queue.event("it snows")
    queue.jumped()
    step = queue.sample(4).step
    assert (step.keys, step.event) == ("", None)
    queue.event("it rains")
    assert queue.sample(4).step.event == "it rains"
