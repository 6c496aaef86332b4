"""A front and its replicas through real sockets: the frames of a single server, sessions that stay where they are, a line."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fake_world import FakeWorld
from play_house import Player, eventually, open_house
from serve_house import KEY, ask, fronted, micro_world, replica, replica_processes


def fast() -> FakeWorld:
    return FakeWorld(fps=100, due=4)


def begin(player: Player, start: str = "hill", **more: object) -> str:
    player.say(type="start", start=start, **more)
    return str(player.reply("started")["session"])


def at(port: int) -> dict[str, int]:
    """How many sessions run at each replica."""
    return {r["replica"]: r["sessions"] for r in ask(port, "/api/replicas")}


def test_frames_are_those_of_a_single_server(tmp_path: Path) -> None:
    keys = [keys for keys in ("w", "wl", "", "di") for _ in range(3)]

    def walk(port: int) -> tuple[list[bytes], dict[str, Any]]:
        with Player(port) as player:
            session = begin(player, seed=11)
            player.frames(9)
        replay = ask(port, f"/api/sessions/{session}/replay.json")
        replay["steps"] = [replay["steps"][0] | {"keys": held} for held in keys]
        with Player(port) as player:
            player.say(type="start", replay=replay)
            player.reply("started")
            return [p.data for p in player.frames(41)], replay

    with open_house(fast()) as (_, port):
        alone, file = walk(port)
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a"), replica(port, fast(), tmp_path, "b"):
        many, other = walk(port)
    assert many == alone and len(set(alone)) > 20
    assert file == other


def test_sessions_spread_over_replicas_and_stay_where_they_are(tmp_path: Path) -> None:
    with fronted() as (front, port), replica(port, fast(), tmp_path, "a") as a, replica(port, fast(), tmp_path, "b") as b:
        with Player(port) as one, Player(port) as two:
            sessions = [begin(one), begin(two)]
            assert sorted(a.manager.sessions + b.manager.sessions) == sorted(sessions)
            assert a.manager.running == b.manager.running == 1
            home = a if sessions[0] in a.manager.sessions else b
            one.frames(20)
            one.socket.close()
            with Player(port) as again:
                again.say(type="resume_session", session=sessions[0])
                assert again.reply("started")["session"] == sessions[0]
                assert home.manager.sessions == [sessions[0]]
                again.frames(5)
        assert eventually(lambda: front.directory.taken == 0)


def test_a_second_window_takes_a_running_session_over_also_in_a_full_house(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a", room=1) as a, Player(port) as one:
        session = begin(one)
        one.frames(10)
        with Player(port) as two:
            two.say(type="resume_session", session=session)
            assert two.reply("started")["session"] == session
            assert one.reply("rested")["session"] == session
            two.frames(10)
            assert a.manager.sessions == [session]


def test_when_all_places_are_taken_one_waits_in_line_and_begins_by_itself(tmp_path: Path) -> None:
    with (
        fronted(waiting=2) as (front, port),
        replica(port, fast(), tmp_path, "a", room=1),
        Player(port) as one,
        Player(port) as two,
        Player(port) as three,
        Player(port) as four,
    ):
        begin(one)
        two.say(type="start", start="sea")
        assert two.reply("queued") | {"text": ""} == {"type": "queued", "text": "", "place": 1, "waiting": 1}
        three.say(type="start", start="hill")
        said = three.reply("queued")
        assert said["place"] == 2 and "number 2 of 2" in said["text"]
        four.say(type="start", start="hill")
        assert "2 wait" in four.reply("busy")["text"]
        assert ask(port, "/healthz") == {"ok": True, "sessions": 1, "room": 1, "replicas": 1, "waiting": 2}
        one.socket.close()
        assert two.reply("started")["prompt"] == ""
        two.frames(5)
        assert three.reply("queued")["place"] == 1
        three.socket.close()
        assert eventually(lambda: len(front.line) == 0)
        four.say(type="start", start="hill")
        assert four.reply("queued")["place"] == 1
        two.socket.close()
        four.reply("started")


def test_who_rests_gives_the_place_to_the_line(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a", room=1) as a, Player(port) as one, Player(port) as two:
        a.manager.idle = 1.0
        begin(one)
        one.showing = False
        two.say(type="start", start="sea")
        two.reply("queued")
        one.reply("rested")
        two.reply("started")


def test_a_replica_that_stops_sends_its_players_to_another_and_nothing_is_lost(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a") as a, Player(port) as player:
        session = begin(player)
        player.say(type="keys", held="w", seq=1)
        player.frames(60)
        with replica(port, fast(), tmp_path, "b") as b:
            assert a.stop()
            with pytest.raises(ConnectionClosed) as closed:
                player.frames(10_000)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
            there = [r["pose"] for r in player.replies if r["type"] == "made"][-1]
            with Player(port) as again:
                again.say(type="resume_session", session=session)
                again.reply("started")
                assert b.manager.sessions == [session]
                assert again.reply("made")["pose"][1] >= there[1] > 0


def saved(folder: Path, session: str) -> int:
    """Frames of a session in the storage."""
    last = json.loads((folder / "shared/sessions" / session / "session.json").read_text())["here"]
    return int(json.loads((folder / "shared/sessions" / session / f"{last}.json").read_text())["frames"])


def resume(player: Player, session: str) -> int:
    """Go on in a session that has one bookmark; how many frames of it are there."""
    player.say(type="resume_session", session=session)
    assert player.reply("started")["session"] == session
    assert [m["id"] for m in player.reply("state")["moments"]] == ["1"]
    frames = round(player.reply("made")["seconds"] * 16)
    player.frames(24)
    return frames


def thrown_out(player: Player) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        player.frames(10_000)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012


def test_a_replica_that_hangs_or_is_killed_costs_its_players_no_more_than_since_the_last_save(tmp_path: Path) -> None:
    world = micro_world(tmp_path)
    with fronted() as (front, port), replica_processes(port, world, tmp_path, "ab") as processes:

        def home() -> str:
            found = front.directory.replica_of(session)
            return "" if found is None else found.replica

        with Player(port) as player:
            session = begin(player, "room")
            player.say(type="save")
            player.until(lambda m: isinstance(m, dict) and bool(m.get("moments")))
            player.frames(24)
            assert eventually(lambda: (tmp_path / "shared/sessions" / session / "moment-1.json").exists())
            one, before = home(), saved(tmp_path, session)
            hung = processes[one].pid
            assert hung is not None
            os.kill(hung, signal.SIGSTOP)
            thrown_out(player)
        with Player(port) as player:
            assert resume(player, session) >= before >= 17
            other = home()
            assert {one, other} == {"a", "b"}
            os.kill(hung, signal.SIGCONT)  # it was not dead, and must not write over what is walked now
            assert eventually(lambda: one in at(port) and at(port)[one] == 0)
            player.frames(24)
            before = saved(tmp_path, session)
            processes[other].kill()
            thrown_out(player)
        with Player(port) as player:
            assert resume(player, session) >= before >= 17 + 24
            assert home() == one


def test_what_a_replica_answers_is_passed_on(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a") as a, replica(port, fast(), tmp_path, "b") as b:
        world = ask(port, "/api/world")
        assert (world["name"], world["limits"]["sessions"], [s["id"] for s in world["starts"]]) == ("fake", 4, ["hill", "sea"])
        with Player(port) as player:
            session = begin(player)
            player.say(type="record", on=True)
            player.until(lambda m: isinstance(m, dict) and m.get("recording") is True)
            player.frames(20)
            player.say(type="record", on=False)
            url = f"http://127.0.0.1:{port}/{player.reply('recorded')['url']}"
            whole = urllib.request.urlopen(url).read()
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=4-7"})) as part:
                assert (part.status, part.read()) == (206, whole[4:8]) and whole[4:8] == b"ftyp"
            assert ask(port, f"/api/sessions/{session}/replay.json")["world"] == "fake"
        for path, kind in (
            ("/starts/hill.png", b"\x89PNG"),
            (f"/api/sessions/{session}/frame.png", b"\x89PNG"),
            ("/", b"<!doctype"),
        ):
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read().lower().startswith(kind.lower()), path
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        families = {f.name: f for f in text_string_to_metric_families(text)}
        assert {s.labels["replica"] for s in families["dreamx_sessions_room"].samples} == {"a", "b"}
        assert families["dreamx_front_replicas"].samples[0].value == 2
        assert {r["replica"] for r in ask(port, "/api/replicas")} == {a.name, b.name}
        for nowhere in ("/api/sessions/nobody/replay.json", "/api/recordings/none.mp4", "/starts/none.png", "/api/none"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(port, nowhere)
            assert refused.value.code == 404, nowhere


def test_messages_that_are_wrong_are_answered_as_a_single_server_does(tmp_path: Path) -> None:
    def said(port: int) -> list[str]:
        with Player(port) as player:
            for text in ("{", '{"type": "fly"}', '{"type": "pause"}', '{"type": "start", "start": "nowhere"}'):
                player.socket.send(text)
            player.say(type="resume_session", session="nobody")
            return [player.reply("error")["text"] for _ in range(5)]

    with open_house(fast()) as (_, port):
        alone = said(port)
    with fronted() as (front, port), replica(port, fast(), tmp_path, "a", room=1):
        assert said(port) == alone
        assert eventually(lambda: front.directory.taken == 0)


def test_a_start_that_fails_leaves_the_world_that_runs(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a"), Player(port) as player:
        session = begin(player)
        player.say(type="start", start="nowhere")
        assert player.reply("error")["over"] is False
        player.say(type="resume_session", session="nobody")
        assert player.reply("error")["over"] is False
        player.frames(12)
        assert eventually(lambda: at(port) == {"a": 1})
        begin(player, "sea")
        player.frames(5)
        player.say(type="resume_session", session=session)
        assert player.reply("started")["session"] == session


def test_only_who_knows_the_key_joins_and_only_who_knows_the_token_plays(tmp_path: Path) -> None:
    with fronted(token="a-token-of-the-house") as (front, port):
        for key, body, code in (("wrong", b"{}", 401), (KEY, b"{}", 422), (KEY, b"[", 422), (KEY, b"x" * 2**19, 413)):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/join", body, {"Authorization": f"Bearer {key}"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            assert refused.value.code == code
        assert front.directory.replicas == []
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(port, "/api/replicas")
        assert refused.value.code == 401
        with pytest.raises(InvalidStatus), Player(port):
            pass


def test_a_picture_of_ones_own_reaches_the_replica_and_what_is_too_large_closes_the_socket(tmp_path: Path) -> None:
    with fronted() as (_, port), replica(port, fast(), tmp_path, "a"):
        with Player(port) as player:
            player.say(type="start", image="A" * 2**17)
            assert "is not a picture" in player.reply("error")["text"]
        with Player(port) as player:
            player.reply("hello")
            with pytest.raises(ConnectionClosed):  # 1009, where it arrives before the end of the connection does
                player.say(type="start", image="A" * 12 * 2**20)
                while True:
                    player.listen()
        with Player(port) as player:
            begin(player)


@pytest.mark.slow
def test_a_page_that_does_not_read_holds_up_its_own_world_and_nobody_else(tmp_path: Path) -> None:
    world = FakeWorld(size=(720, 1280), fps=50, due=8)
    with fronted() as (_, port), replica(port, world, tmp_path, "a", keep_every=60) as a:
        deaf = connect(f"ws://127.0.0.1:{port}/socket", max_size=None, max_queue=1, close_timeout=1)
        with deaf as socket, Player(port) as other:
            socket.send('{"type": "start", "start": "hill"}')
            assert eventually(lambda: any(c.pipeline is not None for c in a.manager.clients))
            (client,) = (c for c in a.manager.clients if c.pipeline is not None)

            def walked() -> int:
                """Frames of its world, as it says to have painted all of them, and reads none."""
                frames = 0 if client.pipeline is None else client.pipeline.history.frames
                socket.send(json.dumps({"type": "shown", "frame": frames - 1}))
                time.sleep(0.02)
                return frames

            until, last, still = time.monotonic() + 60, 0, 0
            while still < 100 and time.monotonic() < until:
                now = walked()
                last, still = now, still + 1 if now == last else 0
            assert 50 < last < 3000 and still == 100, (last, still)
            begin(other)
            other.frames(30)
