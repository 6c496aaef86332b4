"""A server in a thread of the test, for as long as a ``with`` lasts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn


@contextmanager
def serving(server: uvicorn.Server, listener: socket.socket) -> Iterator[int]:
    """The port of the server; at the end it has stopped, or the test fails."""
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"
