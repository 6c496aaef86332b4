"""A live server under what once brought it down, with a good player beside: ``pytest -m slow -s tests/attack/test_live.py``.

Held: the good player's longest gap between two pictures, healthz, memory (its height, and that it comes back within a minute),
and what is written into the log; ``live_support.py`` has the numbers. The world's weights are random: the server is attacked.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

sys.path.append(str(Path(__file__).parent))

from live_mutate import REPLAY, STEP, mutant
from live_support import Server, at_once, raw, server, socket_of, tell, withstand

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of the server from /proc"),
]
MESSAGES = int(os.environ.get("DREAMX_ATTACK_MESSAGES", "10000"))


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all attacks: whatever one of them leaves behind, the next would find."""
    with server(tmp_path_factory.mktemp("live"), "--sessions", "4") as found:
        yield found


def start(**more: Any) -> str:
    return json.dumps({"type": "start", **more})


def longest(first: float = 1.5, event: bool = False) -> str:
    """A start with a replay of as many steps as there may be, no two alike."""
    looks = [[first + i / 7, -0.5] for i in range(50_000)]
    return start(
        replay=REPLAY | {"steps": [STEP | {"look": x, "keys": "wasd", "event": f"rain {x}" if event else None} for x in looks]}
    )


def bomb(side: int, form: str = "PNG", mode: str = "RGBA") -> str:
    """A start with a picture of so many pixels a side and few bytes, to be turned."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new(mode, (side, side), 7).save(out, form, exif=exif)
    return start(image=base64.b64encode(out.getvalue()).decode())


# ---- messages --------------------------------------------------------------------------------------------------------


def test_the_longest_replays(it: Server) -> None:
    """The first of this server's: what they leave behind is seen. The second of each is walked in for a while."""
    withstand(it, lambda port: at_once(2, lambda i: tell(port, [longest(i), longest(i, event=True)] * 3)))


def test_replays_of_millions_of_steps(it: Server) -> None:
    numbers = '{"type": "start", "replay": {"steps": [' + "1, " * 3_700_000 + "1]}}"
    within = '{"type": "start", "replay": {"steps": [' + "[]," * 300_000 + "1]}}"
    wrong = start(replay=REPLAY | {"steps": [STEP | {"keys": 1}] * 50_000})
    withstand(it, lambda port: at_once(3, lambda _: none_starts(tell(port, [numbers, within, wrong] * 2))))


def none_starts(answers: list[str]) -> None:
    assert answers and "started" not in answers


def test_pictures_of_millions_of_pixels(it: Server) -> None:
    huge, large = bomb(7071), bomb(4000)
    more = [bomb(4000, "WEBP"), bomb(4000, "TIFF", "I;16"), bomb(4000, "PNG", "P"), bomb(3990, "JPEG2000", "RGB")]
    withstand(it, lambda port: at_once(12, lambda i: tell(port, [huge, large, more[i % len(more)]])))


def test_starts_of_hundreds_of_thousands_of_keys(it: Server) -> None:
    many = '{"type": "start"' + "".join(f', "k{i}": 1' for i in range(700_000)) + "}"
    hidden = many.replace("{", '{"image": "", "replay": null, ', 1)
    some = '{"type": "start"' + "".join(f', "k{i}": 1' for i in range(5000)) + "}"
    withstand(it, lambda port: at_once(6, lambda _: none_starts(tell(port, [many, hidden, *[some] * 200]))))


