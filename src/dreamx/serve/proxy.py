"""Requests that a replica answers, passed on to it over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from fastapi.responses import PlainTextResponse, Response, StreamingResponse

SECONDS = 30.0  # that a replica has to answer
_READ = 2**16
_KEPT = ("content-type", "content-length", "content-disposition", "content-range", "accept-ranges", "etag", "last-modified")
_GONE = "its replica does not answer; try again in a moment\n"


@dataclass(frozen=True)
class ReplicaAnswer:
    """An answer that has begun: its body is still to be read."""

    status: int
    headers: Mapping[str, str]
    body: HTTPResponse | HTTPError

    def text(self) -> str:
        """All of the body."""
        with self.body:
            return self.body.read().decode()

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes."""
        with self.body:
            while piece := self.body.read(_READ):
                yield piece


def fetch(url: str, path: str, headers: Mapping[str, str], seconds: float = SECONDS) -> ReplicaAnswer:
    """Ask a server for ``path``, as it was asked for (decoded). OSError where it does not answer. Blocks."""
    request = Request(url + quote(path), headers=dict(headers))
    try:
        found = urlopen(request, timeout=seconds)
    except HTTPError as e:
        found = e
    except HTTPException as e:
        raise ConnectionError(str(e)) from e
    status = found.status if isinstance(found, HTTPResponse) else found.code
    return ReplicaAnswer(int(status or 502), {k.lower(): v for k, v in found.headers.items()}, found)


async def pass_on(url: str, path: str, headers: Mapping[str, str]) -> Response:
    """The answer of a server; 502 where it does not answer."""
    try:
        answer = await asyncio.to_thread(fetch, url, path, headers)
    except OSError:
        return PlainTextResponse(_GONE, 502)
    kept = {k: v for k, v in answer.headers.items() if k in _KEPT}
    return StreamingResponse(answer.pieces(), answer.status, kept)
