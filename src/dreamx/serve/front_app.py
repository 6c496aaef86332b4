"""HTTP and WebSocket side of a front: the page and its socket, as ``dreamx play`` has them, over many replicas.

A replica says that it is there by ``POST /join`` with the key that it was given; nobody else comes in by that.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamx.config import from_json
from dreamx.plaintext import parse_json
from dreamx.play.http_routes import Permission, add_page
from dreamx.play.origin import Origins
from dreamx.play.server import accept_from, behind_door, may_enter
from dreamx.play.server_metrics import MEDIA_TYPE
from dreamx.serve.front import Front
from dreamx.serve.merged_metrics import merge_metrics
from dreamx.serve.proxy import fetch, pass_on
from dreamx.serve.relay import Relay, forwarded
from dreamx.serve.replica_directory import Announcement
from dreamx.web.body_limits import BodyLimit, answer_briefly

JOIN = "/join"
_JOIN_BYTES = 2**18
_METRICS_SECONDS = 2.0
_NOBODY = "no replica is there yet; try again in a moment\n"


@dataclass(frozen=True)
class FrontHealth:
    """State of a front. ``sessions``: how many run, of ``room``, at so many ``replicas``; ``waiting``: pages in line."""

    ok: bool
    sessions: int
    room: int
    replicas: int
    waiting: int


@dataclass(frozen=True)
class ReplicaState:
    """A replica: where it serves, the number of its process there, and how many of its ``room`` places are taken."""

    replica: str
    url: str
    process: int
    sessions: int
    room: int


class JoinDoor:
    """Lets replicas in that know the key, and passes on everything else. Answers with what they must know of the front."""

    def __init__(self, app: ASGIApp, front: Front, key: str) -> None:
        self._app, self._front, self._key = app, front, key
        self._join = BodyLimit(self._hear, _JOIN_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == JOIN and scope["method"] == "POST":
            return await self._join(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _hear(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self._key}".encode()):
            return await PlainTextResponse("the key is another\n", 401)(scope, receive, send)
        try:
            said = from_json(Announcement, parse_json(await request.body()))
        except ValueError as e:
            return await PlainTextResponse(f"this is no announcement: {e}\n", 422)(scope, receive, send)
        self._front.record_announcement(said)
        return await JSONResponse({"waiting": len(self._front.line)})(scope, receive, send)


def create_front_app(
    front: Front, key: str, token: str | None = None, allowed: Sequence[str] = (), hosts: Sequence[str] = ()
) -> ASGIApp:
    """The HTTP and socket side of a front. ``key``: what replicas join with; the rest as of ``play.server.create_app``."""
    origins = Origins(allowed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(front.watch())
        yield
        watch.cancel()

    app = FastAPI(title="dreamx serve", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    answer_briefly(app)

    @app.websocket("/socket")
    async def socket(ws: WebSocket) -> None:
        await _welcome(front, origins, ws)

    _add_own_routes(app, front, origins)
    _add_passed_routes(app, front)
    add_page(app)
    return JoinDoor(behind_door(app, origins, token, allowed, hosts), front, key)


async def _welcome(front: Front, origins: Origins, ws: WebSocket) -> None:
    """Accept one page's socket and run its relay."""
    if not await accept_from(origins, ws):
        return
    with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
        closed = "the server stops" if front.stopping else "" if front.hello else "the server starts"
        if not await may_enter(ws, closed, len(front.pages) >= front.max_pages):
            return
        relay = Relay(front, ws)
        front.pages.add(relay)
        try:
            await relay.run()
        finally:
            front.pages.discard(relay)
            await relay.leave()


def _add_own_routes(app: FastAPI, front: Front, origins: Origins) -> None:
    @app.get("/api/origin")
    def origin(of: str, request: Request) -> Permission:
        """May a page of the site ``of`` play here?"""
        refusal = origins.refusal(of, request.headers)
        return Permission(not refusal, refusal)

    @app.get("/healthz")
    def healthz() -> FrontHealth:
        """Is the front well, and is somebody there to play with? Needs no token."""
        there, known = len(front.directory.replicas), front.directory
        return FrontHealth(there > 0 and not front.stopping, known.taken, known.places, there, len(front.line))

    @app.get("/api/replicas")
    def replicas() -> list[ReplicaState]:
        """The replicas that are there."""
        there = front.directory.replicas
        return [ReplicaState(x.replica, x.url, x.process, len(x.sessions), x.places) for x in there]

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters and times of the front and of all replicas, for Prometheus."""
        there = front.directory.replicas
        texts = await asyncio.gather(*(asyncio.to_thread(_metrics_of, x) for x in there))
        pages = {x.replica: text for x, text in zip(there, texts, strict=True) if text}
        return Response(merge_metrics({"front": front.metrics_text().decode(), **pages}), media_type=MEDIA_TYPE)

    @app.get("/api/world", response_class=Response)
    async def world(request: Request) -> Response:
        """The world, as a replica tells it, with the places of all."""
        for replica in front.directory.replicas:
            with suppress(OSError, ValueError):
                answer = await asyncio.to_thread(fetch, replica.url, "/api/world", _known_by(request, replica))
                said = parse_json(await asyncio.to_thread(answer.text))
                said["limits"]["sessions"] = front.directory.places
                return JSONResponse(said)
        return PlainTextResponse(_NOBODY, 503)


def _metrics_of(replica: Announcement) -> str:
    """Return the metrics of a replica; ``""`` where it does not answer in time."""
    try:
        return fetch(replica.url, "/metrics", {"Authorization": f"Bearer {replica.token}"}, _METRICS_SECONDS).text()
    except OSError:
        return ""


def _add_passed_routes(app: FastAPI, front: Front) -> None:
    @app.get("/api/sessions/{session}/{what}", response_class=Response)
    async def of_session(session: str, what: str, request: Request) -> Response:
        home = front.directory.replica_of(session)
        return await _passed(front, request, f"/api/sessions/{session}/{what}", home)

    @app.get("/api/recordings/{name}", response_class=Response)
    async def recording(name: str, request: Request) -> Response:
        found = Response(status_code=404)
        for replica in front.directory.replicas:  # before it is on the storage, one of them has it
            found = await pass_on(replica.url, f"/api/recordings/{name}", _known_by(request, replica))
            if found.status_code not in (404, 502):
                break
        return found

    @app.get("/starts/{name}", response_class=Response)
    async def start(name: str, request: Request) -> Response:
        return await _passed(front, request, f"/starts/{name}", None)

    @app.get("/docs", response_class=Response)
    async def docs(request: Request) -> Response:
        return await _passed(front, request, "/docs", None)

    @app.get("/openapi.json", response_class=Response)
    async def described(request: Request) -> Response:
        return await _passed(front, request, "/openapi.json", None)


async def _passed(front: Front, request: Request, path: str, home: Announcement | None) -> Response:
    """The answer of the replica that has it, or of any."""
    there = front.directory.replicas
    replica = home or (there[0] if there else None)
    if replica is None:
        return PlainTextResponse(_NOBODY, 503)
    return await pass_on(replica.url, path, _known_by(request, replica))


def _known_by(request: Request, replica: Announcement) -> dict[str, str]:
    asked = {k: request.headers[k] for k in ("range", "if-range", "if-none-match") if k in request.headers}
    return forwarded(request, replica) | asked
