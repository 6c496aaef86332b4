"""A quiet uvicorn whose connections are limited (``connections.py``), and in which no peer can make others wait.

header and body   a request must be all there after 15 seconds, counted from its first byte or from the connection
reading           64 kB at a time from one peer, so that others have their turn
frames            a message comes in at most 4096 of them, and bytes that are no UTF-8 reach the app as surrogates, to be answered
pongs             are left out for one who does not read them
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from dreamx.web.connections import Connections, Seldom, log_accept_errors_once

REQUEST_SECONDS = 15.0
READ = 2**16  # bytes
FRAMES = 4096  # of one message
UNREAD = 2**18  # bytes that wait for a peer, after which it gets no pongs
ACCEPTS = 16  # connections at a time, so that those beyond the limit are closed before there are too many
BACKLOG = 1024  # that may wait in the system to be accepted
_BUSY = b"too many connections are open; try again in a moment\n"
_LATE = b"the request did not arrive in time\n"


class _Http(H11Protocol):
    """uvicorn's, with a place for each connection and a time for each request."""

    def __init__(
        self,
        places: Connections,
        seconds: float,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._places, self._seconds = places, seconds
        self._due: asyncio.TimerHandle | None = None
        self._upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        transport.max_size = READ  # pyright: ignore[reportAttributeAccessIssue]  (asyncio's own transports have it)
        if self._places.admit(transport):
            self._owes(True)
        else:
            self._refuse(503, "Service Unavailable", _BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owes(False)
        self._places.release(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._upgraded = True
        self._places.busy(self.transport, True)
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        """Is something asked that we owe an answer for, or owes the peer the rest of a request?"""
        if self._upgraded or self.transport.is_closing():
            self._owes(False)
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        answering = cycle is not None and not cycle.response_complete
        whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        self._places.busy(self.transport, answering and whole)
        self._owes(not whole and self.timeout_keep_alive_task is None)

    def _owes(self, owes: bool) -> None:
        if not owes and self._due is not None:
            self._due.cancel()
            self._due = None
        elif owes and self._due is None:
            self._due = self.loop.call_later(self._seconds, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            if self.conn.our_state is h11.IDLE:
                self._refuse(408, "Request Timeout", _LATE)
            else:
                self.transport.abort()

    def _refuse(self, status: int, phrase: str, words: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(words)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + words)
        self.transport.close()


class _Socket(WebSocketsSansIOProtocol):
    """uvicorn's, which gives its place back, and passes on what is no UTF-8."""

    def __init__(self, places: Connections, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._places = places

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.release(self.transport)
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        pong = b"".join(self.conn.data_to_send())
        if self.transport.get_write_buffer_size() < UNREAD:
            self.transport.write(pong)

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) >= FRAMES:
            self.frames = []
            self.conn.fail(1009, "too many frames")
            self.handle_parser_exception()
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            data = b"".join(self.frames)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = data.decode(errors="surrogateescape")
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
            self.frames = []
            if not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()
        else:
            super().send_receive_event_to_app()


def server_for(app: ASGIApp, places: Connections, message_bytes: int = 2**16, seconds: float = REQUEST_SECONDS) -> uvicorn.Server:
    """A server for the app, with places for connections; ``run(sockets=[listener])`` it.

    Messages over ``message_bytes`` close their socket (1009); requests that are not all there after so many seconds are ended.
    """
    log = logging.getLogger("uvicorn.error")
    if not any(isinstance(x, Seldom) for x in log.filters):
        log.addFilter(Seldom())
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="on",
        loop="asyncio",  # uvloop, where somebody has it, has other transports
        http=cast("type[asyncio.Protocol]", partial(_Http, places, seconds)),
        ws=cast("type[asyncio.Protocol]", partial(_Socket, places)),
        ws_max_size=message_bytes,
        ws_per_message_deflate=False,  # pictures do not get smaller
        timeout_graceful_shutdown=3,
        backlog=ACCEPTS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    startup = server.startup

    async def start(sockets: list[sockets.socket] | None = None) -> None:
        log_accept_errors_once(asyncio.get_running_loop())
        await startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # asyncio takes the same number for both

    server.startup = start
    return server
