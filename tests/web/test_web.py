"""The door that every server has: names it answers to, headers, bodies, connections, and a log that nobody can fill."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import cast

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dreamx.web import connections
from dreamx.web.body_limits import BodyLimit, answer_briefly
from dreamx.web.connections import Connections, Seldom, log_accept_errors_once
from dreamx.web.headers import SecurityHeaders
from dreamx.web.hosts import Hosts, check_host, name_of
from dreamx.web.uvicorn_protocols import server_for
from serving import serving


def site() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    answer_briefly(app)

    @app.get("/hello")
    def hello() -> str:  # pyright: ignore[reportUnusedFunction]
        return "hello"

    @app.post("/words")
    def words(said: list[int]) -> int:  # pyright: ignore[reportUnusedFunction]
        return len(said)

    return app


@contextmanager
def served(places: Connections, seconds: float = 15.0) -> Iterator[int]:
    """The port of a server of the site."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(server_for(site(), places, seconds=seconds), listener) as port:
        yield port


def test_an_event_loop_that_somebody_has_installed_besides_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("uvloop")  # its transports have no max_size, so every connection would fail
    other.new_event_loop = other.Loop = lambda: pytest.fail("the server took uvloop")  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "uvloop", other)
    with served(Connections()) as port:
        assert says_hello(port)


def says_hello(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/hello", timeout=20).text == '"hello"'


def ended(it: socket.socket, seconds: float = 20.0) -> bytes:
    """All that comes until the other end closes."""
    it.settimeout(seconds)
    data = b""
    with suppress(ConnectionError):
        while more := it.recv(4096):
            data += more
    return data


# ---- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LocalHost:8800", True),
        ("localhost.", True),
        ("127.0.0.1:8800", True),
        ("127.9.9.9", True),
        ("[::1]:8800", True),
        ("[0:0::1]", True),
        ("worlds.example.org", True),
        ("Worlds.Example.org.:443", True),
        ("192.168.1.5:8800", True),
        ("192.168.1.6", False),
        ("rebound.example", False),
        ("worlds.example.org.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example/localhost", False),
        ("::1", False),
        ("[::2]", False),
        ("", False),
        (":8800", False),
        ("localhost:8800:1", False),
        ("localhost, evil.example", False),
        ("0.0.0.0", False),
    ],
)
def test_which_names_a_server_answers_to(host: str, known: bool) -> None:
    names = Hosts(site(), ("192.168.1.5", "worlds.example.org:443"))
    assert names.knows(host) is known


def test_a_server_for_all_addresses_answers_to_any_address_and_to_no_name() -> None:
    for wild in ("0.0.0.0", "::"):
        names = Hosts(site(), (wild,))
        assert [names.knows(x) for x in ("10.1.2.3:8800", "[2001:db8::1]", "evil.example")] == [True, True, False]


def test_another_name_is_refused_with_the_flag_that_would_let_it_in() -> None:
    with TestClient(Hosts(site(), flag="--allow-host"), base_url="http://rebound.example:8800") as http:
        refused = http.get("/hello")
        assert refused.status_code == 421
        assert "start it with --allow-host rebound.example" in refused.text
        long = http.get("/hello", headers={"Host": "x" * 5000})
        assert long.status_code == 421
        assert long.text.count("x") <= 200


@pytest.mark.parametrize("bad", ["http://a.example", "a.example/b", "a b", "", "*", "[a.example]", "a" * 300])
def test_what_is_no_name_of_a_host(bad: str) -> None:
    with pytest.raises(ValueError, match="is no name of a host; write it as"):
        check_host(bad)
    assert check_host("Worlds.example.org:8800") == "Worlds.example.org:8800"
    assert name_of("[::1]:80") == "::1"


def test_every_answer_has_the_headers() -> None:
    app = SecurityHeaders(Hosts(BodyLimit(site(), 10)), framed_by=("https://a.example",))
    with TestClient(app, base_url="http://localhost") as http:
        answers = [http.get("/hello"), http.get("/nothing"), http.post("/words", content=b"1" * 11)]
        answers.append(http.get("/hello", headers={"Host": "evil.example"}))
    assert [x.status_code for x in answers] == [200, 404, 413, 421]
    for answer in answers:
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"connect-src 'self'", "frame-ancestors 'self' https://a.example", "default-src 'self'"} <= set(policy)


# ---- bodies -----------------------------------------------------------------------------------------------------------


