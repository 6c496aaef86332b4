"""The door: one page, one socket. ``dreamx play`` opens it and prints its address.

Everything goes through the one HTTP port by paths relative to the page, so that it works through any port forwarding.
The event loop only moves messages; worlds run on the threads of their pipelines.
"""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Response, WebSocket, WebSocketDisconnect
from fastapi.staticfiles import StaticFiles
from starlette.types import Message

from dreamx.picture import read_picture
from dreamx.play import protocol
from dreamx.play.pipeline import Opening, Pipeline
from dreamx.play.protocol import Command, Event, Keys, Request, Restore, Shown, Start
from dreamx.play.replies import Busy, Error, Hello, Picture, Reply, pack
from dreamx.play.starts import StartPicture, read_starts
from dreamx.world import World, find

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:",
}


@dataclass(frozen=True)
class PlayConfig:
    """Play a world in the browser."""

    world: str = "tiny"
    """Name of a shipped world, or path of a checkpoint."""
    host: str = "127.0.0.1"
    """Address to listen on. Whoever can reach it can play; the default is this machine alone."""
    port: int = 8800
    """Port to listen on; a free one is taken where this one is not free."""
    threads: int | None = None
    """CPU threads of each stage; by default half of the cores, because a chunk is shown while the next is dreamt."""
    jpeg_quality: int = 85
    """1 to 95."""
    sessions: int = 4
    """So many people may play at once."""
    starts: Path | None = None
    """Folder of start pictures, NAME.png with the prompt in NAME.txt; by default those of the world."""

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; choose 1 to 95")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port is {self.port}; choose 0 to 65535")
        if self.sessions < 1:
            raise ValueError(f"sessions is {self.sessions}; at least one person must be allowed to play")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}; give at least 1")
        if self.starts is not None and not self.starts.is_dir():
            raise ValueError(f"starts: {self.starts} is not a folder; give the folder of the start pictures")


@dataclass
class House:
    """What all sessions share: one world, of which each gets a fork, the gallery, and how many are inside."""

    world: World
    name: str
    starts: dict[str, StartPicture]
    quality: int
    room: int
    inside: int = 0


def create_app(house: House) -> FastAPI:
    """The HTTP and socket side of a house."""
    app = FastAPI(title="dreamx play", docs_url=None, redoc_url=None)
    rows, cols = house.world.size

    @app.get("/api/world")
    def world() -> dict[str, object]:
        starts = [{"id": s.id, "prompt": s.prompt, "thumbnail": f"starts/{s.id}.png"} for s in house.starts.values()]
        limits = {"prompt_characters": protocol.PROMPT_LIMIT, "image_bytes": protocol.IMAGE_LIMIT}
        return {"name": house.name, "size": [rows, cols], "fps": house.world.fps, "starts": starts, "limits": limits}

    @app.get("/starts/{name}.png")
    def start(name: str) -> Response:
        if name not in house.starts:
            raise HTTPException(404, "there is no such start picture")
        return Response(house.starts[name].png, media_type="image/png", headers=_HEADERS)

    @app.get("/healthz")
    def healthz() -> dict[str, object]:
        return {"ok": True, "sessions": house.inside, "room": house.room}

    @app.websocket("/socket")
    async def socket(ws: WebSocket) -> None:
        await _welcome(house, ws)

    app.mount("/", _Static(directory=_STATIC, html=True))
    return app


