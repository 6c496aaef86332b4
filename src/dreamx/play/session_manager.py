"""The session manager: what all sessions share, who is inside, and that no session is lost when its player or the server goes.

A place is taken by a running world, not by an open page. Everything here runs on the event loop, but files have one
thread of their own.

What the disk does not take stays in memory and is tried again, every few seconds, so a full disk ends no walk and loses no
session while the server runs. Whatever goes wrong with files is one sentence to its player and one line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Protocol, TypeVar

from dreamx.plaintext import brief
from dreamx.play.gallery import StartPicture
from dreamx.play.ground_truth_stream import Truth
from dreamx.play.history import Span
from dreamx.play.pipeline import Pipeline
from dreamx.play.server_messages import in_full, reason
from dreamx.play.server_metrics import Metrics
from dreamx.play.session_spec import KEEP_EVERY, Session, SessionStart
from dreamx.play.session_store import SessionStore
from dreamx.play.snapshot_files import png
from dreamx.world import World

IDLE = 120.0  # seconds after which a world that nobody looks at is put to rest
RETRY = 5.0  # seconds after which one may ask for a place again
T = TypeVar("T")
_LOG = logging.getLogger("uvicorn.error")

#: The id of a start picture -> what makes its truth, on the thread that will use it.
TruthOf = Callable[[str], Callable[[], Truth | None]]


class Client(Protocol):
    """A connection, as far as the manager knows it."""

    active: float  # when it last said something sensible, by the loop's clock

    @property
    def pipeline(self) -> Pipeline | None:
        """The world it walks in."""
        ...

    async def rest(self, why: str) -> None:
        """Stop the world, keep the session, and say why, and whether it is kept."""
        ...

    async def dismiss(self, why: str) -> None:
        """The same, and close the socket (1012)."""
        ...


class SessionManager:
    """One world, of which each session gets a fork, the gallery, and the places.

    ``store`` None: nothing is kept. ``truth`` None: no truth pictures. ``idle``: seconds until a
    world that nobody looks at is put to rest. ``keep_every``: seconds of walking between two saves.
    """

    def __init__(
        self,
        world: World,
        name: str,
        starts: dict[str, StartPicture],
        quality: int,
        max_sessions: int,
        store: SessionStore | None = None,
        truth: TruthOf | None = None,
        idle: float = IDLE,
        keep_every: float = KEEP_EVERY,
    ) -> None:
        self.world, self.name, self.starts, self.quality = world, name, starts, quality
        self.max_sessions = max_sessions
        self.store, self.truth, self.idle, self.keep_every = store, truth, idle, keep_every
        self.weights = world.identity  # asked once, so that the forks need not find out
        self.metrics = Metrics(max_sessions)
        self.metrics.running.set_function(lambda: self.running)
        self.metrics.sockets.set_function(lambda: self.open_sockets)
        self.clients: set[Client] = set()
        self.resuming = asyncio.Lock()
        self.heavy = asyncio.Semaphore(1)  # decoding a picture, reading or writing a replay: seconds and 100 MB each
        self.stopping = False
        self._running: dict[str, Client] = {}
        self._unwritten: dict[str, Session] = {}  # what the disk does not have yet, or did not take
        self._queued: set[str] = set()  # of these, what is to be written next
        self._failed: dict[str, str] = {}  # of these, what was not taken, and why
        self._lock = Lock()  # around these three
        self._files = ThreadPoolExecutor(1, "files")

    @property
    def open_sockets(self) -> int:
        """Return the number of open sockets."""
        return len(self.clients)

    @property
    def running(self) -> int:
        """Return the number of running sessions."""
        return len(set(self._running.values()))

    @property
    def sessions(self) -> list[str]:
        """Return the ids of the running sessions, and of those for which a place is held. From any thread."""
        return list(self._running)

    @property
    def max_sockets(self) -> int:
        """Return the most sockets that may be open: pages that look at the gallery, or wait for a place."""
        return 4 * self.max_sessions + 12

    # ---- places --------------------------------------------------------------------------------------------------------

    def acquire(self, session: str, client: Client) -> bool:
        """A place for the client's session, beside the one that it may have and is about to leave; False where all are taken."""
        others = set(self._running.values()) - {client}
        if len(others) >= self.max_sessions:
            return False
        self._running[session] = client
        return True

    def release(self, session: str, client: Client) -> None:
        """The client needs the place of this session no more."""
        if self._running.get(session) is client:
            del self._running[session]

    def client_of(self, session: str) -> Client | None:
        """Return the client of this session, if it runs."""
        return self._running.get(session)

    async def watch(self) -> None:
        """Put to rest what nobody looks at, for as long as the server runs."""
        loop = asyncio.get_running_loop()
        resting: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(min(5.0, self.idle / 4))
            for client in set(self._running.values()):
                if loop.time() - client.active > self.idle:
                    client.active = loop.time()
                    task = loop.create_task(client.rest(f"nobody looked for {self.idle:g} seconds, so the world rests"))
                    resting.add(task)
                    task.add_done_callback(resting.discard)
            self._try_again()

    async def stop(self) -> None:
        """The server stops: keep every session, and say goodbye on every socket."""
        self.stopping = True
        await asyncio.gather(*(g.dismiss("the server stops") for g in self.clients), return_exceptions=True)
        self._try_again()
        await self.written()
        for name, why in self._failed.items():
            _LOG.warning("session %s is lost: %s", name, why)

    def close(self) -> None:
        """Finish what is being written, and write nothing more."""
        self._files.shutdown()
        if self.store is not None:
            self.store.close()

    # ---- files ---------------------------------------------------------------------------------------------------------

    def keep(self, session: Session, tell: Callable[[str], None] | None = None) -> None:
        """Write the session soon; what is given meanwhile takes its place. From any thread; does not wait.

        tell: is called with a sentence where the disk does not take it, once until it does again; from another thread.
        """
        if self.store is not None:
            with self._lock:
                self._unwritten[session.id] = session
            self._queue(session.id, tell)

    def _queue(self, name: str, tell: Callable[[str], None] | None = None) -> None:
        with self._lock:
            queued = name in self._queued
            self._queued.add(name)
        if not queued and self.store is not None:
            with suppress(RuntimeError):  # the manager is closed
                self._files.submit(self._write, self.store, name, tell)

    def _try_again(self) -> None:
        """Queue again what the disk did not take."""
        for name in list(self._failed):
            self._queue(name)

    def _write(self, store: SessionStore, name: str, tell: Callable[[str], None] | None) -> None:
        with self._lock:
            self._queued.discard(name)
            session = self._unwritten.get(name)
        if session is None:
            return
        try:
            store.save(session, self.weights)
        except Exception as e:
            self.metrics.unsaved.inc()
            self._not_written(name, e, tell)
            return
        self.metrics.saved.inc()
        with self._lock:
            if self._unwritten.get(name) is session:
                del self._unwritten[name]
            failed = self._failed.pop(name, None)
        if failed is not None:
            _LOG.warning("session %s is kept again", name)

    def _not_written(self, name: str, e: Exception, tell: Callable[[str], None] | None) -> None:
        why, lost = reason(e), list[str]()
        with self._lock:
            known, self._failed[name] = self._failed.get(name), why
            resting = [x for x in self._failed if x not in self._running]
            for x in resting[: -self.max_sessions]:  # memory ends, too
                lost.append(x)
                del self._failed[x]
                self._unwritten.pop(x, None)
        if known != why:
            _LOG.warning("session %s could not be kept: %s", name, in_full(e))
            if tell is not None:
                tell(f"the server cannot write this session to its disk now ({why}); walk on, it is tried again")
        for x in lost:
            _LOG.warning("session %s is lost: too many wait to be written", x)

    async def written(self) -> None:
        """Wait until all that was given to ``keep`` is written, or was not taken."""
        with suppress(RuntimeError):  # the manager is closed
            await asyncio.get_running_loop().run_in_executor(self._files, int)

    async def word(self, name: str) -> str:
        """Return what became of a session given to ``keep``, when all is written; a sentence for its player."""
        if self.store is None:
            return "this server keeps no sessions"
        if name in self._failed:
            return f"its session waits to be written ({self._failed[name]}) and would be lost with the server"
        try:
            kept = await self._ask("looking for a session", self.store.has, name)
        except ValueError as e:
            return str(e)
        return "its session is kept" if kept else "there was nothing to keep yet"

    async def _ask(self, what: str, work: Callable[..., T], *given: object) -> T:
        """Let the thread for files do it. ValueError, one sentence, whatever goes wrong."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._files, partial(work, *given))
        except ValueError:
            raise
        except Exception as e:
            _LOG.warning("%s failed: %s", what, in_full(e))
            raise ValueError(f"the server has trouble with its files ({reason(e)}); try again in a moment") from e

    async def ready(self) -> None:
        """Make the store's folder again, where it was deleted. ValueError, one sentence, where that cannot be done."""
        if self.store is not None:
            await self._ask("the folder of the state", self.store.ready)

    async def sweep(self) -> None:
        """Make room in the store, if it can be made."""
        if self.store is not None:
            with suppress(ValueError):
                await self._ask("making room", self.store.sweep, set(self._running))

    async def load(self, name: str) -> Session:
        """A kept session. ValueError, one sentence, where there is none."""
        if self.store is None:
            raise ValueError("resume_session: this server keeps no sessions; start a new one")
        waits = self._unwritten.get(name)
        return waits or await self._ask(f"session {name[:64]!r}", self.store.load, name, self.world.fork)

    async def walked(self, name: str) -> tuple[SessionStart, tuple[Span, ...]]:
        """Return a session's start and its steps so far, whether it runs or is kept. ValueError where there is none."""
        client, waits = self.client_of(name), self._unwritten.get(name)
        pipeline = None if client is None else client.pipeline
        if pipeline is not None:
            return pipeline.opening, tuple(pipeline.history.spans)
        if waits is not None and waits.here is not None:
            return waits.opening, waits.here.spans
        if self.store is None:
            raise ValueError(f"there is no session {brief(name)} here")
        return await self._ask(f"session {brief(name)}", self.store.walked, name)

    async def picture(self, name: str) -> bytes:
        """The picture that a session showed last, as PNG. ValueError where there is none."""
        client, waits = self.client_of(name), self._unwritten.get(name)
        pipeline = None if client is None else client.pipeline
        shown = pipeline.picture if pipeline is not None else None if waits is None or waits.here is None else waits.here.picture
        if shown is not None:
            return await asyncio.to_thread(png, shown)
        if self.store is None:
            raise ValueError(f"there is no session {brief(name)} here")
        return await self._ask(f"session {brief(name)}", self.store.picture, name)
