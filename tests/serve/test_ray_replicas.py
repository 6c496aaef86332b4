"""``dreamx serve`` as a process, on Ray Serve: needs the extra ``ray``."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from websockets.exceptions import ConnectionClosed

from play_house import Player, eventually, process
from serve_house import ask, micro_world

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _with_ray() -> None:
    pytest.importorskip("ray.serve")


@contextmanager
def serve_process(folder: Path, *flags: str) -> Iterator[tuple[Popen[str], int]]:
    """``dreamx serve`` with a micro world, and its port; at the end it was interrupted and has ended by itself."""
    world = folder / "world"
    if not world.exists():
        micro_world(folder)
    code = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
    given = ["--world", str(world), "--threads", "1", "--store", str(folder / "store"), "--cpus-per-replica", "0.25", *flags]
    with Popen([sys.executable, "-c", code, "serve", "--port", "0", *given], stdout=PIPE, text=True) as it:
        try:
            assert it.stdout is not None
            address = it.stdout.readline().strip()
            assert address.startswith("http://"), address
            yield it, int(address.rsplit(":", 1)[1])
            it.send_signal(signal.SIGINT)
            it.communicate(timeout=120)
        finally:
            it.kill()


def begin(player: Player) -> str:
    player.say(type="start", start="room", seed=5)
    return str(player.reply("started")["session"])


def test_equal_frames_a_kill_and_a_restart(tmp_path: Path) -> None:
    def first(port: int) -> list[bytes]:
        with Player(port) as player:
            begin(player)
            return [p.data for p in player.frames(33)]

    with serve_process(tmp_path, "--replicas", "2", "--keep-seconds", "0.5") as (it, port):
        many = first(port)
        with Player(port) as player:
            session = begin(player)
            player.say(type="keys", held="w", seq=1)
            player.frames(40)
            folder = tmp_path / "store/sessions" / session
            last = json.loads((folder / "session.json").read_text())["here"]
            frames = json.loads((folder / f"{last}.json").read_text())["frames"]
            (home,) = [r for r in ask(port, "/api/replicas") if r["sessions"]]
            os.kill(home["process"], signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                player.frames(10_000)
        with Player(port) as player:
            player.say(type="resume_session", session=session)
            assert player.reply("started")["session"] == session
            at = round(player.reply("made")["seconds"] * 16)
            assert at >= frames > 17
            player.frames(20)
            assert eventually(lambda: len(ask(port, "/api/replicas")) == 2, 60)  # Ray has started another
            assert home["replica"] not in {r["replica"] for r in ask(port, "/api/replicas")}
            it.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed) as closed:
                player.frames(10_000)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
            walked = len(player.pictures) - 1
    assert it.returncode == 0
    with serve_process(tmp_path, "--replicas", "1") as (_, port), Player(port) as player:
        player.say(type="resume_session", session=session)
        player.reply("started")
        assert round(player.reply("made")["seconds"] * 16) >= at + walked - 1  # a server that is told to stop loses nothing
    with process(tmp_path) as (_, address):
        assert first(int(address.rsplit(":", 1)[1])) == many


def test_more_replicas_come_with_open_sessions_and_go_again(tmp_path: Path) -> None:
    flags = "--replicas 1 --most-replicas 3 --sessions 1 --spare-places 0 --calm-seconds 5"
    with serve_process(tmp_path, *flags.split()) as (_, port):
        assert len(ask(port, "/api/replicas")) == 1
        with Player(port) as one, Player(port) as two, Player(port) as three:
            begin(one)
            for player in (two, three):
                player.say(type="start", start="room")
                assert player.reply("queued")["waiting"] >= 1
            assert eventually(lambda: len(ask(port, "/api/replicas")) == 3, 90)
            for player in (two, three):
                player.reply("started")
        assert eventually(lambda: len(ask(port, "/api/replicas")) == 1, 120)


def test_what_ray_cannot_hold_is_one_sentence(tmp_path: Path) -> None:
    micro_world(tmp_path)
    code = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
    words = f"serve --port 0 --world {tmp_path}/world --store {tmp_path}/store --replicas 3 --cpus-per-replica 500"
    with Popen([sys.executable, "-c", code, *words.split()], stdout=PIPE, stderr=PIPE, text=True) as it:
        out, err = it.communicate(timeout=120)
    assert it.returncode == 2 and out == ""
    assert "replicas: 3 of 500 CPU each need 1500" in err.splitlines()[-1]
