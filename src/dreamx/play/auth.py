"""The token at the door: where others can reach the server, only those who know it come in."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/healthz",)
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")


class Guard:
    """Lets through who brings the token: as ``?token=``, which is then kept in a cookie, or as ``Authorization: Bearer``."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token
        # Named after the token: cookies know no ports, and another server on this host has a cookie of its own.
        self._cookie = "dreamx_" + hashlib.sha256(token.encode()).hexdigest()[:8]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            return await self._app(scope, receive, send)
        asks = HTTPConnection(scope)
        given = asks.query_params.get("token")
        bearer = asks.headers.get("authorization", "")
        if self._is_one((given, asks.cookies.get(self._cookie), bearer.removeprefix("Bearer "))):
            return await self._app(scope, receive, self._with_cookie(send) if given else send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        words = "a token is needed; open the whole address that dreamx play printed, with its ?token="
        return await PlainTextResponse(words, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _is_one(self, given: Iterable[str | None]) -> bool:
        return any(hmac.compare_digest((x or "").encode(), self._token.encode()) for x in given)

    def _with_cookie(self, send: Send) -> Send:
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
            await send(message)

        return told


def check_token(token: str) -> str:
    """The same token; ValueError, one sentence, where it can be guessed, or would not survive an address and a cookie."""
    if len(token) < 8:
        raise ValueError("token is shorter than 8 characters and can be guessed; use a longer one")
    if len(token) > 256 or not _TOKEN.fullmatch(token):
        raise ValueError(
            "token may have 8 to 256 letters (a to z, A to Z), digits and - . _ ~; other characters get lost in addresses"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
