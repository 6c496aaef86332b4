"""Headers that keep a server's answers to its own pages: no other site may frame them, load them, or guess what they are."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SecurityHeaders:
    """Sets them on every answer. ``media``: what a page may show besides its files; ``framed_by``: sites that may frame it."""

    def __init__(self, app: ASGIApp, media: Sequence[str] = (), framed_by: Sequence[str] = ()) -> None:
        self._app = app
        policy = (
            "default-src 'self'",
            *media,
            "connect-src 'self'",  # the socket, too: 'self' is also ws: and wss: of the same host
            "base-uri 'none'",
            "form-action 'self'",
            " ".join(("frame-ancestors", "'self'", *framed_by)),
        )
        self._headers = {
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",  # the address may hold a token
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": "; ".join(policy),
        }
        if not framed_by:
            self._headers["X-Frame-Options"] = "SAMEORIGIN"  # for browsers that do not know frame-ancestors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "http" else send)