def test_ten_thousand_mutants(it: Server) -> None:
    """All are answered, or obeyed: what was sent before a mark is answered before it."""

    def attack(port: int) -> None:
        at_once(4, lambda i: mutants(port, random.Random(i), MESSAGES // 4))

    withstand(it, attack)


def mutants(port: int, rng: random.Random, count: int) -> None:
    for first in range(0, count, 50):
        with socket_of(port) as it:
            for _ in range(50):
                message = mutant(rng)
                it.send(message if isinstance(message, bytes) else message.encode(errors="surrogatepass"), text=True)
            it.send(json.dumps({"type": "pause", f"mark-{first}": 1}))
            while f"mark-{first}" not in str(it.recv(60)):
                pass


def test_frames_and_pings_without_end(it: Server) -> None:
    ping = Frame(Opcode.PING, b"p" * 125).serialize(mask=True) * 500
    piece = Frame(Opcode.CONT, b"x", fin=False).serialize(mask=True) * 2000

    def attack(port: int) -> None:
        def one(i: int) -> None:
            with suppress(OSError), raw(port) as it:
                it.sendall(
                    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                )
                it.recv(4096)
                if i % 2:
                    it.sendall(Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True))
                for _ in range(300):
                    it.sendall(piece if i % 2 else ping)

        at_once(6, one)

    withstand(it, attack)


def test_large_messages_that_never_end(it: Server) -> None:
    head = Frame(Opcode.TEXT, b"x" * 11_000_000).serialize(mask=True)[:10_500_000]

    def attack(port: int) -> None:
        def one(_: int) -> None:
            with suppress(OSError), raw(port) as it:
                it.sendall(
                    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                )
                it.recv(4096)
                it.sendall(head)
                time.sleep(5)

        at_once(12, one)

    withstand(it, attack)


# ---- before the token ------------------------------------------------------------------------------------------------


def test_pages_of_other_names(it: Server) -> None:
    def attack(port: int) -> None:
        with httpx.Client(headers={"Host": f"rebound.example:{port}"}) as http:
            for _ in range(300):
                for path in ("", "api/world", "metrics", "x" * 3000):
                    assert http.get(f"http://127.0.0.1:{port}/{path}").status_code == 421
        for _ in range(100):
            here = socket.create_connection(("127.0.0.1", port))
            with pytest.raises(InvalidStatus), connect(f"ws://rebound.example:{port}/socket", sock=here):
                pass

    withstand(it, attack)


def test_three_hundred_silent_connections_where_few_files_may_be_open(tmp_path: Path) -> None:
    with server(tmp_path, files=256) as few:
        held: list[socket.socket] = []

        def attack(port: int) -> None:
            for _ in range(3):
                held.extend(socket.create_connection(("127.0.0.1", port), 20) for _ in range(300))
                time.sleep(1)

        withstand(few, attack)
        for one in held:
            one.close()


def test_slow_headers(it: Server) -> None:
    """A byte now and then, for longer than a request may take."""

    def attack(port: int) -> None:
        held = [raw(port) for _ in range(200)]
        gone: set[int] = set()
        end = time.monotonic() + 60
        for letter in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 300:
            for i, one in enumerate(held):
                if i not in gone:
                    try:
                        one.sendall(bytes([letter]))
                        one.setblocking(False)
                        if one.recv(100):
                            gone.add(i)
                    except BlockingIOError:
                        pass
                    except OSError:
                        gone.add(i)
            if len(gone) == len(held) or time.monotonic() > end:
                break
            time.sleep(0.2)
        assert len(gone) == len(held), f"{len(held) - len(gone)} are still there"
        for one in held:
            one.close()

    withstand(it, attack)


NOISE: list[Callable[[random.Random], bytes]] = [
    lambda rng: rng.randbytes(200),
    lambda rng: b"GET /" + bytes(rng.choices(range(33, 127), k=100)) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda rng: b"GET /%00%ff" + b"%2e%2e%2f" * 20 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda rng: b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    lambda rng: b"POST /api/world HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n" + b"z" * 50_000,
    lambda rng: b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    lambda rng: b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    lambda rng: (
        b"GET /api/sessions/" + b"s" * rng.randrange(5000) + b"/replay.json?token=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    lambda rng: b"GET /api/origin?of=http://[ HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b;" * 500 + b"\r\n\r\n",
    lambda rng: b"GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + b"0-1," * 1000 + b"\r\n\r\n",
]


def test_noise_instead_of_requests(it: Server) -> None:
    def attack(port: int) -> None:
        def one(i: int) -> None:
            rng = random.Random(i)
            for _ in range(400):
                with suppress(OSError), raw(port) as here:
                    here.sendall(rng.choice(NOISE)(rng))
                    here.shutdown(socket.SHUT_WR)
                    here.recv(4096)

        at_once(6, one)

    withstand(it, attack)
