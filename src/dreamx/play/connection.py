"""One open socket: what the page asks is done, what comes of it is sent. The event loop only moves messages."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from secrets import token_urlsafe

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message
from starlette.websockets import WebSocketState

from dreamx.play import client_messages
from dreamx.play.client_messages import (
    Command,
    FramesShown,
    Keys,
    RecordCommand,
    Request,
    Restore,
    ResumeSession,
    Rewind,
    SayEvent,
    StartMessage,
    Switch,
)
from dreamx.play.codec import Encoder
from dreamx.play.next_session import NextSession, Outbox, begin
from dreamx.play.pipeline import Pipeline
from dreamx.play.server_messages import Busy, Error, FrameKind, Hello, Picture, Reply, SessionSuspended, in_full, pack
from dreamx.play.session_manager import RETRY, SessionManager
from dreamx.play.session_spec import Session
from dreamx.play.start_request import encoder_of, opening_of, read_large
from dreamx.play.visitor import visitor
from dreamx.session import Switches

GOODBYE = 5.0  # seconds that a page has to hear a last word
_REASON = 120  # characters for which a close has room
UNREAD = 500  # messages that may wait for a page; one who does not read them is not listened to either

_LOG = logging.getLogger("uvicorn.error")


class Connection:
    """One player, from the door to the door: at most one running world at a time."""

    def __init__(self, manager: SessionManager, ws: WebSocket) -> None:
        self.pipeline: Pipeline | None = None
        self.active = asyncio.get_running_loop().time()
        self._manager, self._ws = manager, ws
        self._owner = visitor(ws)
        self._session = ""
        self._pump: asyncio.Task[None] | None = None
        self._outbox: Outbox | None = None
        self._sent = -1  # the newest frame on its way
        self._changing = asyncio.Lock()  # the world: by the page, by the manager, by another page that takes it over

    @property
    def unsent(self) -> int:
        """Return the number of messages that wait for the page."""
        return 0 if self._outbox is None else self._outbox.qsize()

    @property
    def _cut_off(self) -> bool:
        """Whether sending has ended by itself: nobody is there any more, whatever else they have said."""
        return self._pump is not None and self._pump.done() and not self._pump.cancelled()

    async def run(self) -> None:
        """Answer messages until the page leaves."""
        manager = self._manager
        await self._say(Hello(world=manager.name, size=manager.world.size, fps=manager.world.fps))
        while True:
            await asyncio.sleep(0)  # a thousand messages may lie there already: others get their turn between two of them
            while self.unsent > UNREAD and not self._cut_off:
                await asyncio.sleep(0.05)
            if self._cut_off:
                return
            message = await self._ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._answer(_payload(message))
            except ValueError as e:
                await self._say(Error(text=str(e)))
            except (WebSocketDisconnect, ConnectionError):
                raise
            except Exception as e:  # what nobody has thought of is no reason to close the socket, or to end a walk
                _LOG.warning("a message could not be obeyed: %s", in_full(e))
                await self._say(Error(text=f"the server could not do that ({type(e).__name__}); try something else"))

    async def leave(self) -> None:
        """The page is gone: keep the session, free the place."""
        async with self._changing:
            await self._leave()

    async def rest(self, why: str) -> None:
        """Stop the world, keep the session, and say why, and whether it is kept."""
        session, text = await self._end(why)
        if session:
            with suppress(WebSocketDisconnect, ConnectionError, RuntimeError, TimeoutError):
                await asyncio.wait_for(self._say(SessionSuspended(session=session, text=text)), GOODBYE)

    async def dismiss(self, why: str) -> None:
        """The same, and close the socket (1012)."""
        _, text = await self._end(why)
        with suppress(WebSocketDisconnect, ConnectionError, RuntimeError, TimeoutError):
            await asyncio.wait_for(self._ws.close(1012, text[:_REASON]), GOODBYE)

    async def _end(self, why: str) -> tuple[str, str]:
        """Stop the world. The session that ran, if one did, and why it stopped, and whether it is kept."""
        async with self._changing:
            session, ran = self._session, self.pipeline is not None
            in_time = await self._leave()
        if not ran:
            return "", why
        return session, f"{why}; {await self._manager.word(session) if in_time else 'its last seconds may not be kept'}"

    # ---- what the page asks --------------------------------------------------------------------------------------------

    async def _answer(self, text: str | bytes) -> None:
        said = client_messages.parse(text) if client_messages.is_light(text) else text
        self.active = asyncio.get_running_loop().time()
        if isinstance(said, StartMessage | str | bytes):
            await self._start(said)
        else:
            await self._obey(said)

    async def _start(self, said: StartMessage | str | bytes) -> None:
        """Begin a world. A place is taken first; only then what is large is read and decoded, one at a time."""
        manager, session = self._manager, token_urlsafe(12)
        if not manager.acquire(session, self):
            return await self._say_busy()
        try:
            if isinstance(said, StartMessage) and said.image is None and said.replay is None:
                opening, codec = await asyncio.to_thread(opening_of, said, manager), said.codec
            else:
                async with manager.heavy:
                    opening, codec = await asyncio.to_thread(read_large, said, manager)
            await self._begin(Session(session, opening, owner=self._owner), encoder_of(codec, manager))
        finally:
            self._give_back(session)

    async def _obey(self, request: Request) -> None:
        if isinstance(request, ResumeSession):
            await self._resume(request)
            return
        pipeline = self.pipeline
        if pipeline is None or pipeline.over:
            if not isinstance(request, FramesShown):  # frames of a world that stopped may still be on the way
                raise ValueError(f"{request.type}: no world is running; start one first")
        else:
            await self._play(pipeline, request)

    async def _play(self, pipeline: Pipeline, request: Request) -> None:
        match request:
            case Keys():
                pipeline.inputs.hold(request.held, request.seq, request.look, request.turn)
            case FramesShown():
                if request.frame <= self._sent:  # otherwise of the world before this one
                    pipeline.inputs.shown(request.frame, None if request.spare is None else request.spare / 1000)
            case SayEvent():
                pipeline.inputs.event(request.text)
            case Switch():
                pipeline.switch(Switches(request.memory, request.camera, request.walls, request.packed))
            case RecordCommand():
                await self._manager.ready()
                await asyncio.to_thread(pipeline.record, request.on, request.crisp)
                await self._manager.sweep()
            case Command(type="pause" | "resume"):
                pipeline.pause(request.type == "pause")
            case Command() | Restore() | Rewind():
                pipeline.inputs.submit(request)
            case _:
                raise AssertionError(f"{request.type} is for a connection without a world")

    # ---- beginning and ending ------------------------------------------------------------------------------------------

    async def _resume(self, request: ResumeSession) -> None:
        manager = self._manager
        encode = encoder_of(request.codec, manager)
        if manager.store is None:
            raise ValueError("resume_session: this server keeps no sessions; start a new one")
        async with manager.resuming:  # nobody may begin it between its end there and its beginning here
            other = manager.client_of(request.session)
            if other is self:
                await self.leave()
            elif other is not None:
                await other.rest("the session goes on in another window")
            await manager.written()
            if not manager.acquire(request.session, self):
                return await self._say_busy()
            try:
                await self._begin(await manager.load(request.session), encode)
            finally:
                self._give_back(request.session)

    def _give_back(self, session: str) -> None:
        """The place that was taken for a session, unless that was begun."""
        if self.pipeline is None or self._session != session:
            self._manager.release(session, self)

    async def _begin(self, session: Session, encode: Encoder) -> None:
        """Walk in a session. Until its first picture is made the world that runs goes on, also where that fails."""
        manager = self._manager
        async with self._changing:
            if manager.stopping or not manager.acquire(session.id, self):
                await self._say_busy()
                return
            begun = await begin(manager, session, encode, self._owner)
            if isinstance(begun.first, Error):
                runs = self.pipeline is not None and not self.pipeline.over
                await self._say(replace(begun.first, over=not runs))
                return
            await self._leave()
            self._session, self._sent = session.id, -1
            self.pipeline, self._outbox = begun.pipeline, begun.outbox
            self._pump = asyncio.create_task(self._send_all(begun, session.id))
            manager.metrics.begun(resumed=session.here is not None)
        if session.here is None:
            await manager.sweep()

    async def _say_busy(self) -> None:
        text = f"all {self._manager.max_sessions} places are taken; try again in a moment"
        await self._say(Busy(text=text, retry_seconds=RETRY))

    async def _leave(self) -> bool:
        """End the pipeline, if there is one, and write its session; afterwards another may be begun. Did it end in time?"""
        in_time = True
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, ConnectionError, RuntimeError):
                await self._pump
        if self.pipeline is not None:
            in_time = await asyncio.to_thread(self.pipeline.close)
            await self._manager.written()
        self._manager.release(self._session, self)
        self._session = ""  # or it would be freed once more when the same session goes on
        self.pipeline = self._pump = self._outbox = None
        return in_time

    # ---- sending -------------------------------------------------------------------------------------------------------

    async def _send_all(self, begun: NextSession, session: str) -> None:
        with suppress(WebSocketDisconnect, ConnectionError):
            reply = begun.first
            while True:
                if isinstance(reply, Picture) and reply.kind is not FrameKind.TRUTH:
                    self._sent = max(self._sent, reply.frame)
                if isinstance(reply, Error) and reply.over:
                    self._manager.release(session, self)
                await self._say(reply)
                reply = await begun.outbox.get()

    async def _say(self, reply: Reply | Picture) -> None:
        if self._ws.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(1006)  # closed by us, while the page still spoke
        data = pack(reply)
        await (self._ws.send_text(data) if isinstance(data, str) else self._ws.send_bytes(data))
        self._manager.metrics.said(reply)


def _payload(message: Message) -> str | bytes:
    text = message.get("text")
    return text if text is not None else message.get("bytes") or b""
