"""Under which names a server may be asked for.

A page of another site can point its own name at 127.0.0.1 once it is open (DNS rebinding); to the browser, this server is then
that site, and ``Origin`` agrees with ``Host``. Only the name in ``Host`` gives it away: no script can change that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamx.plaintext import sentence

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(:[0-9]{0,5})?")
_WILD = ("0.0.0.0", "::")


class Hosts:
    """Lets through requests and sockets whose ``Host`` is this machine (localhost, 127.0.0.0/8, [::1]) or one of ``names``.

    A server that listens to every address (a name is 0.0.0.0 or ::) may be asked for by any address, for an address cannot be
    rebound; a name has to be given. ``flag`` is what a refusal tells to set.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = (), flag: str = "") -> None:
        self._app, self._flag = app, flag
        self._names = {name_of(x) or x.lower() for x in names}
        self._any = not self._names.isdisjoint(_WILD)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("host", "")
        if self.knows(given):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        name = name_of(given)
        what = f"start it with {self._flag} {sentence(name, 100)}" if self._flag and name else "open the address that it printed"
        words = f"this server does not answer to the name {sentence(given, 100)!r}; {what}"
        return await PlainTextResponse(words, 421)(scope, receive, send)

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header names this server."""
        name = name_of(host)
        if not name:
            return False
        try:
            address = ip_address(name)
        except ValueError:
            return name == "localhost" or name in self._names
        return address.is_loopback or self._any or name in self._names


def name_of(host: str) -> str:
    """The name or address in a ``Host`` header or a flag: without port, brackets and last dot, in lower case; ``""``: none."""
    found = _HOST.fullmatch(host.strip().lower())
    name = "" if found is None else found[1].strip("[]").removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name if _NAME.fullmatch(name) and (found is None or not found[1].startswith("[")) else ""


def check_host(text: str) -> str:
    """The same text; ValueError, the end of a sentence, where it is no name of a host."""
    if name_of(text) == "" or "/" in text:
        raise ValueError(
            f"{sentence(text, 100)!r} is no name of a host; write it as worlds.example.org, without http:// and a path"
        )
    return text
