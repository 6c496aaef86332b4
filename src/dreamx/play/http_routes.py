"""The HTTP part: the page, and what one asks with an address. OpenAPI describes it at ``/openapi.json``."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import HTTPConnection
from starlette.types import Scope

from dreamx.play import client_messages
from dreamx.play.client_messages import Codec
from dreamx.play.codec import h264_fits
from dreamx.play.origin import Origins
from dreamx.play.replay_conversion import replay_text
from dreamx.play.server_metrics import MEDIA_TYPE
from dreamx.play.session_manager import SessionManager
from dreamx.play.visitor import cookie
from dreamx.web.api_page import api_page

_STATIC = Path(__file__).parent / "static"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class GalleryEntry:
    """A picture to begin from. ``thumbnail``: its address, relative to the page. ``known``: is it known by heart?"""

    id: str
    prompt: str
    thumbnail: str
    known: bool


@dataclass(frozen=True)
class RequestLimits:
    """Server-side limits on a request."""

    prompt_characters: int
    """Most characters of a prompt."""
    image_bytes: int
    """Most bytes of an uploaded start picture."""
    message_bytes: int
    """Most bytes of a message on the socket."""
    sessions: int
    """Most sessions that run at once."""


@dataclass(frozen=True)
class WorldInfo:
    """The world that is played here. ``size``: rows, columns. ``truth``: whether true pictures come beside some dreams.

    ``events``: was it taught that what is said happens? None where that was not written down. ``happenings``: names of the events
    that it was taught; ``started`` says which of them can happen in a place. ``memory``: does it remember views,
    and know where walls are? ``packed``: does it put frames of the past before the window?
    """

    name: str
    size: tuple[int, int]
    fps: float
    starts: list[GalleryEntry]
    limits: RequestLimits
    codecs: list[Codec]
    truth: bool
    resumable: bool
    events: bool | None
    happenings: list[str]
    memory: bool
    packed: bool


@dataclass(frozen=True)
class ServerHealth:
    """State of the server. ``sessions``: how many run, of ``max_sessions``."""

    ok: bool
    sessions: int
    room: int


@dataclass(frozen=True)
class Permission:
    """Whether a page may open the socket; ``text`` says what to change where it may not."""

    allowed: bool
    text: str


def add_routes(app: FastAPI, manager: SessionManager, origins: Origins) -> None:
    """Everything but the socket."""

    @app.get("/api/world")
    def world() -> WorldInfo:
        """The world, its start pictures, and what may be asked of it."""
        return WorldInfo(
            name=manager.name,
            size=manager.world.size,
            fps=manager.world.fps,
            starts=[
                GalleryEntry(s.id, s.prompt, f"starts/{s.id}.png", s.home and manager.world.places is not None)
                for s in manager.starts.values()
            ],
            limits=RequestLimits(
                client_messages.PROMPT_LIMIT, client_messages.IMAGE_LIMIT, client_messages.MESSAGE_LIMIT, manager.max_sessions
            ),
            codecs=["jpeg", "h264"] if h264_fits(manager.world.size) else ["jpeg"],
            truth=manager.truth is not None,
            resumable=manager.store is not None,
            events=None if manager.world.taught is None else manager.world.taught.events,
            happenings=[event.name for event in manager.world.happenings],
            memory=manager.world.config.memory is not None,
            packed=manager.world.config.causal.packed is not None,
        )

    @app.get("/api/origin")
    def origin(of: str, request: Request) -> Permission:
        """May a page of the site ``of`` play here? No browser tells its page why a socket failed."""
        refusal = origins.refusal(of, request.headers)
        return Permission(not refusal, refusal)

    @app.get("/starts/{name}.png", response_class=Response)
    def start(name: str) -> Response:
        """A start picture."""
        if name not in manager.starts:
            raise HTTPException(404, "there is no such start picture")
        return Response(manager.starts[name].png, media_type="image/png")

    @app.get("/api/sessions/{session}/replay.json", response_class=Response)
    async def replay(session: str) -> Response:
        """Every step of a session: begin it again with ``start``, here or on another server with the same world."""
        _check_id(session)
        try:
            opening, spans = await manager.walked(session)
        except ValueError as e:
            raise HTTPException(404, str(e)) from None

        async with manager.heavy:  # of hours of walking, seconds
            data = await asyncio.to_thread(replay_text, opening, spans, manager.name, manager.weights)
        return Response(
            data, media_type="application/json", headers={"Content-Disposition": 'attachment; filename="replay.json"'}
        )

    @app.get("/api/sessions/{session}/frame.png", response_class=Response)
    async def frame(session: str) -> Response:
        """The picture that a session showed last."""
        _check_id(session)
        try:
            return Response(await manager.picture(session), media_type="image/png")
        except ValueError as e:
            raise HTTPException(404, str(e)) from None

    @app.get("/api/recordings/{name}.mp4", response_class=FileResponse)
    def recording(name: str) -> FileResponse:
        """A video that was recorded."""
        path = None if manager.store is None else manager.store.recording(name)
        if path is None:
            raise HTTPException(404, "there is no such recording")
        return FileResponse(path, media_type="video/mp4")

    @app.get("/healthz")
    def healthz() -> ServerHealth:
        """Is the server well? Needs no token."""
        return ServerHealth(ok=not manager.stopping, sessions=manager.running, room=manager.max_sessions)

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Counters and times, for Prometheus."""
        return Response(manager.metrics.text(), media_type=MEDIA_TYPE)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """The HTTP part, to be read."""
        return HTMLResponse(api_page(app.openapi()))

    add_page(app)


def add_page(app: FastAPI) -> None:
    """Add the page's files; they answer to every path, so they come last."""
    app.mount("/", _Static(directory=_STATIC, html=True))


def _check_id(session: str) -> None:
    """404 for what no session is called."""
    if not _ID.fullmatch(session):
        raise HTTPException(404, "there is no such session")


class _Static(StaticFiles):
    """The page's files; the page makes its browser known."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        if str(full_path).endswith(".html") and (known := cookie(HTTPConnection(scope))) is not None:
            response.headers["Set-Cookie"] = known
        return response
