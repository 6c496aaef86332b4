"""The front of a house of replicas: what its pages and its HTTP part share."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from dreamx.play.connection import GOODBYE
from dreamx.play.server_messages import Hello
from dreamx.serve.replica_directory import Announcement, ReplicaDirectory
from dreamx.serve.waiting_line import WaitingLine

#: Seconds between two announcements of a replica.
ANNOUNCE = 0.5
#: Bytes of pictures and replays that may wait in line, of all pages.
HELD_BYTES = 2**26
_BUCKETS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0)


class Page(Protocol):
    """An open page, as far as the front knows it."""

    async def dismiss(self, why: str) -> None:
        """Close its socket (1012)."""
        ...

    def replica_lost(self, replica: str) -> None:
        """Let go of that replica, if it plays there."""
        ...


class Front:
    """``waiting``: pages that may wait for a place. On one event loop."""

    def __init__(self, waiting: int) -> None:
        self.directory = ReplicaDirectory()
        self.line = WaitingLine(self.directory, waiting)
        self.most_waiting = waiting
        self.hello: Hello | None = None  # of the first replica that came
        self.pages: set[Page] = set()
        self.held_bytes = 0
        self.stopping = False
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        for name, what, value in (
            ("dreamx_front_replicas", "Replicas that are there", lambda: len(self.directory.replicas)),
            ("dreamx_front_places", "Sessions that may run at once", lambda: self.directory.places),
            ("dreamx_front_places_taken", "Places that are taken", lambda: self.directory.taken),
            ("dreamx_front_waiting", "Pages in line", lambda: len(self.line)),
            ("dreamx_front_pages", "Open pages", lambda: len(self.pages)),
        ):
            Gauge(name, what, registry=registry).set_function(value)
        self.lost = Counter("dreamx_front_replicas_lost", "Replicas that were lost", registry=registry)
        self.turned_away = Counter("dreamx_front_turned_away", "Pages for which the line was full", registry=registry)
        self.waited = Histogram(
            "dreamx_front_place_seconds", "From asking for a place to having it", registry=registry, buckets=_BUCKETS
        )

    @property
    def max_pages(self) -> int:
        """Return the most pages that may be open: pages that look at the gallery, play, or wait."""
        return 4 * self.directory.places + self.most_waiting + 12

    def record_announcement(self, said: Announcement) -> None:
        """A replica said that it is there."""
        self.directory.record_announcement(said, time.monotonic())
        if self.hello is None:
            self.hello = Hello(world=said.world, size=said.size, fps=said.fps)
        self.line.advance()

    def drop_replica(self, replica: str) -> None:
        """A replica is gone."""
        if self.directory.drop_replica(replica, time.monotonic()):
            self._let_go(replica)

    def _let_go(self, replica: str) -> None:
        self.lost.inc()
        for page in list(self.pages):
            page.replica_lost(replica)
        self.line.advance()

    async def watch(self) -> None:
        """Look for replicas that are silent, for as long as the front runs."""
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(ANNOUNCE)
            self.directory.forgive_silence(time.monotonic() - asleep - ANNOUNCE)
            for silent in self.directory.drop_silent(time.monotonic()):
                self._let_go(silent)
            self.line.advance()

    async def stop(self) -> None:
        """Say goodbye on every socket."""
        self.stopping = True
        goodbyes = (p.dismiss("the server stops") for p in self.pages)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*goodbyes, return_exceptions=True), GOODBYE)

    def metrics_text(self) -> bytes:
        """Metrics of the front itself, as Prometheus reads them."""
        return generate_latest(self._registry)
