"""Nonsense over a real socket: every message is answered, nothing falls over, and the world goes on.

The full numbers (10,000 messages, 500 uploads) are marked slow; a share of them, from another seed, runs always.
"""

from __future__ import annotations

import base64
import io
import json
import random
import socket
from contextlib import suppress
from threading import Thread
from typing import cast

import httpx
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dreamx.play import client_messages
from dreamx.play.connection import UNREAD, Connection
from dreamx.play.server_messages import Picture
from fake_world import FakeWorld
from play_house import Player, eventually, open_house, png
from repo import ROOT
from test_play_protocol import TYPES

SHARES = [pytest.param(1, 600, 40, id="share"), pytest.param(2, 10_000, 500, id="all", marks=pytest.mark.slow)]
BATCH = 50
_FIELDS = ("type start image prompt seed codec switches replay session held seq look turn text frame spare moment seconds "
           "memory camera on").split()  # fmt: skip


def value(rng: random.Random, depth: int = 0) -> object:
    """Anything that JSON can hold, and often something near to what is meant."""
    plain: list[object] = [
        None, True, False, 0, -1, 1, 2**31, 2**32, 2**70, 1e300, -0.5, "", "w", "wasd", "x", "jpeg", "h264", "hill", "\x00",
        "\ud83d\ude00", "\u202e", "a" * 600, "../../etc", float("nan"), float("inf"), base64.b64encode(b"x").decode(),
    ]  # fmt: skip
    if depth > 2 or rng.random() < 0.8:
        return rng.choice(plain)
    if rng.random() < 0.5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(_FIELDS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def nonsense(rng: random.Random) -> str | bytes:
    """One message: noise, cut or bent JSON, or a message of the protocol with wrong fields."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(64))
    message: dict[str, object] = {"type": rng.choice([*TYPES, "", "Start", "__class__"])}
    message |= {rng.choice(_FIELDS): value(rng) for _ in range(rng.randrange(5))}
    text = json.dumps(message)
    if kind == 1:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 2:
        at = rng.randrange(len(text))
        return text[:at] + rng.choice('{}[]",:\\0e\x00\u2028') + text[at + 1 :]
    if kind == 3:
        return "[" * rng.randrange(5000)
    return text


def refused(message: str | bytes) -> bool:
    """Whether it is no message of the protocol, so that the server must say so."""
    try:
        client_messages.parse(message)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(("seed", "messages", "uploads"), SHARES)
def test_fuzzed_messages_are_all_answered(seed: int, messages: int, uploads: int) -> None:
    rng = random.Random(seed)
    with open_house(FakeWorld(due=4, fps=200)) as (house, port), Player(port) as player:
        player.reply("hello")
        for first in range(0, messages, BATCH):
            sent = [nonsense(rng) for _ in range(BATCH)]
            for message in sent:
                player.socket.send(message)
            mark = f"{first}-is-no-session"
            player.say(type="resume_session", session=mark)  # what was sent before it is answered before it
            player.until(lambda m, mark=mark: isinstance(m, dict) and m["type"] == "error" and mark in m["text"])
            errors = [m for m in player.replies if m["type"] == "error"]
            assert all("\n" not in m["text"] and m["text"] for m in errors)
            assert len(errors) > sum(map(refused, sent)) > BATCH // 4
            player.replies.clear()
            player.pictures.clear()
        player.say(type="start", start="hill", seed=3)
        player.until(lambda m: isinstance(m, dict) and m["type"] == "started" and m["seed"] == 3)
        player.say(type="resume")
        player.frames(12)
        assert house.running == 1
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").json()["ok"]
    assert house.open_sockets == 0


def broken(rng: random.Random, wholes: list[bytes]) -> bytes:
    """A picture file with a part missing, bent, repeated, or of another."""
    data = bytearray(rng.choice(wholes))
    match rng.randrange(5):
        case 0:
            del data[rng.randrange(len(data)) :]
        case 1:
            for _ in range(rng.randrange(1, 40)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 2:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randrange(2000))
        case 3:
            data[rng.randrange(len(data)) :] = rng.choice(wholes)[rng.randrange(200) :]
        case _:
            data = bytearray(rng.randbytes(rng.randrange(3000)))
    return bytes(data)


@pytest.mark.parametrize(("seed", "messages", "uploads"), SHARES)
def test_broken_uploads_are_all_answered(seed: int, messages: int, uploads: int) -> None:
    rng = random.Random(seed)
    noise = Image.frombytes("RGB", (90, 70), rng.randbytes(90 * 70 * 3))
    wholes = [png((80, 60), form=form) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]
    for form in ("PNG", "JPEG", "WEBP"):
        out = io.BytesIO()
        noise.save(out, form)
        wholes.append(out.getvalue())
    with open_house(FakeWorld(due=4, fps=200)) as (_, port), Player(port) as player:
        player.say(type="start", start="hill")
        player.reply("started")
        answers: list[str] = []
        for seq in range(uploads):
            image = base64.b64encode(broken(rng, wholes)).decode()
            player.say(type="start", image=image, seed=seq)
            got = player.until(lambda m: isinstance(m, dict) and m["type"] in ("started", "error"))
            assert isinstance(got, dict)
            answers.append(got["type"])
            if got["type"] == "error":
                assert "picture" in got["text"]
                assert "\n" not in got["text"]
            player.replies.clear()
            player.pictures.clear()
        assert answers.count("error") > uploads // 3
        player.frames(8)


def test_a_huge_picture_is_refused_and_a_huge_message_closes_its_own_socket_only() -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    with open_house(FakeWorld(due=4, fps=200)) as (_, port), Player(port) as player:
        player.say(type="start", image=base64.b64encode(out.getvalue()).decode())
        assert "million pixels" in player.reply("error")["text"]
        player.say(type="start", start="hill")
        with Player(port) as other, pytest.raises(ConnectionClosed):
            other.socket.send("x" * (client_messages.MESSAGE_LIMIT + 1))
            other.until(lambda _: False)
        player.frames(8)


def test_one_who_never_reads_slows_nobody_down_and_nothing_piles_up() -> None:
    world = FakeWorld(due=4, fps=200)
    with open_house(world) as (house, port), Player(port) as player:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", port))
        with connect(f"ws://127.0.0.1:{port}/socket", sock=narrow, max_queue=1, close_timeout=0) as deaf:
            deaf.send(json.dumps({"type": "start", "start": "hill"}))
            for i in range(3000):  # says that it painted, and does not even read
                deaf.send(json.dumps({"type": "shown", "frame": i}))
            player.say(type="start", start="sea")
            player.frames(200)
            assert house.running == 2
            (slow,) = (
                g for g in cast(set[Connection], house.clients) if g.pipeline is not None and g.pipeline.opening.start == "hill"
            )
            dreamt = len(world.forks[0].actions)
            player.frames(200)
            assert dreamt <= len(world.forks[0].actions) <= dreamt + 60  # what fits into the pipes of the system, then no more

            def flood() -> None:
                with suppress(ConnectionClosed, OSError):  # at last it is not listened to, and waits here until it is closed
                    for _ in range(20_000):
                        deaf.send(json.dumps({"type": "pause"}))

            thread = Thread(target=flood)
            thread.start()
            assert eventually(lambda: slow.unsent > UNREAD)
            player.frames(40)
            assert slow.unsent < UNREAD + 50
            narrow.shutdown(socket.SHUT_RDWR)
            thread.join(20)
        assert eventually(lambda: house.running == 1)
        player.frames(20)


def test_there_are_only_so_many_sockets() -> None:
    with open_house(FakeWorld(due=4, fps=200), room=1) as (house, port):
        pages = [Player(port).__enter__() for _ in range(house.max_sockets)]
        for page in pages:
            page.reply("hello")
        with Player(port) as late:
            assert late.reply("busy")["retry_seconds"] > 0
            with pytest.raises(ConnectionClosed) as closed:
                late.listen()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        pages[0].say(type="start", start="hill")
        assert isinstance(pages[0].until(lambda m: isinstance(m, Picture)), Picture)
        for page in pages:
            page.socket.close()
        assert eventually(lambda: house.open_sockets == 0)


def test_the_fields_that_are_fuzzed_are_those_of_the_protocol() -> None:
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    assert [x for x in _FIELDS if x != "type" and f"`{x}`" not in page] == []
