"""HTTP and WebSocket server of ``dreamx play``: one port, one page, one socket a player.

Everything goes through the one HTTP port by paths relative to the page, so that it works through any port forwarding.
"""

from __future__ import annotations

import asyncio
import signal
import socket as sockets
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from secrets import token_urlsafe
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.types import ASGIApp

from dreamx.interrupt import hang_up_as_term
from dreamx.model.prompt import CutWarning
from dreamx.play import client_messages
from dreamx.play.auth import Guard, is_loopback
from dreamx.play.connection import GOODBYE, Connection
from dreamx.play.http_routes import add_routes
from dreamx.play.open_manager import open_manager, state_folder
from dreamx.play.origin import Origins
from dreamx.play.play_config import PlayConfig
from dreamx.play.server_messages import Busy, pack
from dreamx.play.session_manager import RETRY, SessionManager
from dreamx.play.store import Store
from dreamx.web.body_limits import answer_briefly
from dreamx.web.connections import Connections
from dreamx.web.headers import SecurityHeaders
from dreamx.web.hosts import Hosts
from dreamx.web.uvicorn_protocols import server_for

#: Seconds after which the kernel gives up a connection whose other end takes nothing: a player who never reads.
_STALLED = 90


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
    return behind_door(app, origins, token, allowed, hosts)


def behind_door(app: ASGIApp, origins: Origins, token: str | None, allowed: Sequence[str], hosts: Sequence[str]) -> ASGIApp:
    """The app behind the checks of every server of the page; arguments as of ``create_app``."""
    inner: ASGIApp = app if token is None else Guard(app, token)
    if token is None or hosts:
        inner = Hosts(inner, (*hosts, *origins.hosts), "--allow-host")
    return SecurityHeaders(inner, ("img-src 'self' data: blob:", "media-src 'self' blob:"), allowed)


async def accept_from(origins: Origins, ws: WebSocket) -> bool:
    """Accept a page's socket; False, and it is closed, where the page is of a site that may not play here."""
    origin = ws.headers.get("origin")
    refusal = origins.refusal(origin, ws.headers)
    if origin is not None and refusal:
        origins.log(origin, refusal)
        await ws.close(1008)  # HTTP 403; the page asks api/origin why
        return False
    await ws.accept()
    return True


async def may_enter(ws: WebSocket, closed: str, full: bool) -> bool:
    """Return whether there is room for an accepted page; where it is ``closed`` (and why) or full, the page is told so."""
    if closed:
        await ws.close(1012, closed)
    elif full:
        await ws.send_text(str(pack(Busy(text="too many pages are open; try again in a moment", retry_seconds=RETRY))))
        await ws.close(1013)
    return not closed and not full


async def _welcome(manager: SessionManager, origins: Origins, ws: WebSocket) -> None:
    """Accept one player's socket, run its connection, and take it off the list at the end."""
    if not await accept_from(origins, ws):
        return
    with suppress(WebSocketDisconnect, ConnectionError):
        closed = "the server stops" if manager.stopping else ""
        if not await may_enter(ws, closed, manager.open_sockets >= manager.max_sockets):
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


def token_for(cfg: PlayConfig) -> str | None:
    """Return the token that one needs to come in; None: none."""
    return cfg.token or (None if is_loopback(cfg.host) else token_urlsafe(16))


def hosts_for(cfg: PlayConfig, token: str | None) -> tuple[str, ...]:
    """Return the names that the server is asked for by, where they are looked at."""
    return (cfg.host, *cfg.allow_host) if token is None or cfg.allow_host else ()


def tell_address(cfg: PlayConfig, listener: sockets.socket, token: str | None) -> None:
    """Print the address to open."""
    port = listener.getsockname()[1]
    if cfg.port not in (port, 0):
        sys.stderr.write(f"Port {cfg.port} is taken; using {port}.\n")
    host = f"[{cfg.host}]" if ":" in cfg.host else cfg.host
    sys.stdout.write(f"http://{host}:{port}{'' if token is None else f'/?token={quote(token)}'}\n")
    sys.stdout.flush()


def main(cfg: PlayConfig) -> None:
    """Open the world, print the address, serve until interrupted (Ctrl-C or SIGTERM), and keep every session then."""
    listen(cfg.host, 0).close()  # refused at once, not after seconds of opening the world
    warnings.simplefilter("ignore", CutWarning)  # the page shows it as a note
    manager = open_manager(cfg, lambda: Store(cfg.state or state_folder()))
    token, listener = token_for(cfg), listen(cfg.host, cfg.port)
    tell_address(cfg, listener, token)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when all is done
    hang_up_as_term()
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves
        hosts = hosts_for(cfg, token)
        places = Connections(cfg.connections, cfg.connections_per_address)
        serve(create_app(manager, token, cfg.allow_origin, hosts), manager, places).run(sockets=[listener])
