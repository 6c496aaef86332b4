"""Sessions on shared storage: what one replica saved, another goes on with, and only one of them writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from dreamx.data.dataset.storage import Storage
from dreamx.play.history import History
from dreamx.play.session_spec import Session, SessionStart
from dreamx.replay import ReplayStep
from dreamx.serve.shared_store import KIND, SharedStore, claim_storage
from dreamx.world import World
from fake_world import FakeWorld

WHERE = pytest.mark.parametrize("url", ["folder", "memory"])


def at(url: str, folder: Path) -> str:
    return str(folder / "shared") if url == "folder" else f"memory://{folder.name}-{time.time_ns()}"


def fork() -> World:
    return cast(World, FakeWorld())


def walked(name: str = "walk", steps: int = 3, moments: int = 0) -> Session:
    """A session that was walked so far, as a pipeline would give it."""
    world = FakeWorld()
    start = SessionStart(torch.full((3, 64, 64), 90, dtype=torch.uint8), "a hill", 7)
    world.reset(start.image, start.prompt, start.seed)
    history = History()
    for _ in range(steps):
        history.step(ReplayStep("w", 12))
    picture = torch.full((3, 64, 64), steps, dtype=torch.uint8)
    for _ in range(moments):
        history.remember(cast(World, world), picture)
    return Session(name, start, history.here(cast(World, world), picture), tuple(history.moments), "owner/x/")


def frames(store: SharedStore, name: str = "walk") -> int:
    return 1 + sum(s.frames * n for s, n in store.walked(name)[1])


@WHERE
def test_what_one_replica_saved_another_goes_on_with(url: str, tmp_path: Path) -> None:
    where = at(url, tmp_path)
    a, b = (SharedStore(where, tmp_path / n, n, 64) for n in "ab")
    given = walked(moments=2)
    a.save(given, "fake")
    assert b.has("walk") and not b.has("other") and not b.has("../walk")
    found = b.load("walk", fork)
    assert found.here is not None and given.here is not None and given.opening.image is not None
    assert (found.opening.prompt, found.opening.seed, found.owner) == ("a hill", 7, "owner/x/")
    assert found.opening.image is not None and torch.equal(found.opening.image, given.opening.image)
    assert found.here.frames == given.here.frames == 37 and torch.equal(found.here.picture, given.here.picture)
    assert [m.id for m in found.moments] == ["1", "2"]
    assert torch.equal(cast(FakeWorld, found.moments[0].world()).at, cast(FakeWorld, given.moments[0].world()).at)


@WHERE
def test_saves_leave_exactly_the_files_of_the_newest(url: str, tmp_path: Path) -> None:
    where = at(url, tmp_path)
    store = SharedStore(where, tmp_path / "a", "a", 64)
    for steps in (1, 2, 3):
        store.save(walked(steps=steps, moments=1), "fake")
    names = Storage(where).names("sessions/walk")
    here = json.loads(Storage(where).read("sessions/walk/session.json"))["here"]
    ends = ("json", "png", "safetensors")
    expected = {f"{stem}.{end}" for stem in (here, "moment-1") for end in ends} | {"opening.png", "owner.json", "session.json"}
    assert set(names) == expected


@WHERE
def test_a_replica_that_was_taken_for_lost_writes_no_more(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = at(url, tmp_path)
    a, b = (SharedStore(where, tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    b.load("walk", fork)
    a.save(walked(steps=9), "fake")
    assert "goes on at replica b" in caplog.text
    assert frames(b) == frames(a) == 37
    b.save(walked(steps=5), "fake")
    assert frames(a) == 61
    a.load("walk", fork)  # and back again: what lay in its folder from before is not taken for it
    a.save(walked(steps=6), "fake")
    b.save(walked(steps=99), "fake")
    assert frames(a) == frames(b) == 73


def test_moments_of_the_same_id_from_another_branch_are_not_mixed_up(tmp_path: Path) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    b.load("walk", fork)
    a.save(walked(steps=4, moments=1), "fake")  # dropped, with its moment 1
    b.save(walked(steps=5, moments=1), "fake")
    found = a.load("walk", fork)
    assert int(found.moments[0].picture[0, 0, 0]) == 5


def test_a_look_does_not_take_a_session_over(tmp_path: Path) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    assert frames(b) == 37 and b.picture("walk").startswith(b"\x89PNG")
    a.save(walked(steps=4), "fake")
    assert frames(b) == frames(a) == 49


def test_a_replica_that_lost_a_session_and_looks_at_it_still_writes_no_more(tmp_path: Path) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    b.load("walk", fork)
    b.save(walked(steps=5), "fake")
    assert frames(a) == 61
    a.save(walked(steps=9), "fake")
    assert frames(b) == frames(a) == 61


@pytest.mark.parametrize("at_file", ["session.json", "safetensors", "png"])
def test_a_replica_that_is_killed_while_it_saves_leaves_what_was_saved_before(
    at_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    write = Storage.write

    def killed(self: Storage, name: str, data: bytes) -> None:
        if name.endswith(at_file):
            raise KeyboardInterrupt
        write(self, name, data)

    monkeypatch.setattr(Storage, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        a.save(walked(steps=9), "fake")
    monkeypatch.setattr(Storage, "write", write)
    found = b.load("walk", fork)
    assert found.here is not None and found.here.frames == 37
    b.save(walked(steps=4), "fake")
    assert len(Storage(str(tmp_path / "shared")).names("sessions/walk")) == 6  # what was half sent is gone


def test_a_session_that_changes_while_it_is_copied_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    a.save(walked(steps=3), "fake")
    read, changes = Storage.read, [lambda: a.save(walked(steps=4), "fake")]

    def meanwhile(self: Storage, name: str) -> bytes:
        if name.endswith(".safetensors") and changes:
            changes.pop()()
        return read(self, name)

    monkeypatch.setattr(Storage, "read", meanwhile)
    assert frames(b) == 49 and not changes


def test_recordings_are_there_for_all(tmp_path: Path) -> None:
    a, b = (SharedStore(str(tmp_path / "shared"), tmp_path / n, n, 64) for n in "ab")
    recorder = a.recorder("owner/x/", (64, 64), 16)
    recorder.start()
    recorder.write(torch.zeros(4, 3, 64, 64, dtype=torch.uint8))
    ended = recorder.stop()
    assert ended is not None
    name = str(getattr(ended, "url", "")).removeprefix("api/recordings/").removesuffix(".mp4")
    assert b.recording(name) is None
    a.save(walked(), "fake")
    path, mine = b.recording(name), a.recording(name)
    assert path is not None and mine is not None and path.read_bytes() == mine.read_bytes()
    assert b.recording("../days") is None


def test_the_oldest_go_where_there_are_too_many_but_none_of_the_last_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SharedStore(str(tmp_path / "shared"), tmp_path / "a", "a", most=2)
    for i in range(4):
        store.save(walked(f"walk-{i}"), "fake")
    store.sweep(set())
    assert all(store.has(f"walk-{i}") for i in range(4))
    days = {f"walk-{i}": 1.0 + i for i in range(4)}
    for name, day in days.items():
        path = tmp_path / "shared/sessions" / name / "session.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"day": day}))
    (tmp_path / "shared/days.json").write_text(json.dumps({"day": 9.0, "at": time.time()}))
    store.close()
    other = SharedStore(str(tmp_path / "shared"), tmp_path / "b", "b", most=2)
    other.sweep({"walk-0"})
    assert [other.has(f"walk-{i}") for i in range(4)] == [True, False, False, True]  # one is in use, one is the newest
    assert json.loads((tmp_path / "shared/days.json").read_text())["day"] >= 9.0
    assert Storage(str(tmp_path / "shared")).names("sessions/walk-1") == []


def _taken(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def _of_another(folder: Path) -> None:
    (folder / "dreamx.json").write_text('{"kind": "a dataset"}')


@pytest.mark.parametrize("make", [_taken, _of_another])
def test_storage_of_somebody_else_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(ValueError, match="^store: .* give the name of a new or an empty folder"):
        claim_storage(Storage(str(tmp_path)))
    assert len(list(tmp_path.iterdir())) == 1


def test_our_own_storage_is_known_again(tmp_path: Path) -> None:
    for _ in range(2):
        claim_storage(Storage(str(tmp_path / "new")))
    assert json.loads((tmp_path / "new/dreamx.json").read_text())["kind"] == KIND


def test_storage_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ftq"):
        claim_storage(Storage("ftq://x/y"))
