"""Identity of a visitor, as far as a server without names can know: by address, by browser, by visit.

For fairness alone, so that one visitor's sessions do not push out another's (``retention``); never for permission.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv6Address, ip_address, ip_network
from secrets import token_urlsafe

from starlette.requests import HTTPConnection

_COOKIE = "dreamx_visitor"
_VALUE = re.compile(r"[A-Za-z0-9_-]{16,64}")


def visitor(asks: HTTPConnection) -> str:
    """ADDRESS/BROWSER/VISIT, each a hash. Whoever has no cookie is known by the visit alone."""
    host = "" if asks.client is None else asks.client.host
    try:
        address = ip_address(host)
        if isinstance(address, IPv6Address):  # one visitor may have 2^64 of these
            host = str(address.ipv4_mapped or ip_network((int(address) >> 64 << 64, 64)))
    except ValueError:
        pass
    browser = asks.cookies.get(_COOKIE, "")
    if _VALUE.fullmatch(browser):
        return f"{_hash(host)}/{_hash(browser)}/"
    return f"{_hash(host)}//{token_urlsafe(9)}"


def cookie(asks: HTTPConnection) -> str | None:
    """Return a cookie that identifies the browser, for ``Set-Cookie``; None if it has one."""
    if _VALUE.fullmatch(asks.cookies.get(_COOKIE, "")):
        return None
    return f"{_COOKIE}={token_urlsafe(18)}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
