"""Sessions outlive their socket, their player's patience, and the server, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest
import torch
from websockets.exceptions import ConnectionClosed

from dreamx.play import retention as days_of
from dreamx.play.history import History
from dreamx.play.server_messages import Picture
from dreamx.play.session_spec import Session, SessionStart
from dreamx.play.snapshot_files import steps_of
from dreamx.play.store import Store
from dreamx.replay import ReplayStep
from dreamx.session import Switches
from dreamx.world import World
from fake_world import FakeWorld
from play_house import Player, eventually, open_house, process


def begin(player: Player) -> str:
    """Start a world, walk a little; the id of the session."""
    player.say(type="start", start="hill")
    session = str(player.reply("started")["session"])
    player.say(type="keys", held="wl", seq=1)
    player.frames(30)
    return session


def place(player: Player, chunks: int = 1) -> list[float]:
    """Where the world is after so many chunks."""
    return [player.reply("made")["pose"] for _ in range(chunks)][-1]


def test_a_lost_session_goes_on_where_it_was_with_its_moments() -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (house, port):
        with Player(port) as player:
            session = begin(player)
            player.say(type="switch", memory=False, camera=True)
            player.say(type="save")
            player.until(lambda m: isinstance(m, dict) and bool(m.get("moments")))
            saved = place(player)
            player.frames(20)
            there = place(player)
            player.socket.socket.shutdown(socket.SHUT_RDWR)  # no goodbye
        assert eventually(lambda: house.open_sockets == house.running == 0)
        with Player(port) as player:
            player.say(type="resume_session", session=session)
            assert player.reply("started")["session"] == session
            state = player.reply("state")
            assert len(state["moments"]) == 1
            assert state["switches"] == {"memory": False, "camera": True, "walls": True, "packed": True}
            here = player.reply("made")
            assert (here["chunk"], here["frames"]) == (0, 1)
            assert here["pose"][1] != 0
            assert player.frames(6)[0].frame == 0
            player.say(type="restore")
            back = player.until(lambda m: isinstance(m, dict) and m.get("frames") == 1)
            assert isinstance(back, dict)
            assert abs(back["pose"][2] - saved[2]) < abs(there[2] - saved[2])


def test_what_was_shown_last_is_shown_first() -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (house, port):
        with Player(port) as player:
            session = begin(player)
            player.say(type="keys", held="", seq=2)
            player.until(lambda m: isinstance(m, Picture) and m.seq == 2)
            still = player.frames(8)[-1]
        assert eventually(lambda: house.running == 0)
        with Player(port) as player:
            player.say(type="resume_session", session=session)
            assert player.frames(1)[0].data == still.data


def test_a_session_is_taken_over_by_another_window() -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (house, port), Player(port) as first, Player(port) as second:
        session = begin(first)
        second.say(type="resume_session", session=session)
        for seq in range(300):  # it does not know yet
            first.say(type="keys", held="w", seq=seq)
        assert second.reply("started")["session"] == session
        rested = first.reply("rested")
        assert rested["session"] == session
        assert "another window" in rested["text"]
        first.say(type="keys", held="w", seq=999)
        assert "no world is running" in first.reply("error")["text"]
        second.frames(8)
        assert house.running == 1
        second.say(type="resume_session", session=session)  # its own
        assert second.reply("started")["session"] == session
        second.frames(8)


@pytest.mark.parametrize("name", ["nothing", "../x", "a/b", "", "x" * 64])
def test_an_unknown_session_is_said(name: str) -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (_, port), Player(port) as player:
        player.say(type="resume_session", session=name)
        assert "there is no session" in player.reply("error")["text"]
        begin(player)


def test_a_world_that_nobody_looks_at_rests_and_frees_its_place() -> None:
    with open_house(FakeWorld(fps=100, due=4), room=1, idle=1.5) as (house, port), Player(port) as first, Player(port) as second:
        session = begin(first)
        first.say(type="pause")
        assert first.reply("rested")["session"] == session
        assert house.running == 0
        second.say(type="start", start="sea")
        second.reply("started")
        first.say(type="resume_session", session=session)
        assert first.reply("busy")["retry_seconds"] > 0
        second.socket.close()
        assert eventually(lambda: house.running == 0)
        first.say(type="resume_session", session=session)
        first.reply("started")
        first.frames(4)


def test_two_who_resume_at_once_do_not_both_walk() -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (house, port):
        with Player(port) as player:
            session = begin(player)
        with Player(port) as a, Player(port) as b:
            for player in (a, b):
                player.say(type="resume_session", session=session)
            for player in (a, b):  # whoever came first may not even hear of it before the other takes over
                player.until(lambda m: isinstance(m, dict) and m["type"] in ("started", "rested"))
            assert house.running == 1
            walks: list[bool] = []
            for player in (a, b):
                player.say(type="keys", held="", seq=5)
                got = player.until(lambda m: m.seq == 5 if isinstance(m, Picture) else m["type"] == "error")
                walks.append(isinstance(got, Picture))
            assert sorted(walks) == [False, True]


def test_a_stopping_server_keeps_sessions_and_says_why(tmp_path: Path) -> None:
    world = FakeWorld(fps=100, due=4)
    with open_house(world, state=tmp_path) as (_, port):
        player = Player(port).__enter__()
        session = begin(player)
    with pytest.raises(ConnectionClosed) as closed:
        player.until(lambda _: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert "kept" in closed.value.rcvd.reason
    assert Store(tmp_path).load(session, cast(World, world).fork).here is not None


def test_killed_and_begun_again_a_server_goes_on_in_the_session(tmp_path: Path) -> None:
    with process(tmp_path) as (first, url):
        port = int(url.rsplit(":", 1)[1])
        with Player(port) as player:
            player.say(type="start", start="room", prompt="a room", seed=3)
            session = player.reply("started")["session"]
            player.say(type="keys", held="wj", seq=1)
            player.until(lambda m: isinstance(m, Picture) and m.seq == 1)
            player.frames(100)  # more than is walked between two saves
            first.send_signal(signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                player.until(lambda _: False)
        first.wait(20)
    with process(tmp_path) as (second, url):
        port = int(url.rsplit(":", 1)[1])
        with Player(port) as player:
            player.say(type="resume_session", session=session)
            assert player.reply("started")["prompt"] == "a room"
            assert player.reply("made")["pose"][3] == 0
            walked = player.reply("made")["pose"]
            assert walked[2] < -10  # it had turned left for seconds
            player.frames(8)
        replay = httpx.get(f"{url}/api/sessions/{session}/replay.json", timeout=20).json()
        assert (replay["seed"], replay["start"]) == (3, "room")
        assert sum(s["frames"] for s in replay["steps"] if s["keys"] == "wj") > 16
        second.send_signal(signal.SIGTERM)
        assert second.communicate(timeout=30) == ("", "")
        assert second.returncode == 0


def test_a_hang_up_keeps_what_sigterm_keeps(tmp_path: Path) -> None:
    with process(tmp_path) as (it, url):
        with Player(int(url.rsplit(":", 1)[1])) as player:
            player.say(type="start", start="room")
            session = str(player.reply("started")["session"])
            player.frames(6)
            shown = player.pictures[-1].frame
            it.send_signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed) as closed:
                player.until(lambda _: False)
        assert closed.value.rcvd is not None
        assert "its session is kept" in closed.value.rcvd.reason
        assert it.communicate(timeout=30) == ("", "")
        assert it.returncode == 0
    assert sum(s.frames * n for s, n in Store(tmp_path / "state").walked(session)[1]) >= shown


def test_the_command_prints_one_address_and_stops_quietly(tmp_path: Path) -> None:
    with process(tmp_path) as (it, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert httpx.get(f"{url}/api/world", timeout=20).json()["starts"][0]["id"] == "room"
        with Player(int(url.rsplit(":", 1)[1])) as player:
            player.say(type="start", start="room")
            player.reply("started")
            player.say(type="keys", held="wj", seq=1)
            player.until(lambda m: isinstance(m, Picture) and m.seq == 1)
            assert len({x.data for x in player.frames(6)}) > 1
        it.send_signal(signal.SIGINT)
        assert it.communicate(timeout=30) == ("", "")
        assert it.returncode == 0


# ---- the store ---------------------------------------------------------------------------------------------------------


def walked(world: FakeWorld, name: str = "one", image: bool = True) -> tuple[Session, History]:
    """A session of a few frames with one moment, and its past."""
    picture = torch.randint(0, 255, (3, *world.size), dtype=torch.uint8)
    frame = world.reset(picture, "a hill", 7)[-1]
    past = History()
    past.remember(cast(World, world), frame)
    session = Session(name, SessionStart(picture if image else None, "a hill", 7))
    here = past.here(cast(World, world), frame)
    return Session(name, session.opening, here, tuple(past.moments)), past


def test_a_saved_session_comes_back_whole(tmp_path: Path) -> None:
    world = FakeWorld((32, 32))
    session, _ = walked(world)
    store = Store(tmp_path)
    store.save(session, world.identity)
    back = Store(tmp_path).load("one", cast(World, world).fork)
    assert back.here is not None
    assert session.here is not None
    assert back.opening.image is not None
    assert session.opening.image is not None
    assert torch.equal(back.opening.image, session.opening.image)
    assert (back.opening.prompt, back.opening.seed) == ("a hill", 7)
    assert torch.equal(back.here.picture, session.here.picture)
    assert [m.id for m in back.moments] == ["1"]
    for kept in (back.here, *back.moments):
        assert torch.equal(cast(FakeWorld, kept.world()).at, world.at)


def test_a_dozen_moments_of_one_walk_hold_its_steps_once(tmp_path: Path) -> None:
    world = FakeWorld((32, 32))
    session, past = walked(world)
    past.step(ReplayStep("w", 4, (1.5, -2.0)))
    moment = past.remember(cast(World, world), world.reset(None)[-1])
    past.step(ReplayStep("d", 4))
    store = Store(tmp_path)
    store.save(Session("one", session.opening, past.here(cast(World, world), moment.picture), (moment,)), world.identity)
    back = store.load("one", cast(World, world).fork)
    assert back.here is not None
    assert (len(back.here.spans), len(back.moments[0].spans)) == (2, 1)
    assert back.here.spans[0] is back.moments[0].spans[0]


def test_a_save_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    world = FakeWorld((32, 32))
    session, _ = walked(world)
    store = Store(tmp_path)
    store.save(session, world.identity)
    folder = tmp_path / "sessions/one"
    for name in ("99.safetensors", "99.png", "moment-2.json", "moment-2.safetensors", "session.json.tmp"):
        (folder / name).write_bytes(b"half")
    assert [m.id for m in store.load("one", cast(World, world).fork).moments] == ["1"]
    assert not (folder / "moment-2.json").exists()


@pytest.mark.parametrize("broken", ["session.json", "moment-1.json", "moment-1.png", "here"])
@pytest.mark.parametrize("data", [b"", b"{}", b"\x00\xff"])
def test_a_broken_file_is_one_sentence(tmp_path: Path, broken: str, data: bytes) -> None:
    world = FakeWorld((32, 32))
    store = Store(tmp_path)
    store.save(walked(world)[0], world.identity)
    folder = tmp_path / "sessions/one"
    here = next(p for p in folder.glob("*.safetensors") if "moment" not in p.name)
    (here if broken == "here" else folder / broken).write_bytes(data)
    with pytest.raises(ValueError, match="start a new one") as e:
        store.load("one", cast(World, world).fork)
    assert str(tmp_path) not in str(e.value)


def test_a_moment_is_read_when_it_is_gone_back_to() -> None:
    with open_house(FakeWorld(fps=100, due=4)) as (house, port):
        assert isinstance(house.store, Store)
        with Player(port) as player:
            session = begin(player)
            player.say(type="save")
            player.until(lambda m: isinstance(m, dict) and bool(m.get("moments")))
        assert eventually(lambda: house.running == 0)
        files = house.store.folder / "sessions" / session
        (moment,) = json.loads((files / "session.json").read_text())["moments"]
        (files / f"{moment}.safetensors").write_bytes(b"half")
        with Player(port) as player:
            player.say(type="resume_session", session=session)
            player.reply("started")
            player.say(type="restore")
            assert "go back to another moment" in player.reply("error")["text"]
            assert player.frames(6)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(walked(FakeWorld((32, 32)))[0], "other")
    with pytest.raises(ValueError, match="other weights"):
        store.load("one", cast(World, FakeWorld((32, 32))).fork)


def test_the_store_is_bounded_in_number_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By days of its own, whatever the clock says: the machine's jumps ahead by ten years, and nothing goes."""
    now = [0.0]
    monkeypatch.setattr(days_of.time, "monotonic", lambda: now[0] * 86400)
    store = Store(tmp_path, most=3, each=2)

    def sessions() -> list[str]:
        return sorted(p.name for p in (tmp_path / "sessions").iterdir())

    for i, owner in enumerate(("a/x/", "b/y/", "b/y/", "b/y/", "c/z/", "c/z/")):
        now[0] = i / 10
        store.save(replace(walked(FakeWorld((8, 8)), f"s{i}")[0], owner=owner), "fake")
        (store.recordings / f"r{i}.mp4").write_bytes(b"video")
        (store.recordings / f"r{i}.json").write_text(json.dumps({"owner": owner, "day": now[0]}))
    jump = time.time() + 3650 * 86400
    monkeypatch.setattr(days_of.time, "time", lambda: jump)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1.0, 1.0))
    store.sweep({"s5"})
    assert sessions() == ["s0", "s3", "s5"]
    assert sorted(p.name for p in store.recordings.iterdir()) == [f"r{i}.{x}" for i in (0, 3, 5) for x in ("json", "mp4")]
    assert store.recording("r0") is not None
    assert store.recording("r2") is None
    assert store.recording("../sessions/s0/session") is None
    store.close()
    store = Store(tmp_path, most=3, each=2)
    now[0] = days_of.DAYS + 0.4
    store.sweep(set())
    assert sessions() == ["s5"]
    assert Store(tmp_path).load("s5", cast(World, FakeWorld((8, 8))).fork).owner == "c/z/"


