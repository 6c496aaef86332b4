"""What one message may cost: it is measured before it is read, read up to its first error, and never repeated in the answer."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import islice, repeat
from typing import Any

import httpx
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from dreamx import picture, replay
from dreamx.flags import parse as flags
from dreamx.picture import read_picture
from dreamx.play import client_messages, start_request
from dreamx.play.replay_conversion import script_of
from dreamx.play.server import PlayConfig
from dreamx.web import uvicorn_protocols as web_server
from dreamx.web.uvicorn_protocols import FRAMES
from fake_world import FakeWorld
from play_house import Player, eventually, open_house, png

STEP = {"keys": "w", "frames": 4, "look": None, "event": None, "switches": {"memory": True, "camera": True}}


def walk(steps: list[Any], image: str | None = None, **more: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "format": 1,
        "dreamx": "0",
        "world": "fake",
        "weights": "fake",
        "seed": 0,
        "prompt": "",
        "start": None,
    }
    return whole | {"image": image, "steps": steps} | more


def keys(count: int, first: str = '"type": "start"') -> str:
    """A message with so many fields that nobody knows."""
    return "{" + first + "".join(f', "k{i}": 1' for i in range(count)) + "}"


#: Messages that took seconds, gigabytes or both, and what is said to them.
BOMBS: dict[str, tuple[Callable[[], str], str]] = {
    "keys": (lambda: keys(600_000), "at most 65536 are read"),
    "keys beside a picture": (lambda: keys(600_000, '"type": "start", "image": ""'), "values, which no message needs"),
    "keys in a small message": (lambda: keys(4000), "more than 64 keys"),
    "keys of a switch": (lambda: json.dumps({"type": "start", "switches": {f"k{i}": 1 for i in range(4000)}}), "more values"),
    "numbers of a look": (lambda: json.dumps({"type": "keys", "held": "w", "seq": 1, "look": [1] * 400}), "more values"),
    "numbers for steps": (
        lambda: json.dumps({"type": "start", "replay": walk([1] * 3_000_000)}),
        "values, which no message needs",
    ),
    "steps": (lambda: json.dumps({"type": "start", "replay": walk([1] * 60_000)}), "the 50000 that are walked at most"),
    "wrong steps": (lambda: json.dumps({"type": "start", "replay": walk([[]] * 49_000)}), "replay.steps.0: must be an object"),
    "letters of a step": (lambda: json.dumps({"type": "start", "replay": walk([STEP | {"keys": "w" * 10**6}])}), "at most 32"),
    "a long replay": (
        lambda: json.dumps({"type": "start", "replay": {"x": "y" * 10_500_000}}),
        "a replay may have 10 MB and 50000",
    ),
    "depth": (lambda: '{"type": "start", "replay": ' + "[" * 60_000, "not JSON"),
    "one long string": (lambda: json.dumps({"a": "b" * 10**7}), "no known type"),
    "a long word": (lambda: json.dumps({"type": "pause", "a": "b" * 10**4}), "at most 2048 are read"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(name: str) -> None:
    make, words = BOMBS[name]
    message = make()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=".") as e:
            request = client_messages.parse(message)
            assert isinstance(request, client_messages.StartMessage) and request.replay is not None
            script_of(request.replay, {}, (64, 64), "")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in str(e.value)
    assert len(str(e.value)) < 400
    assert peak < 100 * 2**20, f"{peak / 2**20:.0f} MB"


def test_the_longest_words_are_read_however_they_are_written() -> None:
    words = "\U0001f600" * client_messages.PROMPT_LIMIT
    for ascii_ in (True, False):
        text = json.dumps({"type": "start", "prompt": words}, ensure_ascii=ascii_)
        assert client_messages.is_light(text)
        assert client_messages.parse(text) == client_messages.StartMessage("start", prompt=words)
        assert client_messages.parse(
            json.dumps({"text": words, "type": "event"}, ensure_ascii=ascii_)
        ) == client_messages.SayEvent("event", words)


def test_the_longest_replay_is_read() -> None:
    given = walk([STEP | {"look": [1.25, -0.5], "keys": "wasdijkl"}] * replay.STEP_LIMIT)
    request = client_messages.parse(json.dumps({"type": "start", "seed": 3, "codec": "h264", "replay": given}))
    assert isinstance(request, client_messages.StartMessage) and request.replay is not None
    assert list(request.replay["steps"]) == given["steps"]
    given["steps"] = request.replay["steps"]
    assert request == client_messages.StartMessage("start", seed=3, codec="h264", replay=given)


def test_a_long_replay_is_never_fifty_thousand_objects() -> None:
    """Of Python's memory a few objects at a time, and of the system's the text that came and its packed steps."""
    steps = [STEP | {"look": [i / 7, -i / 7], "event": f"it happens {i}"} for i in range(replay.STEP_LIMIT)]
    text = json.dumps({"type": "start", "replay": walk(steps)})
    tracemalloc.start()
    try:
        request = client_messages.parse(text)
        assert isinstance(request, client_messages.StartMessage) and request.replay is not None
        script = script_of(request.replay, {}, (64, 64), "").script
        objects = sum(t.count for t in tracemalloc.take_snapshot().statistics("filename"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [s.event for s in islice(script, 2)] == ["it happens 0", "it happens 1"]
    assert sum(1 for _ in script) == sum(1 for _ in script) == replay.STEP_LIMIT
    assert objects < 5000
    assert peak < len(text)


#: Where a message or an address may hold anything.
ECHOES: list[Callable[[str], dict[str, object]]] = [
    lambda x: {"type": x},
    lambda x: {x: 1},
    lambda x: {"type": "pause", x: 1},
    lambda x: {"type": "start", "start": x},
    lambda x: {"type": "start", "codec": x},
    lambda x: {"type": "start", "image": x},
    lambda x: {"type": "start", "seed": x},
    lambda x: {"type": "start", "prompt": x},
    lambda x: {"type": "start", "switches": {x: 1}},
    lambda x: {"type": "start", "switches": {"memory": x}},
    lambda x: {"type": "start", "switches": [x] * 9},
    lambda x: {"type": "keys", "held": x, "seq": 1},
    lambda x: {"type": "keys", "held": "w", "seq": x},
    lambda x: {"type": "resume_session", "session": x},
    lambda x: {"type": "event", "text": x},
    lambda x: {"type": "start", "replay": {x: 1}},
    lambda x: {"type": "start", "replay": walk([], prompt=x)},
    lambda x: {"type": "start", "replay": walk([], start=x)},
    lambda x: {"type": "start", "replay": walk([], image=x)},
    lambda x: {"type": "start", "replay": walk([], format=x)},
    lambda x: {"type": "start", "replay": walk([x])},
    lambda x: {"type": "start", "replay": walk([STEP | {x: 1}])},
    lambda x: {"type": "start", "replay": walk([STEP | {"keys": x}])},
    lambda x: {"type": "start", "replay": walk([STEP | {"look": [x, x]}])},
    lambda x: {"type": "start", "replay": walk([STEP | {"look": [1, 2, x]}])},
    lambda x: {"type": "start", "replay": walk([STEP | {"event": x}])},
]


def test_nothing_is_said_back_at_length() -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        for make in ECHOES:
            for length in (5000, 60_000, 100_000):
                with Player(port) as player:
                    player.say(**make("\u00a7" * length))
                    text = player.reply("error")["text"]
                    assert text.count("\u00a7") <= 200, text
                    assert len(text) <= 400
        for path in ("api/sessions/{}/replay.json", "api/sessions/{}/frame.png", "api/recordings/{}.mp4", "starts/{}.png", "{}"):
            answer = httpx.get(f"http://127.0.0.1:{port}/{path.format('q' * 5000)}")
            assert answer.status_code == 404
            assert answer.text.count("q") <= 200


# ---- what is asked for first -----------------------------------------------------------------------------------------


def test_a_full_house_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def spy(data: bytes, size: tuple[int, int], pixels: int) -> tuple[Any, str]:
        read.append(len(data))
        return read_picture(data, size, pixels)

    monkeypatch.setattr(start_request, "read_picture", spy)
    image = base64.b64encode(png()).decode()
    with open_house(FakeWorld(due=4), room=1) as (house, port), Player(port) as first, Player(port) as second:
        first.say(type="start", image=image)
        first.reply("started")
        assert len(read) == 1
        for message in (json.dumps({"type": "start", "image": image}), "{" + " " * 70_000, '"' + "x" * 10**6):
            second.socket.send(message)
            second.reply("busy")
        assert len(read) == 1
        second.say(type="start", image="???")
        second.reply("busy")
        first.say(type="start", image="???")
        assert "base64" in first.reply("error")["text"]
        assert house.running == 1
        first.frames(2)


def test_large_openings_come_one_at_a_time_and_a_bad_one_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def slow(data: bytes, size: tuple[int, int], pixels: int) -> tuple[Any, str]:
        assert pixels == client_messages.PIXEL_LIMIT
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return read_picture(data, size, pixels)

    monkeypatch.setattr(start_request, "read_picture", slow)
    image = base64.b64encode(png()).decode()
    with open_house(FakeWorld(due=4), room=4) as (house, port):
        players = [Player(port).__enter__() for _ in range(4)]
        for player in players:
            player.say(type="start", image=image)
        for player in players:
            player.reply("started")
        assert most[0] == 1
        for player in players:
            player.__exit__(None, None, None)
        assert eventually(lambda: house.running == 0)
        with Player(port) as player:
            for _ in range(6):
                player.say(type="start", image=base64.b64encode(b"no picture").decode())
                player.reply("error")
                assert eventually(lambda: house.running == 0)
                player.say(type="resume_session", session="nobody")
                player.reply("error")
                assert eventually(lambda: house.running == 0)


# ---- pictures --------------------------------------------------------------------------------------------------------


def turned(image: Image.Image, form: str) -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    image.save(out, form, exif=exif)
    return out.getvalue()


def test_pictures_of_more_than_sixteen_megapixels_are_refused_by_their_header(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(picture, "_upright", lambda *_: decoded.append("decoded"))
    header = struct.pack(">IIBBBBB", 4001, 4000, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    data = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\x10IDAT"
        + bytes(99)
    )
    with pytest.raises(ValueError, match="more than 16 million pixels"):
        read_picture(data, (64, 64), client_messages.PIXEL_LIMIT)
    assert decoded == []


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("PNG", "L")])
def test_a_large_picture_is_shrunk_before_it_is_turned(form: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (2600, 1700), "blue")
    image.paste("red", (0, 0, 1300, 1700))
    sizes: list[tuple[int, int]] = []
    upright = picture._upright  # pyright: ignore[reportPrivateUsage]

    def spy(image: Image.Image, aspect: float | None) -> Image.Image:
        sizes.append(image.size)
        return upright(image, aspect)

    monkeypatch.setattr(picture, "_upright", spy)
    tensor, note = read_picture(turned(image.convert(mode), form), (96, 64), client_messages.PIXEL_LIMIT)
    assert sizes[0][0] < 700 and sizes[0][1] >= 192
    assert note == "The picture is 1700 x 2600; its middle 1700 x 2550 is used."
    if mode != "L":
        assert tensor[0, 10].min() > 200 and tensor[2, 10].max() < 60, "red is above now"
        assert tensor[2, 85].min() > 200 and tensor[0, 85].max() < 60


def test_a_jpeg_of_thousands_of_passes_is_refused() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, "JPEG", progressive=True)
    whole = out.getvalue()
    assert read_picture(whole, (32, 32), client_messages.PIXEL_LIMIT)[0].shape == (3, 32, 32)
    at = whole.rindex(b"\xff\xda")
    with pytest.raises(ValueError, match="JPEG of more than 100 scans"):
        read_picture(whole[:at] + whole[at:-2] * 200 + b"\xff\xd9", (32, 32), client_messages.PIXEL_LIMIT)
    film = b"\xff\xda\0\2" * 500  # what a telephone hides behind the end
    assert read_picture(whole + film, (32, 32), client_messages.PIXEL_LIMIT)[0].shape == (3, 32, 32)


# ---- sockets ---------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_text_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    with open_house(FakeWorld(due=4)) as (_, port), Player(port) as player:
        for data in (b"\xff", b'{"type": "pause\xe9"}', b'{"type": "start", "prompt": "\xed\xa0\x80"}'):
            player.socket.send(data, text=True)
            assert player.reply("error")["text"] == "the message is not UTF-8; send JSON text in UTF-8"
        player.say(type="start", start="hill")
        player.frames(4)
    assert caplog.records == []


def test_a_message_of_very_many_frames_closes_its_socket_only() -> None:
    with open_house(FakeWorld(due=4, fps=100)) as (_, port), Player(port) as player:
        player.say(type="start", start="hill")
        player.reply("started")
        with Player(port) as other:
            other.reply("hello")
            other.socket.send(repeat("x", FRAMES - 1))
            assert "no known type" in other.reply("error")["text"]
            with pytest.raises(ConnectionClosed):
                other.socket.send(repeat("x", FRAMES + 100))
                other.until(lambda _: False)
        player.frames(8)


def test_pings_whose_answers_nobody_reads_pile_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    answer = web_server._Socket.handle_ping  # pyright: ignore[reportPrivateUsage]

    def spy(self: web_server._Socket) -> None:  # pyright: ignore[reportPrivateUsage]
        answer(self)
        waiting.append(self.transport.get_write_buffer_size())

    monkeypatch.setattr(web_server._Socket, "handle_ping", spy)  # pyright: ignore[reportPrivateUsage]
    with open_house(FakeWorld(due=4)) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as it:
            it.sendall(
                b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b"101" in it.recv(4096)
            ping = Frame(Opcode.PING, b"p" * 125).serialize(mask=True) * 500
            for _ in range(200):  # 13 MB, more than the pipes of the system hold
                it.sendall(ping)
            assert eventually(lambda: len(waiting) > 99_000)
        assert 0 < max(waiting) <= web_server.UNREAD + 2 * web_server.READ


# ---- the door --------------------------------------------------------------------------------------------------------


def test_a_page_that_was_rebound_reads_nothing_and_opens_no_socket() -> None:
    with open_house(FakeWorld(due=4)) as (house, port):
        evil = {"Host": f"rebound.example:{port}", "Origin": f"http://rebound.example:{port}"}
        for path in ("/", "/api/world", "/api/sessions/x/frame.png", "/openapi.json", "/metrics"):
            refused = httpx.get(f"http://127.0.0.1:{port}{path}", headers=evil | {"X-Forwarded-Host": "localhost"})
            assert refused.status_code == 421, path
            assert "--allow-host rebound.example" in refused.text
        with pytest.raises(InvalidStatus) as e, connect(f"ws://rebound.example:{port}/socket", sock=to(port), origin=None):
            pass
        assert e.value.response.status_code == 403
        assert house.open_sockets == 0
    with open_house(FakeWorld(due=4), allowed=("https://worlds.example.org",)) as (_, port):
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "worlds.example.org"}).status_code == 200
    with open_house(FakeWorld(due=4), token="a-long-token") as (_, port):  # which no rebound page knows
        named = {"Host": "my-machine.lan"}
        assert httpx.get(f"http://127.0.0.1:{port}/api/world", headers=named).status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/api/world?token=a-long-token", headers=named).status_code == 200


def test_what_is_no_host_is_refused_at_the_start() -> None:
    for bad in ("http://worlds.example.org", "*", "a b"):
        with pytest.raises(ValueError, match=r"allow_host: .* is no name of a host; write it as"):
            flags(PlayConfig, ["--allow-host", bad], "dreamx play")
    assert flags(PlayConfig, ["--allow-host", "a.example", "--allow-host", "b"], "dreamx play").allow_host == ("a.example", "b")


def to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def test_answers_are_for_the_own_page_alone() -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        for path in ("/", "/play.js", "/api/world", "/starts/hill.png", "/nothing"):
            headers = httpx.get(f"http://127.0.0.1:{port}{path}").headers
            assert headers["cross-origin-resource-policy"] == "same-origin", path
            assert "frame-ancestors 'self'" in headers["content-security-policy"], path
            assert "connect-src 'self'; " in headers["content-security-policy"], path


@pytest.mark.parametrize(
    "bad", ["short", "with a blank", "semi;colon", "umlaut-\u00e4\u00f6", "percent%20", "a" * 300, "new\nline-x"]
)
def test_a_token_that_would_get_lost_is_refused_at_the_start(bad: str) -> None:
    with pytest.raises(ValueError, match="token "):
        flags(PlayConfig, ["--token", bad], "dreamx play")
    assert flags(PlayConfig, ["--token", "Good-token_1.~"], "dreamx play").token == "Good-token_1.~"


def test_the_docs_are_where_the_docs_say() -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        page = httpx.get(f"http://127.0.0.1:{port}/docs").text
        paths = httpx.get(f"http://127.0.0.1:{port}/openapi.json").json()["paths"]
    assert all(path in page for path in paths)
    assert "http" not in page.replace("the HTTP part", "").replace("HTTPValidationError", ""), "nothing comes from elsewhere"
