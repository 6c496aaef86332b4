"""The house: what all sessions share, who is inside, and that no session is lost when its player or the server goes.

A place is taken by a running world, not by an open page. Everything here runs on the event loop, but files have one
thread of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Protocol

from dreamx.plaintext import brief, sentence
from dreamx.play.beside import Truth
from dreamx.play.metrics import Metrics
from dreamx.play.opening import Opening, Session
from dreamx.play.past import Span
from dreamx.play.pipeline import Pipeline
from dreamx.play.starts import StartPicture
from dreamx.play.store import Store, png
from dreamx.world import World

IDLE = 120.0  # seconds after which a world that nobody looks at is put to rest
RETRY = 5.0  # seconds after which one may ask for a place again
_LOG = logging.getLogger("uvicorn.error")

#: The id of a start picture -> what makes its truth, on the thread that will use it.
TruthOf = Callable[[str], Callable[[], Truth | None]]


class Guest(Protocol):
    """A visit, as far as the house knows it."""

    active: float  # when it last said something sensible, by the loop's clock

    @property
    def pipeline(self) -> Pipeline | None:
        """The world it walks in."""
        ...

    async def rest(self, text: str) -> None:
        """Stop the world, keep the session, and say so."""
        ...

    async def dismiss(self, reason: str) -> None:
        """Stop the world, keep the session, and close the socket (1012)."""
        ...


class House:
    """One world, of which each session gets a fork, the gallery, and the places.

    ``store`` None: nothing is kept. ``truth`` None: no truth pictures. ``idle``: seconds until a
    world that nobody looks at is put to rest.
    """

    def __init__(
        self,
        world: World,
        name: str,
        starts: dict[str, StartPicture],
        quality: int,
        room: int,
        store: Store | None = None,
        truth: TruthOf | None = None,
        idle: float = IDLE,
    ) -> None:
        self.world, self.name, self.starts, self.quality, self.room = world, name, starts, quality, room
        self.store, self.truth, self.idle = store, truth, idle
        self.weights = world.identity  # asked once, so that the forks need not find out
        self.metrics = Metrics(room)
        self.metrics.running.set_function(lambda: self.running)
        self.metrics.sockets.set_function(lambda: self.inside)
        self.guests: set[Guest] = set()
        self.resuming = asyncio.Lock()
        self.heavy = asyncio.Semaphore(1)  # decoding a picture, reading or writing a replay: seconds and 100 MB each
        self.stopping = False
        self._running: dict[str, Guest] = {}
        self._unwritten: dict[str, Session] = {}
        self._lock = Lock()
        self._files = ThreadPoolExecutor(1, "files")

    @property
    def inside(self) -> int:
        """How many sockets are open."""
        return len(self.guests)

    @property
    def running(self) -> int:
        """How many places are taken."""
        return len(set(self._running.values()))

    @property
    def sockets(self) -> int:
        """How many sockets may be open: pages that look at the gallery, or wait for a place."""
        return 4 * self.room + 12

    # ---- places --------------------------------------------------------------------------------------------------------

    def take(self, session: str, guest: Guest) -> bool:
        """A place for the guest's session, beside the one that it may have and is about to leave; False where all are taken."""
        others = set(self._running.values()) - {guest}
        if len(others) >= self.room:
            return False
        self._running[session] = guest
        return True

    def free(self, session: str, guest: Guest) -> None:
        """The guest needs the place of this session no more."""
        if self._running.get(session) is guest:
            del self._running[session]

    def guest(self, session: str) -> Guest | None:
        """Who walks in this session."""
        return self._running.get(session)

    async def watch(self) -> None:
        """Put to rest what nobody looks at, for as long as the server runs."""
        loop = asyncio.get_running_loop()
        resting: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(min(5.0, self.idle / 4))
            for guest in set(self._running.values()):
                if loop.time() - guest.active > self.idle:
                    guest.active = loop.time()
                    text = f"nobody looked for {self.idle:g} seconds, so the world rests; its session is kept"
                    task = loop.create_task(guest.rest(text))
                    resting.add(task)
                    task.add_done_callback(resting.discard)

    async def stop(self) -> None:
        """The server stops: keep every session, and say goodbye on every socket."""
        self.stopping = True
        await asyncio.gather(*(g.dismiss("the server stops; sessions are kept") for g in self.guests), return_exceptions=True)
        await self.written()

    def close(self) -> None:
        """Nothing more is written."""
        self._files.shutdown()

    # ---- files ---------------------------------------------------------------------------------------------------------

    def keep(self, session: Session) -> None:
        """Write the session soon; what is given meanwhile takes its place. From any thread; does not wait."""
        if self.store is None:
            return
        with self._lock:
            queued = session.id in self._unwritten
            self._unwritten[session.id] = session
        if not queued:
            with suppress(RuntimeError):  # the house is closed
                self._files.submit(self._write, self.store, session.id)

    def _write(self, store: Store, name: str) -> None:
        with self._lock:
            session = self._unwritten.pop(name)
        try:
            store.save(session, self.weights)
            self.metrics.saved.inc()
        except Exception as e:
            self.metrics.unsaved.inc()
            _LOG.warning("session %s could not be kept: %s", name, sentence(e))

    async def written(self) -> None:
        """Wait until all that was given to ``keep`` is written."""
        await asyncio.get_running_loop().run_in_executor(self._files, int)

    async def sweep(self) -> None:
        """Make room in the store."""
        if self.store is not None:
            running = set(self._running)
            await asyncio.get_running_loop().run_in_executor(self._files, partial(self.store.sweep, running))

    async def load(self, name: str) -> Session:
        """A kept session. ValueError, one sentence, where there is none."""
        if self.store is None:
            raise ValueError("resume_session: this server keeps no sessions; start a new one")
        return await asyncio.get_running_loop().run_in_executor(self._files, self.store.load, name, self.world.fork)

    async def walked(self, name: str) -> tuple[Opening, tuple[Span, ...]]:
        """How a session began, and its steps so far, whether it runs or is kept. ValueError where there is none."""
        guest = self.guest(name)
        pipeline = None if guest is None else guest.pipeline
        if pipeline is not None:
            return pipeline.opening, tuple(pipeline.past.spans)
        if self.store is None:
            raise ValueError(f"there is no session {brief(name)} here")
        return await asyncio.get_running_loop().run_in_executor(self._files, self.store.walked, name)

    async def picture(self, name: str) -> bytes:
        """The picture that a session showed last, as PNG. ValueError where there is none."""
        guest = self.guest(name)
        pipeline = None if guest is None else guest.pipeline
        if pipeline is not None and pipeline.picture is not None:
            return await asyncio.to_thread(png, pipeline.picture)
        if self.store is None:
            raise ValueError(f"there is no session {brief(name)} here")
        return await asyncio.get_running_loop().run_in_executor(self._files, self.store.picture, name)
