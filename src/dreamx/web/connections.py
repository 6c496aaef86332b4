"""Limits on TCP connections, in all, by address and by silent time, before any token is asked for.

When all places are taken, the connection that has been silent longest makes room: whoever says at once what they want gets in
beside any number of silent ones. Only where nobody is silent a newcomer is turned away (503).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from dreamx.plaintext import sentence

_LOG = logging.getLogger("uvicorn.error")
_SPARE = 128  # file descriptors that connections leave to everything else: the world, sessions, recordings
_FEWEST = 16
_LINE = 600  # letters of a line in the log
_ACCEPTS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(eq=False)
class _Held:
    """One connection. ``busy``: it has asked for something that is not answered yet, or is a socket."""

    address: str
    transport: asyncio.Transport
    busy: bool = False


class Connections:
    """Counts open connections: at most ``most`` in all, and ``each`` from one address (IPv6: one /64).

    Addresses of this machine are counted in all only: a proxy or a tunnel makes everybody one of them. Where the system lets
    the process open fewer files, there are fewer.
    """

    def __init__(self, most: int = 512, each: int = 64) -> None:
        self.most, self.each = min(most, max(_FEWEST, _file_limit() - _SPARE)), each
        self._held: dict[asyncio.Transport, _Held] = {}  # those that became silent last are last

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, transport: asyncio.Transport) -> bool:
        """Count a new connection, for which a silent one may be closed; False where there is no place."""
        peer = transport.get_extra_info("peername")
        mine = _address(peer[0] if isinstance(peer, tuple) and peer else "")
        if mine:
            same = [x for x in self._held.values() if x.address == mine]
            if len(same) >= self.each and not self._close_silent(same):
                return False
        if len(self._held) >= self.most and not self._close_silent(list(self._held.values())):
            return False
        self._held[transport] = _Held(mine, transport)
        return True

    def busy(self, transport: asyncio.Transport, busy: bool) -> None:
        """The connection asked for something, or was answered."""
        held = self._held.get(transport)
        if held is not None and held.busy != busy:
            held.busy = busy
            self._held[transport] = self._held.pop(transport)

    def release(self, transport: asyncio.Transport) -> None:
        """The connection is gone."""
        self._held.pop(transport, None)

    def _close_silent(self, among: list[_Held]) -> bool:
        silent = next((x for x in among if not x.busy), None)
        if silent is None:
            return False
        del self._held[silent.transport]
        silent.transport.abort()
        return True


class Seldom(logging.Filter):
    """Lets each sentence into the log so many times in so many seconds, whatever stands in it: others must not fill the disk.

    Each is one line of bounded length, wherever it comes from.
    """

    def __init__(self, most: int = 10, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._seconds, self._clock = most, seconds, clock
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is one of the first; how many were left out is said with the next one."""
        now, key = self._clock(), str(record.msg)[:200]
        began, count = self._told.get(key, (now, 0))
        if now - began > self._seconds:
            if count > self._most:
                record.msg = f"{record.msg} (and {count - self._most} times before that were not written down)"
            began, count = now, 0
        if key not in self._told and len(self._told) >= 1000:
            self._told.clear()
        self._told[key] = (began, count + 1)
        if count >= self._most:
            return False
        record.msg, record.args = sentence(record.getMessage(), _LINE), ()
        return True


def log_accept_errors_once(loop: asyncio.AbstractEventLoop) -> None:
    """Say in one line, once a minute, that the system has no more files for connections; asyncio would write a traceback for
    every try, thousands a second. It already waits a second before it accepts again."""
    told = -60.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _ACCEPTS and "accept" in str(context.get("message"))):
            loop.default_exception_handler(context)
        elif loop.time() - told >= 60:
            told = loop.time()
            _LOG.warning("no connection can be taken for now (%s); let this process open more files: ulimit -n", error.strerror)

    loop.set_exception_handler(handle)


def _address(peer: str) -> str:
    """Return the key that connections are counted by: address or IPv6 /64 network; ``""``: not counted."""
    with suppress(ValueError):
        address = ip_address(peer.partition("%")[0])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if address.is_loopback:
            return ""
        return str(address) if address.version == 4 else str(IPv6Address(int(address) >> 64 << 64))
    return ""  # a socket of this machine


def _file_limit() -> int:
    """Return the number of files that this process may have open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # not on every system
        return 2**20
    soft = getrlimit(RLIMIT_NOFILE)[0]
    return 2**20 if soft == RLIM_INFINITY else soft
