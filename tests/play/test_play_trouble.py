"""Whatever goes wrong with the files of sessions is one sentence to its player: no socket closes, no walk ends, nothing is lost.

The disk is full or read-only, the folder is deleted, another lies in its place, files are damaged. Tests may run as root, whom no
mode of a file stops: so what the system would refuse is refused by hand.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosed

import play_house
from dreamx.play import snapshot_files, video
from dreamx.play.pipeline import Pipeline
from dreamx.play.retention import EACH
from dreamx.play.store import Store
from dreamx.world import World
from fake_world import FakeWorld
from play_house import Player, eventually, open_house
from test_play_sessions import walked


class Disk:
    """A disk that takes nothing while it is ``broken``; ``refused`` counts."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.broken, self.refused = False, 0
        self._number = number
        for of, name in ((snapshot_files, "sync"), (Path, "write_bytes"), (Path, "mkdir")):
            patch.setattr(of, name, self._refusing(getattr(of, name)))

    def _refusing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*given: Any, **named: Any) -> Any:
            if self.broken:
                self.refused += 1
                raise OSError(self._number, os.strerror(self._number), str(given[0]))
            return real(*given, **named)

        return asked


@pytest.fixture(params=[errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=lambda n: errno.errorcode[n])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch, request.param)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are kept every fifth of a second."""
    monkeypatch.setattr(play_house, "KEEP_EVERY", 0.2)


def fast() -> FakeWorld:
    return FakeWorld(fps=100, due=4)


def start(player: Player, **more: object) -> str:
    player.say(type="start", **{"start": "hill", **more})
    return str(soon(player, "started")["session"])


def soon(player: Player, kind: str) -> dict[str, Any]:
    """The next message of a type; while a world runs its frames would else be waited for without an end."""
    end = time.monotonic() + 60
    got = player.until(lambda m: (isinstance(m, dict) and m["type"] == kind) or time.monotonic() > end)
    assert isinstance(got, dict)
    assert got["type"] == kind
    return got


def trouble(player: Player) -> str:
    error = soon(player, "error")
    assert not error["over"]
    return str(error["text"])


def test_a_walk_outlives_its_disk(disk: Disk, capfd: pytest.CaptureFixture[str]) -> None:
    with open_house(fast(), idle=2) as (house, port):
        assert isinstance(house.store, Store)
        with Player(port) as player:
            player.frames(0)
            session = start(player)
            player.frames(30)
            disk.broken = True
            said = trouble(player)
            assert "cannot write this session to its disk now" in said
            assert str(house.store.folder) not in said
            player.frames(150)  # it is tried again meanwhile
            assert disk.refused > 2
            assert sum(m["type"] == "error" for m in player.replies) == 1
            walked = player.pictures[-1].frame
        assert eventually(lambda: house.running == 0)
        said = capfd.readouterr().err
        assert said.count("could not be kept") == 1
        assert "Traceback" not in said
        with Player(port) as player:  # out of memory
            player.say(type="resume_session", session=session)
            soon(player, "started")
            player.frames(30)
            disk.broken = False
            assert eventually(lambda: not house._failed)
        assert eventually(lambda: house.running == 0)
        spans = house.store.walked(session)[1]
        assert sum(step.frames * n for step, n in spans) >= walked - 8
        files = list((house.store.folder / "sessions" / session).iterdir())
        assert len(files) == 5, "what was not written whole is left over"


def test_it_is_never_said_that_a_session_is_kept_when_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, errno.ENOSPC)
    with open_house(fast(), idle=1.5) as (house, port), Player(port) as player:
        disk.broken = True
        session = start(player)
        trouble(player)
        player.frames(20)
        player.say(type="pause")
        rested = soon(player, "rested")
        assert rested["session"] == session
        assert "is kept" not in rested["text"]
        assert "would be lost with the server" in rested["text"]
        player.say(type="resume_session", session=session)
        soon(player, "started")
        player.frames(4)
        disk.broken = False
        assert eventually(lambda: not house._failed)
        player.say(type="pause")
        assert "its session is kept" in soon(player, "rested")["text"]


def test_a_stopping_server_says_what_is_lost(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    disk = Disk(monkeypatch, errno.ENOSPC)
    with open_house(fast()) as (_, port):
        player = Player(port).__enter__()
        disk.broken = True
        session = start(player)
        player.frames(8)
    with pytest.raises(ConnectionClosed) as closed:
        player.until(lambda _: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert "is kept" not in closed.value.rcvd.reason
    assert f"session {session} is lost: No space left on device" in capfd.readouterr().err


def test_memory_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, errno.ENOSPC)
    with open_house(fast(), room=2) as (house, port), Player(port) as player:
        disk.broken = True
        sessions = []
        for _ in range(5):
            sessions.append(start(player))
            player.frames(4)
        assert eventually(lambda: sessions[-1] in house._failed)
        player.frames(120)  # until the next is not taken
        assert eventually(lambda: len(house._unwritten) <= 3)
        player.say(type="resume_session", session=sessions[0])
        assert "there is no session" in trouble(player)
        player.say(type="resume_session", session=sessions[-2])
        assert soon(player, "started")["session"] == sessions[-2]


def away(path: Path, turn: int = 0) -> None:
    """Gone at once: a folder that is written to cannot be deleted file by file."""
    path.rename(path.parents[0 if path.name == "state" else 1] / f"{path.name}-gone{turn}")


def file_for_folder(path: Path) -> None:
    """The server may make the folder anew between the two steps, so they are taken until the file stands."""
    for turn in range(100):
        away(path, turn)
        try:
            path.write_text("no folder")
        except IsADirectoryError:
            continue
        return
    raise AssertionError(f"{path} was made anew a hundred times")


def delete(state: Path) -> None:
    away(state)


def delete_the_sessions(state: Path) -> None:
    away(state / "sessions")


def put_a_file_there(state: Path) -> None:
    file_for_folder(state)


def put_files_for_folders(state: Path) -> None:
    for name in ("sessions", "recordings"):
        file_for_folder(state / name)


def damage(state: Path) -> None:
    for i, data in enumerate((b"", b"null", b"[" * 100_000, b"\xff", b'{"day": 1e300, "owner": 3}')):
        (state / f"sessions/x{i}").mkdir()
        (state / f"sessions/x{i}/session.json").write_bytes(data)
        (state / f"recordings/y{i}.mp4").touch()
        (state / f"recordings/y{i}.json").write_bytes(data)
    (state / "sessions/x9").write_text("no folder")
    (state / "days.json").write_bytes(b"damaged")


@pytest.mark.parametrize("hurt", [delete, delete_the_sessions, put_a_file_there, put_files_for_folders, damage])
def test_a_hurt_state_folder_stops_nobody(
    hurt: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with open_house(fast(), state=state) as (house, port), Player(port) as player:
        first = start(player)
        player.frames(8)
        hurt(state)
        mends = hurt in (delete, delete_the_sessions, damage)
        session = start(player)
        player.frames(60)  # longer than from one save to the next
        player.say(type="record", on=True)
        if mends:
            assert soon(player, "state")["recording"]
            player.frames(8)
            player.say(type="record", on=False)
            soon(player, "recorded")
        else:
            trouble(player)
        for name in (first, "x0", "x1", "x2", "x3", "x4", "nothing"):
            player.say(type="resume_session", session=name)
            if name == first:  # it was kept again when it was left, or is in memory
                soon(player, "started")
                player.say(type="resume_session", session=session)
                soon(player, "started")
            else:
                assert "session" in trouble(player)
        player.frames(8)
    assert "Traceback" not in capfd.readouterr().err
    if mends:
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        here = Store(state).load(session, house.world.fork).here
        assert here is not None
        assert here.frames > 60


def test_a_state_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    Store(tmp_path).close()
    (tmp_path / "sessions/one").mkdir()
    for path in (tmp_path, tmp_path / "sessions", tmp_path / "recordings", tmp_path / "sessions/one"):
        path.chmod(0o755)
    Store(tmp_path).close()
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path, *tmp_path.rglob("*")) if p.is_dir()} == {0o700}


def test_two_stores_in_one_process_are_one_lock(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.close()
    first.close()
    second.save(walked(FakeWorld((8, 8)))[0], "fake")
    second.close()


def test_a_read_only_disk_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeWorld((8, 8))
    store = Store(tmp_path)
    store.save(walked(world)[0], world.identity)
    (tmp_path / "sessions/one/left.over").touch()

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    assert store.load("one", cast(World, world).fork).here is not None


def test_a_save_that_failed_leaves_the_one_before_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeWorld((8, 8))
    store = Store(tmp_path)
    session, past = walked(world)
    assert session.here is not None
    store.save(session, world.identity)
    before = {p: p.read_bytes() for p in (tmp_path / "sessions").rglob("*") if p.is_file()}
    past.remember(cast(World, world), session.here.picture)
    real, calls = snapshot_files.sync, list[Path]()
    for failing in range(1, 9):

        def sync(path: Path, failing: int = failing) -> None:
            calls.append(path)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            real(path)

        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(snapshot_files, "sync", sync)
            with pytest.raises(OSError, match="No space"):
                store.save(walked(world, "two")[0], world.identity)
            assert not (tmp_path / "sessions/two/session.json").exists() or failing == 8
            calls.clear()
            more = type(session)("one", session.opening, session.here, tuple(past.moments))
            with pytest.raises(OSError, match="No space"):
                store.save(more, world.identity)
        if failing < 8:
            assert {p: p.read_bytes() for p in (tmp_path / "sessions").rglob("*") if p.is_file()} == before
        store.load("one", cast(World, world).fork)
        if failing == 8:
            break


# ---- recordings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["write", "close", "__init__"])
def test_a_recording_that_the_disk_does_not_take_ends_and_the_walk_goes_on(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")

    with open_house(fast()) as (house, port), Player(port) as player:
        assert isinstance(house.store, Store)
        start(player)
        player.frames(8)
        with monkeypatch.context() as patch:
            patch.setattr(video.VideoRecording, where, full)
            player.say(type="record", on=True)
            if where == "close":
                player.frames(8)
                player.say(type="record", on=False)
            said = trouble(player)
            assert "the video could not be written (No space left on device)" in said
            assert "secret" not in said
            player.frames(40)
        assert list(house.store.recordings.iterdir()) == []
        player.say(type="record", on=True)
        player.frames(8)
        player.say(type="record", on=False)
        name = soon(player, "recorded")["url"].split("/")[-1].split(".")[0]
        said = json.loads((house.store.recordings / f"{name}.json").read_text())
        assert said["owner"].count("/") == 2


# ---- a start, or a resumption, that fails ------------------------------------------------------------------------------


def test_a_start_that_the_world_refuses_leaves_the_running_one_alone() -> None:
    with open_house(fast(), room=1) as (house, port), Player(port) as player:
        session = start(player)
        player.frames(8)
        before = player.pictures[-1].frame
        for bad in ({"prompt": "x" * 101}, {"start": "moon"}, {"start": None, "image": "aGVsbG8="}, {"codec": "gif"}):
            player.say(type="start", **{"start": "sea", **bad})
            trouble(player)
            player.frames(8)
        assert player.pictures[-1].frame > before + 24, "the world that ran goes on"
        assert house.running == 1
        assert house.client_of(session) is not None
        assert start(player, start="sea") != session


def test_a_session_that_cannot_be_read_leaves_the_running_one_alone(tmp_path: Path) -> None:
    with open_house(fast(), state=tmp_path, room=1) as (house, port), Player(port) as player:
        lost = start(player)
        player.frames(8)
        session = start(player)
        player.frames(8)
        (file,) = (p for p in (tmp_path / "sessions" / lost).glob("*.safetensors") if "moment" not in p.name)
        for data in (b"half", None):
            file.write_bytes(data) if data else file.unlink()
            player.say(type="resume_session", session=lost)
            trouble(player)
            player.frames(8)
        assert house.client_of(session) is not None
        assert house.running == 1


def test_a_session_that_goes_on_after_a_rest_has_its_place() -> None:
    with open_house(fast(), idle=1.5, room=1) as (house, port), Player(port) as first, Player(port) as second:
        session = start(first)
        first.say(type="pause")
        soon(first, "rested")
        first.say(type="resume_session", session=session)
        soon(first, "started")
        assert house.running == 1
        second.say(type="start", start="sea")
        soon(second, "busy")
        second.say(type="resume_session", session=session)
        soon(second, "started")
        assert "another window" in soon(first, "rested")["text"]
        assert house.running == 1


def test_what_nobody_thought_of_closes_no_socket(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("no room\nfor this")

    with open_house(fast()) as (_, port), Player(port) as player:
        start(player)
        monkeypatch.setattr(Pipeline, "switch", broken)
        player.say(type="switch", memory=True, camera=True)
        assert "MemoryError" in trouble(player)
        player.frames(8)
    assert len(capfd.readouterr().err.splitlines()) == 1


# ---- many sessions -----------------------------------------------------------------------------------------------------


def test_one_who_starts_again_and_again_takes_nobodys_session(tmp_path: Path) -> None:
    with open_house(fast(), state=tmp_path) as (house, port), Player(port) as other, Player(port) as player:
        resting = start(other)
        other.frames(4)
        other.socket.close()
        assert eventually(lambda: house.running == 0)
        own = [start(player) for _ in range(EACH + 3)]
        assert eventually(lambda: house.running == 1)
        player.frames(4)
        player.say(type="resume_session", session=resting)
        assert soon(player, "started")["session"] == resting
        player.say(type="resume_session", session=own[0])
        assert "there is no session" in trouble(player)
        player.say(type="resume_session", session=own[-2])
        soon(player, "started")
