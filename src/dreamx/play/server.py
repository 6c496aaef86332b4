"""HTTP and WebSocket server of ``dreamx play``: one port, one page, one socket a player.

Everything goes through the one HTTP port by paths relative to the page, so that it works through any port forwarding.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket as sockets
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import quote

import torch
import tyro
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.types import ASGIApp

from dreamx import released
from dreamx.bounds import InputFolder, OutputFolder, Port, PositiveFloat, PositiveInt, Threads
from dreamx.budget.fit import world_must_fit
from dreamx.decoding import compute_in
from dreamx.interrupt import hang_up_as_term
from dreamx.model.cpu_ops import only_plain
from dreamx.model.precision import Precision, dtype_at_play
from dreamx.model.prompt import CutWarning
from dreamx.play import client_messages
from dreamx.play.auth import Guard, check_token, is_loopback
from dreamx.play.connection import GOODBYE, Connection
from dreamx.play.gallery import read_starts
from dreamx.play.http_routes import add_routes
from dreamx.play.origin import Origins, check_origin
from dreamx.play.server_messages import Busy, pack
from dreamx.play.session_manager import IDLE, RETRY, SessionManager, TruthOf
from dreamx.play.store import Store
from dreamx.web.body_limits import answer_briefly
from dreamx.web.connections import Connections
from dreamx.web.headers import SecurityHeaders
from dreamx.web.hosts import Hosts, check_host
from dreamx.web.uvicorn_protocols import server_for
from dreamx.world import World, find

#: Seconds after which the kernel gives up a connection whose other end takes nothing: a player who never reads.
_STALLED = 90
#: Seconds after which a thread that reads a long replay lets go of the interpreter: every operation of a dream waits for that.
_SWITCH = 0.0005


@dataclass(frozen=True)
class PlayConfig:
    """Play a world in the browser."""

    world: str = "tiny"
    """Name of a shipped world, or path of a checkpoint."""
    choice: Annotated[released.Choice, tyro.conf.arg(name="")] = released.AS_IT_IS
    """Settings of a released model."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is this machine alone; at any other, a token is needed to come in."""
    port: Port = 8800
    """Port to listen on; a free one is taken where this one is not free."""
    threads: Threads | None = None
    """CPU threads of each stage; by default half of the cores, because a chunk is shown while the next is dreamt."""
    plain: bool = False
    """Use torch's plain products alone, not the faster ones of oneDNN; the pictures differ by rounding."""
    precision: Precision = "float32"
    """Numbers that the convolutions of a world of ours compute in; auto: bfloat16 on a processor with AMX, else float32. In
    bfloat16 a walk that is replayed elsewhere differs by rounding."""
    jpeg_quality: int = 85
    """1 to 95."""
    sessions: PositiveInt = 4
    """Most sessions at once."""
    starts: InputFolder | None = None
    """Folder of start pictures, NAME.png with the prompt in NAME.txt; by default those of the world."""
    state: OutputFolder | None = None
    """Folder that sessions and recordings are kept in; by default dreamx in the user's folder for state (XDG_STATE_HOME)."""
    idle_seconds: PositiveFloat = IDLE
    """A world that nobody looks at for so long is put to rest; its session is kept."""
    token: str | None = None
    """Access token. Default: none on this machine alone, a random one elsewhere."""
    truth: bool = False
    """Show what the simulator would show beside the dream, for start pictures that are scenes of it."""
    allow_origin: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Site whose pages may play, as https://worlds.example.org: where a proxy does not pass on what it was asked for.
    May be given several times."""
    allow_host: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Name that the server may be asked for by, as worlds.example.org, besides this machine's own and those of allow_origin:
    where a proxy passes on what the browser asked for. May be given several times."""
    connections: PositiveInt = 512
    """So many TCP connections at once; fewer where the system lets a process open few files (ulimit -n)."""
    connections_per_address: PositiveInt = 64
    """So many of one address; those of this machine, where a proxy or a tunnel ends, are not counted."""

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
        if not self.idle_seconds > 0:
            raise ValueError(f"idle_seconds is {self.idle_seconds}; give a positive number of seconds")
        if self.token is not None:
            check_token(self.token)
        for site in self.allow_origin:
            try:
                check_origin(site)
            except ValueError as e:
                raise ValueError(f"allow_origin: {e}") from None
        for name in self.allow_host:
            try:
                check_host(name)
            except ValueError as e:
                raise ValueError(f"allow_host: {e}") from None