class _Static(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:  # Starlette's own signature
        response = super().file_response(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        response.headers.update(_HEADERS)
        return response


async def _welcome(house: House, ws: WebSocket) -> None:
    """One player, from the door to the door."""
    if not _same_origin(ws):
        await ws.close(1008)  # another site's page must not play here in its visitor's name
        return
    await ws.accept()
    with suppress(WebSocketDisconnect, ConnectionError):
        if house.inside >= house.room:
            full = f"all {house.room} places are taken; try again in a minute"
            await ws.send_text(str(pack(Busy(text=full, retry_seconds=5))))
            await ws.close(1013)
            return
        house.inside += 1
        visit = Visit(house, ws)
        try:
            await visit.run()
        finally:
            await visit.leave()
            house.inside -= 1


def _same_origin(ws: WebSocket) -> bool:
    origin = ws.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == ws.headers.get("host")


class Visit:
    """One open socket and, once started, its pipeline."""

    def __init__(self, house: House, ws: WebSocket) -> None:
        self._house = house
        self._ws = ws
        self._pipeline: Pipeline | None = None
        self._pump: asyncio.Task[None] | None = None
        self._sent = -1  # the newest frame on its way

    async def run(self) -> None:
        """Answer messages until the page leaves."""
        house = self._house
        await self._say(Hello(world=house.name, size=house.world.size, fps=house.world.fps))
        while True:
            message = await self._ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._obey(protocol.parse(_payload(message)))
            except ValueError as e:
                await self._say(Error(text=str(e)))

    async def leave(self) -> None:
        """End the pipeline, if there is one; afterwards another may be begun."""
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, ConnectionError, RuntimeError):
                await self._pump
        if self._pipeline is not None:
            await asyncio.to_thread(self._pipeline.close)
        self._pump = self._pipeline = None

    async def _obey(self, request: Request) -> None:
        if isinstance(request, Start):
            await self._start(request)
            return
        pipeline = self._pipeline
        if pipeline is None or pipeline.over:
            if not isinstance(request, Shown):  # frames of a world that stopped may still be on the way
                raise ValueError(f"{request.type}: no world is running; start one first")
        elif isinstance(request, Keys):
            pipeline.hold(request.held, request.seq)
        elif isinstance(request, Shown):
            if request.frame <= self._sent:  # otherwise of the world before this one
                pipeline.shown(request.frame, None if request.spare is None else request.spare / 1000)
        elif isinstance(request, Event):
            pipeline.event(request.text)
        elif isinstance(request, Command | Restore):
            _command(pipeline, request)

    async def _start(self, request: Start) -> None:
        opening = await asyncio.to_thread(self._opening, request)
        await self.leave()
        outbox: asyncio.Queue[Reply | Picture] = asyncio.Queue()  # bounded by the pace: the page must show frames to get more
        emit = partial(_emit, asyncio.get_running_loop(), outbox)
        self._sent = -1
        self._pipeline = Pipeline(self._house.world.fork(), opening, emit, self._house.quality)
        self._pump = asyncio.create_task(self._send_all(outbox))
        self._pipeline.begin()

    def _opening(self, request: Start) -> Opening:
        data = request.picture()
        prompt = request.prompt
        if request.start is not None:
            if request.start not in self._house.starts:
                raise ValueError(f"start.start: there is no start picture {request.start!r}; see api/world for their ids")
            start = self._house.starts[request.start]
            data, prompt = start.png, prompt or start.prompt
        if data is None:
            return Opening(None, prompt, request.seed)
        image, note = read_picture(data, self._house.world.size)
        return Opening(image, prompt, request.seed, note)

    async def _send_all(self, outbox: asyncio.Queue[Reply | Picture]) -> None:
        with suppress(WebSocketDisconnect, ConnectionError):
            while True:
                reply = await outbox.get()
                if isinstance(reply, Picture):
                    self._sent = reply.frame
                await self._say(reply)

    async def _say(self, reply: Reply | Picture) -> None:
        data = pack(reply)
        await (self._ws.send_text(data) if isinstance(data, str) else self._ws.send_bytes(data))


def _command(pipeline: Pipeline, request: Command | Restore) -> None:
    if request.type in ("pause", "resume"):
        pipeline.pause(request.type == "pause")
    else:
        pipeline.wish(request.type)


def _emit(loop: asyncio.AbstractEventLoop, outbox: asyncio.Queue[Reply | Picture], reply: Reply | Picture) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(outbox.put_nowait, reply)


def _payload(message: Message) -> str | bytes:
    text = message.get("text")
    return text if text is not None else message.get("bytes") or b""


def serve(app: FastAPI) -> uvicorn.Server:
    """A quiet uvicorn for the app; ``run(sockets=[listener])`` it. Messages over the limit close their socket (1009)."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        ws_max_size=protocol.MESSAGE_LIMIT,
        ws_per_message_deflate=False,  # JPEGs do not get smaller
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> sockets.socket:
    """A listening socket on the port, or on a free one where it is taken; ValueError when the host is not ours."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    for attempt in (port, 0):
        listener = sockets.socket(family, sockets.SOCK_STREAM)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            listener.bind((host, attempt))
            listener.listen(128)
            return listener
        except (sockets.gaierror, UnicodeError):
            raise ValueError(f"host {host!r} is not an address of this machine; use 127.0.0.1 or 0.0.0.0") from None
        except OSError as e:
            listener.close()
            if attempt == 0:
                raise ValueError(f"cannot listen on {host}: {e.strerror}; choose another --host") from e
    raise AssertionError("unreachable")


def main(cfg: PlayConfig) -> None:
    """Open the world, print the address, serve until interrupted."""
    torch.set_num_threads(cfg.threads or max(1, (os.cpu_count() or 1) // 2))
    starts = read_starts(cfg.starts or find(cfg.world) / "starts")
    house = House(World.open(cfg.world), cfg.world, starts, cfg.jpeg_quality, cfg.sessions)
    listener = listen(cfg.host, cfg.port)
    port = listener.getsockname()[1]
    if cfg.port not in (port, 0):
        sys.stderr.write(f"Port {cfg.port} is taken; using {port}.\n")
    host = f"[{cfg.host}]" if ":" in cfg.host else cfg.host
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves
        serve(create_app(house)).run(sockets=[listener])