def test_bodies_have_a_size_and_errors_repeat_nothing() -> None:
    with TestClient(BodyLimit(site(), 5000)) as http:
        assert http.post("/words", json=[1, 2]).json() == 2
        assert http.post("/words", content=b" " * 5001).status_code == 413
        streamed = http.post("/words", content=(b" " * 1000 for _ in range(9)))  # without Content-Length
        assert streamed.status_code == 413
        bad = http.post("/words", json=["secret" * 100] * 5)
        assert bad.status_code == 422
        assert "secret" not in bad.text
        for body in (b"[" * 4999, b"\xff\xfe", b"{"):
            answer = http.post("/words", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422)
            assert len(answer.text) < 600


# ---- connections ------------------------------------------------------------------------------------------------------


def test_silent_connections_lock_nobody_out() -> None:
    places = Connections(most=16)
    with served(places) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        assert says_hello(port)
        half = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        for it in half:
            with suppress(ConnectionError):
                it.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n")
        assert says_hello(port)
        assert ended(silent[0]) == b"", "the oldest made room"
        assert len(places) <= 16
        for it in silent + half:
            it.close()
        assert says_hello(port)


def test_a_request_that_does_not_arrive_is_ended() -> None:
    with served(Connections(), seconds=0.5) as port:
        for first in (b"", b"GET /hello HT", b"GET /hello HTTP/1.1\r\nHost: localhost\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as it:
                it.sendall(first)
                assert ended(it).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", port)) as it:  # a body that never comes
            it.sendall(b"POST /words HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\n[")
            assert b"200" not in ended(it)
        with socket.create_connection(("127.0.0.1", port)) as it:  # one header a moment, the second time
            it.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in it.recv(4096)
            it.sendall(b"GET /hello HTTP/1.1\r\n")
            began = time.monotonic()
            with suppress(ConnectionError):
                while time.monotonic() - began < 20:
                    it.sendall(b"X-A: b\r\n")
                    time.sleep(0.05)
            assert time.monotonic() - began < 20
        assert says_hello(port)


class FakeTransport:
    """A connection of that address."""

    def __init__(self, address: str) -> None:
        self.address, self.aborted = address, False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        assert name == "peername"
        return self.address, 1

    def abort(self) -> None:
        self.aborted = True


def connection(address: str) -> asyncio.Transport:
    return cast(asyncio.Transport, FakeTransport(address))


def test_one_address_cannot_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_file_limit", lambda: 1024)
    places = Connections(most=20, each=3)
    mine = [connection("10.0.0.1") for _ in range(3)]
    assert all(map(places.admit, mine))
    for it in mine:
        places.busy(it, True)
    assert not places.admit(connection("10.0.0.1")), "none of them is silent"
    assert places.admit(connection("::ffff:10.0.0.2"))
    places.busy(mine[1], False)
    assert places.admit(connection("10.0.0.1"))
    assert [cast(FakeTransport, x).aborted for x in mine] == [False, True, False]
    network = [connection(f"2001:db8::{i}") for i in range(1, 5)]
    assert all(map(places.admit, network))
    assert cast(FakeTransport, network[0]).aborted, "one network of IPv6 is one address"
    here = [connection(x) for x in ["127.0.0.1"] * 9 + ["::1"] * 9]
    assert all(map(places.admit, here))
    assert len(places) == 20


def test_connections_leave_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((256, 128), (20, 16), (2**20, 512)):
        monkeypatch.setattr(connections, "_file_limit", lambda files=files: files)
        assert Connections(512).most == most


# ---- the log ----------------------------------------------------------------------------------------------------------


def test_a_sentence_comes_seldom_into_the_log() -> None:
    now = [0.0]
    seldom = Seldom(most=2, seconds=60, clock=lambda: now[0])

    def record(words: str, *values: str) -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "", 0, words, values, None)

    assert [seldom.filter(record("bad request of %s", x)) for x in "abcd"] == [True, True, False, False]
    assert seldom.filter(record("something else"))
    now[0] = 61
    assert seldom.filter(last := record("bad request of %s", "a"))
    assert last.getMessage() == "bad request of a (and 2 times before that were not written down)"


def test_a_line_of_the_log_is_one_and_short() -> None:
    for words in ("name %s is\nbad", "%s"):
        for long in ("q" * 10**5, "'" + "q " * 10**5 + "'", "/q" * 10**4):
            record = logging.LogRecord("x", logging.WARNING, "", 0, words, (long,), None)
            assert Seldom().filter(record)
            said = record.getMessage()
            assert said.count("q") <= 200 and len(said) <= 600 and "\n" not in said


def test_accept_errors_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        log_accept_errors_once(loop)
        for _ in range(1000):
            error = OSError(errno.EMFILE, "Too many open files")
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
        loop.call_exception_handler({"message": "something else", "exception": ValueError("other")})

    asyncio.run(run())
    said = [x.getMessage() for x in caplog.records]
    assert sum("ulimit -n" in x for x in said) == 1
    assert sum("something else" in x for x in said) == 1
    assert len(said) == 2
