"""The line before a full house: in order, players of a lost replica first, and no longer than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from dreamx.serve.replica_directory import Announcement
from dreamx.serve.waiting_line import LineFull, WaitingLine
from test_replica_directory import directory, said


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


class Waiter:
    """A page in line; ``told``: what it heard."""

    def __init__(self, line: WaitingLine, ticket: int, session: str | None = None) -> None:
        self.told: list[tuple[int, int]] = []
        self.task: asyncio.Task[Announcement] = asyncio.create_task(
            line.place(ticket, line.number(), session, lambda place, waiting: self.told.append((place, waiting)))
        )


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served() -> None:
    async def test() -> None:
        found = directory(said("a", places=1))
        line = WaitingLine(found, 8)
        inside, *waiting = [Waiter(line, i) for i in range(4)]
        await settled()
        assert inside.task.done() and len(line) == 3
        assert [w.told[-1] for w in waiting] == [(1, 3), (2, 3), (3, 3)]
        for gone, next_in in enumerate(waiting):
            found.release_place(gone)
            line.advance()
            await settled()
            assert next_in.task.done() and next_in.task.result().replica == "a"
            assert [w.told[-1] for w in waiting[gone + 1 :]] == [(i + 1, 2 - gone) for i in range(2 - gone)]
        assert len(line) == 0

    run(test())


def test_nobody_passes_the_line_while_somebody_waits() -> None:
    async def test() -> None:
        found = directory(said("a", places=1))
        line = WaitingLine(found, 8)
        Waiter(line, 0)
        first = Waiter(line, 1)
        await settled()
        found.release_place(0)  # and before the line hears of it:
        late = Waiter(line, 2)
        await settled()
        assert first.task.done() and not late.task.done()
        late.task.cancel()

    run(test())


def test_players_of_a_lost_replica_come_before_all_others_even_where_the_line_is_full() -> None:
    async def test() -> None:
        found = directory(said("a", "x", places=1), said("b", "walk", places=1))
        line = WaitingLine(found, 1)
        new = Waiter(line, 0)
        await settled()
        found.drop_replica("b", 0.0)
        back = Waiter(line, 1, "walk")
        await settled()
        assert back.told[-1] == (1, 2) and new.told[-1] == (2, 2)
        found.record_announcement(said("c", places=1), 0.1)
        line.advance()
        await settled()
        assert back.task.done() and not new.task.done()
        new.task.cancel()

    run(test())


def test_a_session_that_runs_is_taken_over_without_waiting() -> None:
    async def test() -> None:
        line = WaitingLine(directory(said("a", "walk", places=1)), 8)
        new, again = Waiter(line, 0), Waiter(line, 1, "walk")
        await settled()
        assert again.task.done() and not new.task.done()
        new.task.cancel()

    run(test())


def test_a_full_line_takes_nobody_and_who_leaves_makes_room() -> None:
    async def test() -> None:
        line = WaitingLine(directory(said("a", "x", places=1)), 2)
        one, two = Waiter(line, 0), Waiter(line, 1)
        await settled()
        with pytest.raises(LineFull):
            await line.place(2, line.number(), None, lambda *_: None)
        one.task.cancel()
        await settled()
        assert two.told[-1] == (1, 1) and len(line) == 1
        two.task.cancel()
        await settled()
        assert len(line) == 0

    run(test())


def test_a_place_that_was_granted_to_a_page_that_left_is_given_to_the_next() -> None:
    async def test() -> None:
        found = directory(said("a", places=1))
        line = WaitingLine(found, 8)
        Waiter(line, 0)
        one, two = Waiter(line, 1), Waiter(line, 2)
        await settled()
        found.release_place(0)
        line.advance()  # grants it to the first,
        one.task.cancel()  # who leaves before hearing of it
        await settled()
        assert two.task.done() and found.taken == 1

    run(test())


def test_who_was_given_a_place_in_vain_keeps_its_turn() -> None:
    async def test() -> None:
        found = directory(said("a", places=1))
        line = WaitingLine(found, 1)
        number = line.number()
        await line.place(0, number, None, lambda *_: None)
        found.mark_full("a", 0)  # somebody is still leaving there
        late = Waiter(line, 1)
        again = asyncio.create_task(line.place(0, number, None, lambda *_: None))
        await settled()
        assert not again.done() and late.told[-1] == (2, 2)
        found.record_announcement(said("a", places=1), 0.1)
        line.advance()
        await settled()
        assert again.done() and not late.task.done()
        late.task.cancel()

    run(test())