def test_a_session_of_before_there_were_owners_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(walked(FakeWorld((8, 8)))[0], "fake")
    file = tmp_path / "sessions/one/session.json"
    words = json.loads(file.read_text())
    del words["owner"], words["day"]
    file.write_text(json.dumps(words))
    assert store.load("one", cast(World, FakeWorld((8, 8))).fork).owner == ""


def test_steps_are_kept_as_they_were(tmp_path: Path) -> None:
    world = FakeWorld((32, 32))
    session, past = walked(world)
    for step in [ReplayStep("w", 4)] * 3 + [ReplayStep("", 4, (1.5, -2.0), "it rains", Switches(False, True, True))]:
        past.step(step)
    here = past.here(cast(World, world), world.reset(None)[-1])
    assert [n for _, n in here.spans] == [3, 1]
    store = Store(tmp_path)
    store.save(Session("one", session.opening, here), "fake")
    assert store.walked("one")[1] == here.spans
    rows = json.loads(next(p for p in (tmp_path / "sessions/one").glob("*.json") if p.stem != "session").read_text())["spans"]
    assert rows[0] == ["w", 4, None, None, True, True, 3, False, True]


def test_sessions_of_before_had_no_walls(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(
        json.dumps({"id": "1", "frames": 9, "chunk": 2, "spans": [["w", 4, None, None, True, False, 2]]})
    )
    assert steps_of(tmp_path, "m") == ("1", (9, 2), ((ReplayStep("w", 4, switches=Switches(True, False)), 2),))
