"""Bodies of requests have a size, and an answer to a bad request does not repeat it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamx.plaintext import sentence


class BodyLimit:
    """Refuses (413) a request whose body has more than ``most`` bytes, before it is all there."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        told = Headers(scope=scope).get("content-length", "0")
        refusal = PlainTextResponse(
            f"the body is larger than {self._most} bytes, which nothing here is", 413, {"Connection": "close"}
        )
        if not told.isdecimal() or int(told[:20]) > self._most:
            return await refusal(scope, receive, send)
        body = bytearray()
        while True:  # all of it, for then the app can be given it, or not
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._most:
                return await refusal(scope, receive, send)
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return await self._app(scope, again, send)


def answer_briefly(app: FastAPI) -> None:
    """Let errors of the app be one sentence each, as ``{"detail": ...}``; FastAPI's own repeat all that was sent."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        first = e.errors()[0]
        where = ".".join(sentence(x, 60) for x in first["loc"])
        return JSONResponse({"detail": f"{where}: {sentence(first['msg'])}"}, 422)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, e: HTTPException) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return JSONResponse({"detail": sentence(e.detail)}, e.status_code, e.headers)
