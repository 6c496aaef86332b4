"""Who may come in: the token, and what the HTTP part says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dreamx.play.auth import is_loopback
from fake_world import FakeWorld
from play_house import Player, open_house, process
from repo import ROOT

TOKEN = "a-long-token"


@pytest.mark.parametrize("path", ["/", "/play.js", "/api/world", "/metrics", "/openapi.json", "/starts/hill.png"])
def test_without_the_token_nothing_is_shown(path: str) -> None:
    with open_house(FakeWorld(due=4), token=TOKEN) as (_, port):
        url = f"http://127.0.0.1:{port}{path}"
        for headers in ({}, {"Authorization": "Bearer wrong-token"}, {"Cookie": "dreamx=a-long-token"}):
            answer = httpx.get(url, headers=headers)
            assert answer.status_code == 401
            assert "token is needed" in answer.text
        assert httpx.get(url, params={"token": "x"}).status_code == 401
        assert httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").json()["ok"] is True


def test_the_token_in_the_address_becomes_a_cookie_that_opens_the_socket() -> None:
    with open_house(FakeWorld(due=4, fps=100), token=TOKEN) as (_, port):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            given = http.get("/", params={"token": TOKEN}).headers.get_list("set-cookie")
            (cookie,) = (c for c in given if "visitor" not in c)
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert http.get("/api/world").status_code == 200
        url = f"ws://127.0.0.1:{port}/socket"
        for headers in ({}, {"Cookie": "dreamx_00000000=x"}):
            with pytest.raises(InvalidStatus) as e, connect(url, additional_headers=headers):
                pass
            assert e.value.response.status_code == 403
        with connect(url, additional_headers={"Cookie": cookie.split(";")[0]}) as socket:
            assert "hello" in str(socket.recv(10))
        with Player(port, f"?token={TOKEN}") as player:
            player.reply("hello")


def test_a_server_for_others_makes_a_token_and_prints_it(tmp_path: Path) -> None:
    with process(tmp_path, "--host", "0.0.0.0") as (_, url):
        address, token = url.split("/?token=")
        assert len(token) >= 16
        address = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}/api/world", timeout=20).status_code == 401
        assert httpx.get(f"{address}/api/world", params={"token": token}, timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_only_this_machine_reaches(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("some.name")


def test_the_http_part_describes_itself() -> None:
    with open_house(FakeWorld(due=4)) as (_, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        paths = http.get("/openapi.json").json()["paths"]
        assert set(paths) == {
            "/api/world",
            "/api/origin",
            "/starts/{name}.png",
            "/api/sessions/{session}/replay.json",
            "/api/sessions/{session}/frame.png",
            "/api/recordings/{name}.mp4",
            "/healthz",
            "/metrics",
        }
        docs = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
        for path in paths:
            told = path.replace("{session}", "ID").replace("{name}", "ID").removeprefix("/")
            assert f"`{told}`" in docs or path.startswith("/starts"), path
        for path in ("/api/sessions/nothing/replay.json", "/api/sessions/nothing/frame.png", "/api/sessions/..%2fx/frame.png"):
            assert http.get(path).status_code == 404, path


def test_what_the_server_counts_is_what_it_did() -> None:
    with open_house(FakeWorld(due=4, fps=100), room=1) as (_, port), Player(port) as player, Player(port) as other:
        player.say(type="start", start="hill")
        player.frames(41)
        other.say(type="start", start="hill")
        other.reply("busy")
        other.say(type="jump")
        other.reply("error")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        families = {family.name: family.samples for family in text_string_to_metric_families(text)}
        values = {name: samples[0].value for name, samples in families.items() if samples}
    assert values["dreamx_sessions_running"] == values["dreamx_sessions_room"] == 1
    assert values["dreamx_sockets_open"] == 2
    assert values["dreamx_chunks"] >= 11
    assert values["dreamx_frames"] >= 41
    assert values["dreamx_refused_busy"] == 1
    assert values["dreamx_errors_said"] == 1
    assert values["process_resident_memory_bytes"] > 0
    stages = {s.labels["stage"] for s in families["dreamx_stage_seconds"] if s.name.endswith("_count")}
    assert stages == {"dream", "show", "encode"}
