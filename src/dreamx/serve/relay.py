"""One page's socket at the front: it is led to the replica where its session is, or in line before all of them.

The first message that wants a world (``start``, ``resume_session``) chooses the replica; from then on messages pass as they
are, one after the other, so that a page that does not read holds up its own replica's socket and nothing else.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from dreamx.plaintext import parse_json
from dreamx.play import client_messages
from dreamx.play.client_messages import FramesShown, ResumeSession, StartMessage
from dreamx.play.server_messages import Busy, Error, Queued, Reply, pack
from dreamx.play.session_manager import RETRY
from dreamx.serve.front import HELD_BYTES, Front
from dreamx.serve.replica_directory import Announcement
from dreamx.serve.waiting_line import LineFull

LOST = "the connection to its replica is lost; the session goes on at another one"
_TYPE = re.compile(r'\{"type": "(\w+)"')  # as ``server_messages.pack`` writes it
_COOKIE = re.compile(r"dreamx_visitor=[A-Za-z0-9_-]{16,64}")
_NUMBERS = count()
_OPEN = 5.0  # seconds that a replica has to take a socket


class Relay:
    """One page, from the door to the door: at most one socket at a replica at a time, and at most one place."""

    def __init__(self, front: Front, ws: WebSocket) -> None:
        self._front, self._ws = front, ws
        self._ticket = next(_NUMBERS)
        self._replica: Announcement | None = None  # where it plays
        self._upstream: ClientConnection | None = None
        self._runs = False  # a world does: it has a place
        self._pump: asyncio.Task[None] | None = None
        self._seating: asyncio.Task[None] | None = None
        self._waits = False  # it stands in line
        self._asked: tuple[ClientConnection | None, Announcement | None] = (None, None)  # for a world, and has not answered
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Pass messages on until the page leaves, or its replica does."""
        if self._front.hello is not None:
            await self._say(self._front.hello)
        while True:
            message = await self._ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await self._take(text if text is not None else message.get("bytes") or b"")

    async def leave(self) -> None:
        """The page is gone: leave the replica, which keeps the session, and free the place."""
        for task in (self._seating, self._pump):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        if self._upstream is not None:
            await _close(self._upstream)
        self._free()

    async def dismiss(self, why: str) -> None:
        """Close the page's socket (1012)."""
        if self._ws.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
                await self._ws.close(1012, why[:120])

    def replica_lost(self, replica: str) -> None:
        """Let go of that replica, if it plays there, or is just asked: its socket may stay silent for ever."""
        for upstream, there in ((self._upstream, self._replica), self._asked):
            if upstream is not None and there is not None and there.replica == replica:
                upstream.transport.abort()  # whoever reads it hears that it is closed

    # ---- what the page says --------------------------------------------------------------------------------------------

    async def _take(self, data: str | bytes) -> None:
        wants, session = False, None
        if client_messages.is_light(data):
            try:
                said = client_messages.parse(data)
            except ValueError as e:
                return await self._say(Error(text=str(e)))
            wants = isinstance(said, StartMessage | ResumeSession)
            session = said.session if isinstance(said, ResumeSession) else None
            if not wants and self._upstream is None:
                if not isinstance(said, FramesShown) and self._seating is None:
                    await self._say(Error(text=f"{said.type}: no world is running; start one first"))
                return None
        else:
            wants = True  # a picture or a replay; whether it is one, its replica finds out
        if wants:
            await self._seat(data, session)
        elif self._upstream is not None:
            with suppress(ConnectionClosed):  # the pump says so
                await self._upstream.send(data)
        return None

    async def _seat(self, data: str | bytes, session: str | None) -> None:
        """Have the message answered by a replica that has a place; an earlier one that still waits for that is given up."""
        if self._seating is not None:
            if self._waits:
                self._seating.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._seating  # what a replica was asked already is answered first
            self._seating = None
        home = None if session is None else self._front.directory.replica_of(session)
        if self._runs and self._upstream is not None and (session is None or home in (None, self._replica)):
            with suppress(ConnectionClosed):
                await self._upstream.send(data)
            return
        self._seating = asyncio.create_task(self._find_place(data, session))

    async def _find_place(self, data: str | bytes, session: str | None) -> None:
        """Wait for a place, and begin there."""
        front, asked = self._front, time.monotonic()
        if front.held_bytes + len(data) > HELD_BYTES:
            return await self._turn_away()
        front.held_bytes += len(data)
        number = front.line.number()
        try:
            while True:
                self._waits = True
                replica = await front.line.place(self._ticket, number, session, self._told)
                self._waits = False
                if await self._begin(replica, data):
                    front.waited.observe(time.monotonic() - asked)
                    return None
        except LineFull:
            await self._turn_away()
        except (WebSocketDisconnect, ConnectionError, RuntimeError):
            pass  # the page left
        finally:
            front.held_bytes -= len(data)
        return None

    async def _begin(self, replica: Announcement, data: str | bytes) -> bool:
        """Ask a replica; False where it has no place or is not there. The world that runs ends when the new one began."""
        try:
            address = replica.url.replace("http", "ws", 1) + "/socket"
            upstream = await connect(address, additional_headers=forwarded(self._ws, replica), max_size=None,
                                     compression=None, open_timeout=_OPEN, close_timeout=1, ping_interval=None)  # fmt: skip
        except (OSError, InvalidHandshake, TimeoutError):
            self._front.directory.release_place(self._ticket)
            self._front.drop_replica(replica.replica)
            return False
        self._asked = (upstream, replica)
        try:
            first = await upstream.recv()
            if kind(first) == "hello":
                await upstream.send(data)
                first = await upstream.recv()
        except ConnectionClosed as e:
            self._front.directory.mark_full(replica.replica, self._ticket)
            if e.rcvd is None:
                self._front.drop_replica(replica.replica)
            elif e.rcvd.code not in (1012, 1013):  # it does not like the message
                await self._ws.close(e.rcvd.code, e.rcvd.reason)
                return True
            return False
        except asyncio.CancelledError:
            await _close(upstream)
            self._front.directory.release_place(self._ticket)
            raise
        finally:
            self._asked = (None, None)
        if kind(first) == "busy":
            await _close(upstream)
            self._front.directory.mark_full(replica.replica, self._ticket)
            return False
        await self._switch(upstream, replica, first)
        return True

    async def _switch(self, upstream: ClientConnection, replica: Announcement, first: str | bytes) -> None:
        """Go on with this socket of a replica, unless what it says first is an error and a world runs elsewhere."""
        if kind(first) == "error" and self._runs:
            await _close(upstream)
            said: dict[str, Any] = parse_json(first)
            await self._say(Error(text=said["text"]))
            return
        before, pump = self._upstream, self._pump
        self._upstream, self._replica = upstream, replica
        self._pump = asyncio.create_task(self._pass_on(upstream, replica, first))
        if pump is not None:
            pump.cancel()
        if before is not None:
            _in_the_background(_close(before))

    # ---- what the replica says -----------------------------------------------------------------------------------------

    async def _pass_on(self, upstream: ClientConnection, replica: Announcement, data: str | bytes) -> None:
        """Give everything to the page; when the replica closes the socket, close the page's."""
        try:
            while True:
                self._note(data, replica)
                await self._send(data)
                data = await upstream.recv()
        except ConnectionClosed as e:
            code, why = (1012, LOST) if e.rcvd is None else (e.rcvd.code, e.rcvd.reason)
            if e.rcvd is None:
                self._front.drop_replica(replica.replica)
            self._free()
            with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
                await self._ws.close(code, why[:120])
        except (WebSocketDisconnect, ConnectionError, RuntimeError):
            pass  # the page left

    def _note(self, data: str | bytes, replica: Announcement) -> None:
        match kind(data):
            case "started":
                self._runs = True
                self._front.directory.assign_session(parse_json(data)["session"], replica.replica)
            case "rested":
                self._free()
            case "error" if parse_json(data)["over"] or not self._runs:
                self._free()
            case _:
                pass

    # ---- words ---------------------------------------------------------------------------------------------------------

    def _free(self) -> None:
        self._runs = False
        self._front.directory.release_place(self._ticket)
        self._front.line.advance()

    def _told(self, place: int, waiting: int) -> None:
        text = f"all {self._front.directory.places} places are taken; you are number {place} of {waiting} in line"
        _in_the_background(self._say(Queued(text=text, place=place, waiting=waiting)))

    async def _turn_away(self) -> None:
        self._front.turned_away.inc()
        text = f"all {self._front.directory.places} places are taken and {len(self._front.line)} wait; try again in a moment"
        await self._say(Busy(text=text, retry_seconds=RETRY))

    async def _say(self, reply: Reply) -> None:
        await self._send(pack(reply))

    async def _send(self, data: str | bytes) -> None:
        if self._ws.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(1006)
        async with self._sending:
            await (self._ws.send_text(data) if isinstance(data, str) else self._ws.send_bytes(data))


_TASKS: set[asyncio.Task[None]] = set()


def _in_the_background(work: Coroutine[Any, Any, None]) -> None:
    async def quietly() -> None:
        with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
            await work

    task = asyncio.create_task(quietly())
    _TASKS.add(task)  # the loop itself holds no task
    task.add_done_callback(_TASKS.discard)


def kind(data: str | bytes) -> str:
    """Return the type of a message of a server; ``""``: it is a picture."""
    found = _TYPE.match(data) if isinstance(data, str) else None
    return "" if found is None else found[1]


def forwarded(asked: HTTPConnection, replica: Announcement) -> dict[str, str]:
    """Return the headers by which a replica knows us, and whose visit it is (``play.visitor``)."""
    client = "127.0.0.1" if asked.client is None else asked.client.host
    headers = {"Authorization": f"Bearer {replica.token}", "X-Forwarded-For": client}
    if found := _COOKIE.search(asked.headers.get("cookie", "")):
        headers["Cookie"] = found[0]
    return headers


async def _close(upstream: ClientConnection) -> None:
    with suppress(Exception):
        await upstream.close()
