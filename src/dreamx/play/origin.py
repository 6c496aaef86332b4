"""From which pages one may play: the server's own, also behind a proxy, and those that it was told of.

A browser says with every socket from which site its page is (``Origin``); a page of another site must not play here in its
visitor's name. A proxy often changes ``Host`` to the server's own address, and says in ``X-Forwarded-Host`` or ``Forwarded``
(RFC 7239) what the browser asked for. These are believed from anybody: scripts of a page cannot set them on a socket.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from dreamx.plaintext import sentence

_LOG = logging.getLogger("uvicorn.error")
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r'host="?([^";,\s]+)', re.I)
_TOLD = 100  # origins that are logged, once each: whoever makes them up must not fill the disk


class Origins:
    """The sites whose pages may play, besides the server's own: ``https://worlds.example.org``, each."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = {_parts(x) for x in allowed}
        self._told: set[str] = set()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(sorted(x[1] for x in self._allowed if x is not None))

    def refusal(self, origin: str | None, headers: Mapping[str, str]) -> str:
        """Return why a page of that site may not play, and what to change; ``""`` if it may. None: the client is no browser."""
        if origin is None:
            return ""
        site, shown = _parts(origin), sentence(origin, 100)
        if site is None:
            return f"this page hides where it comes from (origin {shown}), as in a sandboxed frame; open it in a tab of its own"
        if site in self._allowed or any(site == _parts(f"{site[0]}://{host}") for host in _hosts(headers)):
            return ""
        return (
            f"pages of {shown} may not play here, because this server was asked for as {sentence(headers.get('host', ''), 100)}; "
            f"let the proxy pass on Host or X-Forwarded-Host, or start dreamx play with --allow-origin {shown}"
        )

    def log(self, origin: str, refusal: str) -> None:
        """Say so in the server's log, once for each site."""
        if origin not in self._told and len(self._told) < _TOLD:
            self._told.add(origin)
            _LOG.warning("refused a socket: %s", sentence(refusal, 600))


def check_origin(text: str) -> str:
    """The same text; ValueError, the end of a sentence, where it names no site."""
    parts = urlsplit(text)
    if _parts(text) is None or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r} is no site; write it as the browser's address bar does, https://worlds.example.org")
    return text


def _hosts(headers: Mapping[str, str]) -> Iterator[str]:
    """Under which names the server was asked for, by the headers of a request."""
    yield headers.get("host", "")
    yield from (host.strip() for host in headers.get("x-forwarded-host", "").split(","))
    yield from _HOST.findall(headers.get("forwarded", ""))


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Scheme, name and port of a site; None where it is none."""
    try:
        parts = urlsplit(origin)
        scheme, name, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None
    return (scheme, name, port or _PORTS[scheme]) if scheme in _PORTS and name else None