def create_app(
    manager: SessionManager, token: str | None = None, allowed: Sequence[str] = (), hosts: Sequence[str] = ()
) -> ASGIApp:
    """The HTTP and socket side of a session manager; with a token, for those who know it.

    ``allowed``: sites whose pages may play, too. ``hosts``: names that the server is asked for by, besides this machine's and
    those of the sites. With a token they are looked at only where some are given: what is rebound does not know it.
    """
    origins = Origins(allowed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(manager.watch())
        yield
        watch.cancel()
        await asyncio.to_thread(manager.close)

    app = FastAPI(title="dreamx play", lifespan=lifespan, docs_url=None, redoc_url=None)  # their pages come from elsewhere
    answer_briefly(app)

    @app.websocket("/socket")
    async def socket(ws: WebSocket) -> None:
        await _welcome(manager, origins, ws)

    add_routes(app, manager, origins)  # the page's files come last: they answer to every path
    inner: ASGIApp = app if token is None else Guard(app, token)
    if token is None or hosts:
        inner = Hosts(inner, (*hosts, *origins.hosts), "--allow-host")
    return SecurityHeaders(inner, ("img-src 'self' data: blob:", "media-src 'self' blob:"), allowed)


async def _welcome(manager: SessionManager, origins: Origins, ws: WebSocket) -> None:
    """Accept one player's socket, run its connection, and take it off the list at the end."""
    origin = ws.headers.get("origin")
    refusal = origins.refusal(origin, ws.headers)
    if origin is not None and refusal:
        origins.log(origin, refusal)
        await ws.close(1008)  # HTTP 403; the page asks api/origin why
        return
    await ws.accept()
    with suppress(WebSocketDisconnect, ConnectionError):
        if manager.stopping:
            await ws.close(1012, "the server stops")
            return
        if manager.open_sockets >= manager.max_sockets:
            await ws.send_text(str(pack(Busy(text="too many pages are open; try again in a moment", retry_seconds=RETRY))))
            await ws.close(1013)
            return
        connection = Connection(manager, ws)
        manager.clients.add(connection)
        try:
            await connection.run()
        finally:
            await connection.leave()
            manager.clients.discard(connection)


def serve(app: ASGIApp, manager: SessionManager, connections: Connections | None = None) -> uvicorn.Server:
    """A quiet uvicorn for the app; ``run(sockets=[listener])`` it. Messages over the limit close their socket (1009)."""
    server = server_for(app, connections or Connections(), client_messages.MESSAGE_LIMIT)
    # By default a thread that reads a long replay keeps the others waiting for up to a second; so for 15 ms.
    sys.setswitchinterval(0.001)
    shutdown = server.shutdown

    async def stop(sockets: list[sockets.socket] | None = None) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(manager.stop(), 4 * GOODBYE)
        await shutdown(sockets)

    server.shutdown = stop  # uvicorn would close the sockets first, and without a reason
    return server


def listen(host: str, port: int) -> sockets.socket:
    """A listening socket on the port, or on a free one where it is taken; ValueError when the host is not ours."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    for attempt in (port, 0):
        # TCP by name: otherwise asyncio leaves Nagle's algorithm on, and pictures wait 40 ms for an acknowledgement.
        listener = sockets.socket(family, sockets.SOCK_STREAM, sockets.IPPROTO_TCP)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if hasattr(sockets, "TCP_USER_TIMEOUT"):  # what is accepted inherits it
            listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, _STALLED * 1000)
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


def _truths(world: World, starts: Path) -> TruthOf:
    """Return the renderer of ground truth for each start picture of a folder. ValueError where this machine cannot draw any."""
    from dreamx.play.ground_truth_renderer import truth_for  # needs the simulator, and playing does not

    scenes = sorted(starts.glob("*.json"))
    if not scenes:
        raise ValueError(f"truth: no start picture in {starts} is of the simulator; make some with dreamx data starts")
    truth_for(world, scenes[0].with_suffix(".png"))
    return lambda start: partial(truth_for, world, starts / f"{start}.png")


def _few_arenas() -> None:
    """Let glibc have two heaps for all threads, not one for each: what is made on one thread and freed on another, as every chunk
    is, would pile up in them. With tensors like those of ``tiny``, four players and 30 forks each, the process then wandered
    between 1,000 and 1,170 MB, and stands still at 790. Elsewhere nothing is done.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX of malloc.h


def state_folder() -> Path:
    """Return the folder for state in the user's home (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "dreamx"


def main(cfg: PlayConfig) -> None:
    """Open the world, print the address, serve until interrupted (Ctrl-C or SIGTERM), and keep every session then."""
    listen(cfg.host, 0).close()  # refused at once, not after seconds of opening the world
    warnings.simplefilter("ignore", CutWarning)  # the page shows it as a note
    _few_arenas()
    sys.setswitchinterval(_SWITCH)
    if cfg.plain:
        only_plain()
    torch.set_num_threads(cfg.threads or max(1, (os.cpu_count() or 1) // 2))
    folder = cfg.starts or find(cfg.world) / "starts"
    world_must_fit(cfg.world, cfg.choice)
    store = Store(cfg.state or state_folder())  # refused at once, where another server has it
    world = World.open(cfg.world, cfg.choice)
    compute_in(world.vae, dtype_at_play(cfg.precision))
    manager = SessionManager(
        world,
        cfg.world,
        read_starts(folder),
        cfg.jpeg_quality,
        cfg.sessions,
        store,
        _truths(world, folder) if cfg.truth else None,
        cfg.idle_seconds,
    )
    token = cfg.token or (None if is_loopback(cfg.host) else token_urlsafe(16))
    gc.collect()
    gc.freeze()  # what is loaded stays: looking through all of it for garbage holds up a chunk by 100 ms and more
    listener = listen(cfg.host, cfg.port)
    port = listener.getsockname()[1]
    if cfg.port not in (port, 0):
        sys.stderr.write(f"Port {cfg.port} is taken; using {port}.\n")
    host = f"[{cfg.host}]" if ":" in cfg.host else cfg.host
    sys.stdout.write(f"http://{host}:{port}{'' if token is None else f'/?token={quote(token)}'}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when all is done
    hang_up_as_term()
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves
        hosts = (cfg.host, *cfg.allow_host) if token is None or cfg.allow_host else ()
        places = Connections(cfg.connections, cfg.connections_per_address)
        serve(create_app(manager, token, cfg.allow_origin, hosts), manager, places).run(sockets=[listener])
