"""Replicas of a world, as a front knows them: who is there, which sessions each has, and how many places are free.

Plain state, without clock, sockets or Ray: times are given, in seconds of any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds without a word after which a replica is taken for lost. One that dies is known at once by its sockets; this is for one
#: that hangs, and on a busy machine a live one may say nothing for some seconds.
SILENT = 10.0
#: Seconds for which players of a lost replica are let in before others.
REMEMBERED = 120.0


@dataclass(frozen=True)
class Announcement:
    """Says of a replica that it is there; sent again and again (``ANNOUNCE``).

    url: ``http://HOST:PORT`` of its server, whose ``token`` one needs. places: sessions that may run at once. sessions: ids of
    those that run. stopping: it takes no more. process: its number, on its own machine.
    """

    replica: str
    url: str
    token: str
    world: str
    size: tuple[int, int]
    fps: float
    places: int
    sessions: tuple[str, ...] = ()
    stopping: bool = False
    process: int = 0


@dataclass
class _Known:
    said: Announcement
    last_seen: float
    tickets: set[int] = field(default_factory=set[int])  # of pages that were sent there, and have not left
    full: bool = False  # it refused somebody since it was heard


class ReplicaDirectory:
    """Places of all replicas. A ticket is the number of a page that has, or waits for, a place."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._homes: dict[str, str] = {}  # session -> the replica that has it, or had it last
        self._orphans: dict[str, float] = {}  # sessions of lost replicas, and when these were lost

    @property
    def replicas(self) -> list[Announcement]:
        """Those that are there, as they announced themselves last."""
        return [k.said for k in self._known.values()]

    @property
    def places(self) -> int:
        """Return the number of places in all."""
        return sum(k.said.places for k in self._known.values() if not k.said.stopping)

    @property
    def taken(self) -> int:
        """Return the number of places that are taken."""
        return sum(self._taken(k) for k in self._known.values())

    def record_announcement(self, said: Announcement, now: float) -> None:
        """Note an announcement."""
        known = self._known.setdefault(said.replica, _Known(said, now))
        for session in set(known.said.sessions) - set(said.sessions):  # its session lies in the store, and may go on anywhere
            if self._homes.get(session) == said.replica:
                del self._homes[session]
        known.said, known.last_seen, known.full = said, now, False
        for session in said.sessions:
            if self._homes.get(session) not in self._known:  # else one that was taken for lost is back: it lets go of it soon
                self._homes[session] = said.replica
            self._orphans.pop(session, None)

    def assign_session(self, session: str, replica: str) -> None:
        """Note that a session began or went on there."""
        if replica in self._known:
            self._homes[session] = replica
            self._orphans.pop(session, None)

    def drop_replica(self, replica: str, now: float) -> bool:
        """Note that a replica is gone; its sessions have to be taken up by others. False where it was not there."""
        if self._known.pop(replica, None) is None:
            return False
        for session in [s for s, home in self._homes.items() if home == replica]:
            del self._homes[session]
            self._orphans[session] = now
        return True

    def forgive_silence(self, seconds: float) -> None:
        """Forgive all replicas so many seconds of silence: it was we who did not listen."""
        for known in self._known.values():
            known.last_seen += seconds

    def drop_silent(self, now: float) -> list[str]:
        """Lose all that were silent for too long; returns their names."""
        silent = [name for name, k in self._known.items() if now - k.last_seen > SILENT]
        for name in silent:
            self.drop_replica(name, now)
        self._orphans = {s: t for s, t in self._orphans.items() if now - t <= REMEMBERED}
        return silent

    def replica_of(self, session: str) -> Announcement | None:
        """Return the replica that has this session, where that is there."""
        known = self._known.get(self._homes.get(session, ""))
        return None if known is None else known.said

    def is_orphan(self, session: str) -> bool:
        """Whether the session's replica was lost, and nobody has taken it up yet."""
        return session in self._orphans

    def reserve_place(self, ticket: int, session: str | None = None) -> Announcement | None:
        """Take a place for a page, where its session is, else where most are free. None: there is none.

        A session that runs needs no further place where it runs, and must not run anywhere else.
        """
        home = self._known.get(self._homes.get(session or "", ""))
        if home is not None and not home.said.stopping and (session in home.said.sessions or self._free(home) > 0):
            chosen = home
        else:
            chosen = max((k for k in self._known.values()), key=self._free, default=None)
            if chosen is None or self._free(chosen) <= 0:
                return None
        self.release_place(ticket)
        chosen.tickets.add(ticket)
        return chosen.said

    def release_place(self, ticket: int) -> None:
        """Give a page's place back, if it has one."""
        for known in self._known.values():
            known.tickets.discard(ticket)

    def mark_full(self, replica: str, ticket: int) -> None:
        """Note that the replica had no place for this page after all: it gets nobody until it is heard again."""
        self.release_place(ticket)
        if replica in self._known:
            self._known[replica].full = True

    @staticmethod
    def _taken(known: _Known) -> int:
        # What it says is a moment old, and what we know may be only a part: another front, a page whose session is being kept.
        return max(len(known.tickets), len(known.said.sessions))

    def _free(self, known: _Known) -> int:
        return 0 if known.said.stopping or known.full else known.said.places - self._taken(known)
