"""Behind a proxy: whose pages may play, that a refusal says what to set, and the page below a path of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from browser import Page, needs_chromium
from dreamx.flags import parse
from dreamx.play.origin import Origins
from dreamx.play.server import PlayConfig
from fake_world import FakeWorld
from page_visit import STAGE, VEILED
from play_house import open_house

pytest_plugins = ["page_house"]

SITE = "https://worlds.example.org"


@pytest.mark.parametrize(
    ("origin", "headers", "may"),
    [
        (None, {"host": "127.0.0.1:8800"}, True),
        ("http://127.0.0.1:8800", {"host": "127.0.0.1:8800"}, True),
        ("http://localhost", {"host": "LOCALHOST:80"}, True),
        (SITE, {"host": "worlds.example.org"}, True),
        (SITE, {"host": "worlds.example.org:443"}, True),
        (SITE, {"host": "127.0.0.1:8800"}, False),
        (SITE, {"host": "127.0.0.1:8800", "x-forwarded-host": "worlds.example.org"}, True),
        (SITE, {"host": "127.0.0.1:8800", "x-forwarded-host": "worlds.example.org, inner.example"}, True),
        (SITE, {"host": "127.0.0.1:8800", "forwarded": 'for=1.2.3.4;host="worlds.example.org";proto=https'}, True),
        (SITE, {"host": "127.0.0.1:8800", "x-forwarded-host": "other.example"}, False),
        (f"{SITE}.evil.example", {"host": "worlds.example.org"}, False),
        (f"{SITE}:8443", {"host": "worlds.example.org"}, False),
        ("null", {"host": "null"}, False),
        ("http://[::1", {"host": "[::1"}, False),
        ("http://[::1]:8800", {"host": "[::1]:8800"}, True),
        ("file://", {"host": ""}, False),
        ("http://a:b", {"host": "a:b"}, False),
    ],
)
def test_whose_pages_may_play(origin: str | None, headers: dict[str, str], may: bool) -> None:
    assert (Origins().refusal(origin, headers) == "") is may


def test_sites_that_were_allowed_may_play() -> None:
    origins = Origins((f"{SITE}/", "http://b.example:8080"))
    for origin in (SITE, f"{SITE}:443", "http://b.example:8080"):
        assert origins.refusal(origin, {"host": "127.0.0.1:8800"}) == ""
    assert "--allow-origin http://b.example" in origins.refusal("http://b.example", {"host": "127.0.0.1:8800"})


def test_what_is_no_site_is_one_sentence() -> None:
    both = parse(PlayConfig, ["--allow-origin", SITE, "--allow-origin", "http://b.example:80"], "dreamx play")
    assert both.allow_origin == (SITE, "http://b.example:80")
    for bad in ("worlds.example.org", "*", f"{SITE}/page", "null", "http://user@a.example", "ws://a.example"):
        with pytest.raises(ValueError, match=r"allow_origin: .* is no site; write it as"):
            parse(PlayConfig, ["--allow-origin", bad], "dreamx play")


def test_a_refusal_names_the_site_and_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    with open_house(FakeWorld(due=4)) as (_, port):
        url = f"ws://127.0.0.1:{port}/socket"
        for _ in range(2):
            with pytest.raises(InvalidStatus) as e, connect(url, origin=Origin(SITE)):
                pass
            assert e.value.response.status_code == 403
        asked = httpx.get(f"http://127.0.0.1:{port}/api/origin", params={"of": SITE}).json()
        said = asked["text"]
        assert said.startswith(f"pages of {SITE} may not play here, because this server was asked for as 127.0.0.1:{port};")
        assert said.endswith(f"or start dreamx play with --allow-origin {SITE}")
        assert not asked["allowed"]
        assert capsys.readouterr().err.count(said) == 1, "once, not for every try"
        with connect(url, origin=Origin(SITE), additional_headers={"X-Forwarded-Host": "worlds.example.org"}) as it:
            assert "hello" in str(it.recv(10))
    with (
        open_house(FakeWorld(due=4), allowed=(SITE,)) as (_, port),
        connect(f"ws://127.0.0.1:{port}/socket", origin=Origin(SITE)) as it,
    ):
        assert "hello" in str(it.recv(10))


@contextmanager
def proxy(target: int, forwards: bool = False, sockets: bool = True) -> Iterator[int]:
    """The port of a proxy that serves ``target`` below /proxy/8800 and asks for it by its own address, as most do.

    forwards: says for what the browser asked. Without ``sockets`` it passes on no Upgrade, as nginx does unless it is told.
    """
    ready: Future[int] = Future()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            upgrades = sockets and any(x.lower().startswith("upgrade:") for x in lines)
            lost = ("host:",) if upgrades else ("host:", "upgrade:", "connection:")
            host = next(x for x in lines if x.lower().startswith("host:"))
            more = [f"Host: 127.0.0.1:{target}", *([f"X-Forwarded-{host}"] if forwards else [])]
            more += [] if upgrades else ["Connection: close"]
            inner, outer = await asyncio.open_connection("127.0.0.1", target)
            kept = [x for x in lines if not x.lower().startswith(lost)]
            outer.write("\r\n".join([first.replace("/proxy/8800", "", 1), *more, *kept]).encode())
            await asyncio.gather(pipe(reader, outer), pipe(inner, writer))

    async def pipe(a: asyncio.StreamReader, b: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await a.read(65536):
                b.write(data)
                await b.drain()
        b.close()

    async def run() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        ready.set_result(server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield ready.result(10)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@needs_chromium
def test_below_a_path_the_page_plays_or_says_what_to_set(tab: Page) -> None:
    told = "document.getElementById('notice-text').textContent"
    with open_house(FakeWorld(due=4)) as (_, port):
        with proxy(port) as front:
            tab.open(f"http://127.0.0.1:{front}/proxy/8800/")
            tab.until(f"{told}.includes('--allow-origin http://127.0.0.1:{front}')")
            assert "Trying again" not in tab.text("notice-text")
        with proxy(port, forwards=True, sockets=False) as front:
            tab.open(f"http://127.0.0.1:{front}/proxy/8800/")
            tab.until(f"{told}.includes('a proxy must pass on Upgrade')")
        with proxy(port, forwards=True) as front:
            tab.open(f"http://127.0.0.1:{front}/proxy/8800/")
            tab.until("[...document.querySelectorAll('.start img')].filter(x => x.naturalWidth).length === 2")
            tab.click("[data-id=sea]")
            tab.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 3")
            tab.command("Page.navigate", url="about:blank")
    tab.complaints.clear()  # sockets were refused
