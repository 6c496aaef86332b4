"""The line before a house that is full: who comes first is let in first, players of a lost replica before all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from dreamx.serve.replica_directory import Announcement, ReplicaDirectory


class LineFull(Exception):
    """The line is as long as it may be."""


@dataclass
class _Waiting:
    session: str | None
    number: int
    tell: Callable[[int, int], None]
    granted: asyncio.Future[Announcement]
    told: tuple[int, int] = field(default=(0, 0))


class WaitingLine:
    """Places of a directory, for one after the other. ``most``: pages that may wait. On one event loop."""

    def __init__(self, directory: ReplicaDirectory, most: int) -> None:
        self._directory, self._most = directory, most
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def number(self) -> int:
        """Draw the number of a wish; who has a smaller one is let in first."""
        return next(self._numbers)

    async def place(self, ticket: int, number: int, session: str | None, tell: Callable[[int, int], None]) -> Announcement:
        """Wait for a place. ``tell`` hears the place in line, from 1, and how many wait, whenever that changes.

        Who was given one in vain, as its replica had none after all, asks again with the same ``number``. LineFull where nobody
        else may wait. Cancelled, the page leaves the line.
        """
        if not self._waiting or (session is not None and self._directory.replica_of(session) is not None):
            taken = self._directory.reserve_place(ticket, session)
            if taken is not None:
                return taken
        first = session is not None and self._directory.is_orphan(session)
        before = sum(waits.number < number for waits in self._waiting.values())  # the others came since
        if before >= self._most and not first:
            raise LineFull
        waits = _Waiting(session, number, tell, asyncio.get_running_loop().create_future())
        self._waiting[ticket] = waits
        self.advance()
        try:
            return await waits.granted
        except asyncio.CancelledError:
            self._directory.release_place(ticket)  # it may have been granted a moment ago
            raise
        finally:
            self._waiting.pop(ticket, None)
            self.advance()

    def advance(self) -> None:
        """Let in who can be, and tell the others where they stand. To be called whenever places may have changed."""
        line = sorted(self._waiting.items(), key=lambda x: (not self._orphan(x[1]), x[1].number))
        left: list[_Waiting] = []
        for ticket, waits in line:
            if waits.granted.done():
                continue
            taken = None if left else self._directory.reserve_place(ticket, waits.session)
            if taken is None:
                left.append(waits)
            else:
                waits.granted.set_result(taken)
        for i, waits in enumerate(left):
            now = (i + 1, len(left))
            if waits.told != now:
                waits.told = now
                waits.tell(*now)

    def _orphan(self, waits: _Waiting) -> bool:
        return waits.session is not None and self._directory.is_orphan(waits.session)
