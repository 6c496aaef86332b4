"""Sessions on storage that all replicas share (any that fsspec knows), so that each can go on in what another began.

A replica works in a folder of its own (``play.store``) and copies from and to the storage, which is laid out alike:

    dreamx.json                      what lies here
    sessions/ID/*                    as of ``play.store``; session.json, which names the others, comes last
    sessions/ID/owner.json           the replica that writes this session now, and how often that changed
    recordings/ID.mp4, ID.json       a video, and whose it is
    days.json                        the calendar

Whoever goes on in a session writes its name into ``owner.json`` first, and a replica that finds another one writes no more:
one that was taken for lost, and was only slow, cannot overwrite what was walked since. Between its look and its write it could
still, which loses no more than a crash does: some seconds.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dreamx.data.dataset.storage import Storage
from dreamx.plaintext import cause, parse_json
from dreamx.play.history import Span
from dreamx.play.retention import EACH, Item, day_and_owner, items_to_delete
from dreamx.play.session_spec import Session, SessionStart
from dreamx.play.store import Store
from dreamx.play.video import Recorder
from dreamx.world import World

KIND = "sessions of dreamx serve"
SWEEP = 600.0  # seconds between two looks for what has to go: that reads a file of each session
_MARK, _OWNER, _LAST, _DAYS = "dreamx.json", "owner.json", "session.json", "days.json"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOUR = 1 / 24  # of a day: a session that was written since may be running anywhere
_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Ownership:
    """The replica that writes a session, and how often it changed hands."""

    replica: str
    turn: int = 0


class SharedStore:
    """The storage at ``url`` for one replica, which works in the new folder ``local``. All as of ``play.store.Store``.

    most: sessions and recordings that are kept, each.
    """

    def __init__(self, url: str, local: Path, replica: str, most: int) -> None:
        self._shared, self._folder, self._replica, self._most = Storage(url), local, replica, most
        claim_storage(self._shared)
        local.mkdir(parents=True, exist_ok=True)
        store = Store(local, most, EACH)  # makes the folder its own, before anything else lies in it
        if self._shared.exists(_DAYS):
            store.close()
            (local / _DAYS).write_bytes(self._shared.read(_DAYS))
            store = Store(local, most, EACH)
        self._local = store
        self._turns: dict[str, Ownership] = {}  # of which ownership the files are that lie in the folder
        self._swept = -SWEEP
        self._sent: set[str] = set()  # recordings

    def ready(self) -> None:
        self._local.ready()

    def close(self) -> None:
        """Send what is left to send."""
        with suppress(OSError):
            self._send_recordings()
        self._local.close()

    def save(self, session: Session, weights: str) -> None:
        """Write a session to the storage, unless another replica has it by now. OSError where either disk does not take it."""
        name = session.id
        self._local.save(session, weights)
        owner = self._owner(name)
        if owner is None:
            owner = self._own(name, Ownership(self._replica))
        if owner.replica != self._replica or owner != self._turns.get(name):  # the files here may be a copy of another's
            _LOG.warning("session %s goes on at replica %s; what was walked here is not kept", name, owner.replica)
            self._forget(name)
            return
        self._push(name)
        self._send_recordings()

    def load(self, name: str, fork: Callable[[], World]) -> Session:
        """Take a session over and read it. ValueError, one sentence, where there is none."""
        self._exists(name)
        owner = self._owner(name)
        if owner is None or owner.replica != self._replica or owner != self._turns.get(name):
            taken = Ownership(self._replica, 0 if owner is None else owner.turn + 1)
            self._own(name, taken)  # first: who has it now writes no more
            self._copy(name, taken)
        return self._local.load(name, fork)

    def walked(self, name: str) -> tuple[SessionStart, tuple[Span, ...]]:
        self._mirror(name)
        return self._local.walked(name)

    def picture(self, name: str) -> bytes:
        self._mirror(name)
        return self._local.picture(name)

    def has(self, name: str) -> bool:
        return _ID.fullmatch(name) is not None and self._fresh().exists(f"sessions/{name}/{_LAST}")

    def recorder(self, owner: str, size: tuple[int, int], fps: float) -> Recorder:
        """Begin a recording as ``Store`` does; it is sent to the storage with the next save."""
        return self._local.recorder(owner, size, fps)

    def recording(self, name: str) -> Path | None:
        """The file of a recording, fetched from the storage where it was made elsewhere. None where there is none."""
        path = self._local.recording(name)
        if path is None and _ID.fullmatch(name) and self._fresh().exists(f"recordings/{name}.mp4"):
            path = self._local.recordings / f"{name}.mp4"
            part = path.with_suffix(".part")
            part.write_bytes(self._shared.read(f"recordings/{name}.mp4"))
            part.replace(path)
            self._sent.add(name)
        return path

    def sweep(self, running: set[str]) -> None:
        """Delete what has to go, here and, from time to time, on the storage; never what was written within the hour."""
        self._local.sweep(running)
        self._turns = {name: turn for name, turn in self._turns.items() if (self._folder / "sessions" / name).is_dir()}
        if time.monotonic() - self._swept < SWEEP:
            return
        self._swept = time.monotonic()
        self._send_recordings()
        today = float(parse_json((self._folder / _DAYS).read_bytes())["day"])
        shared, found = self._fresh(), dict[str, list[Item]](sessions=[], recordings=[])
        for path in shared.below("sessions"):
            if path.endswith(f"/{_LAST}"):
                found["sessions"].append(self._item(path, path.split("/")[1], today, running))
        for path in shared.below("recordings"):
            if path.endswith(".json"):
                found["recordings"].append(self._item(path, path.split("/")[1].removesuffix(".json"), today, set()))
        for name in items_to_delete(found["sessions"], today, self._most):
            shared.remove(f"sessions/{name}/{_LAST}")  # first: what has none is no session
            shared.remove(f"sessions/{name}")
        for name in items_to_delete(found["recordings"], today, self._most):
            for ending in ("mp4", "json"):
                shared.remove(f"recordings/{name}.{ending}")
        shared.write(_DAYS, (self._folder / _DAYS).read_bytes())

    def _item(self, path: str, name: str, today: float, running: set[str]) -> Item:
        said: object = None
        with suppress(OSError, ValueError):
            said = parse_json(self._shared.read(path))
        day, owner = day_and_owner(said)
        return Item(name, day, owner, day, name in running or today - day < _HOUR)

    # ---- copies --------------------------------------------------------------------------------------------------------

    def _fresh(self) -> Storage:
        """The storage, as it is now: others write there, too."""
        self._shared.refresh()
        return self._shared

    def _exists(self, name: str) -> None:
        if not self.has(name):
            raise ValueError(f"there is no session {name[:64]!r} here; it may be too old, so start a new one")

    def _owner(self, name: str) -> Ownership | None:
        path = f"sessions/{name}/{_OWNER}"
        if not self._fresh().exists(path):
            return None
        said = parse_json(self._shared.read(path))
        return Ownership(str(said["replica"]), int(said["turn"]))

    def _own(self, name: str, owner: Ownership) -> Ownership:
        self._shared.write(f"sessions/{name}/{_OWNER}", json.dumps(asdict(owner)).encode())
        self._turns[name] = owner
        return owner

    def _forget(self, name: str) -> None:
        self._turns.pop(name, None)
        shutil.rmtree(self._folder / "sessions" / name, ignore_errors=True)

    def _push(self, name: str) -> None:
        """Send the files of a session that are not there yet, the one that names them last, and remove what it names no more."""
        folder, shared = self._folder / "sessions" / name, self._shared
        here = {p.name for p in folder.iterdir() if p.suffix != ".tmp"}
        there = set(shared.names(f"sessions/{name}"))
        for file in sorted(here - there - {_LAST}):
            shared.write(f"sessions/{name}/{file}", (folder / file).read_bytes())
        shared.write(f"sessions/{name}/{_LAST}", (folder / _LAST).read_bytes())
        for file in there - here - {_LAST, _OWNER}:
            shared.remove(f"sessions/{name}/{file}")

    def _mirror(self, name: str) -> None:
        """Have the files of a session here as they are there, without taking it over."""
        self._exists(name)
        owner = self._owner(name)
        if owner is None or owner.replica != self._replica or owner != self._turns.get(name):
            self._copy(name, owner)

    def _copy(self, name: str, owner: Ownership | None) -> None:
        """Fetch a session. ValueError where it changes all the time, or is not whole."""
        folder = self._folder / "sessions" / name
        for _ in range(5):  # its replica may remove what it named a moment ago
            self._forget(name)
            folder.mkdir(parents=True, mode=0o700)
            last = self._shared.read(f"sessions/{name}/{_LAST}")
            try:
                for file in self._fresh().names(f"sessions/{name}"):
                    if file not in (_LAST, _OWNER):
                        (folder / file).write_bytes(self._shared.read(f"sessions/{name}/{file}"))
            except FileNotFoundError:
                continue
            if self._shared.read(f"sessions/{name}/{_LAST}") == last:
                (folder / _LAST).write_bytes(last)
                if owner is not None:
                    self._turns[name] = owner
                return
        self._forget(name)
        raise ValueError(f"session {name!r} is being written all the time; try again in a moment")

    def _send_recordings(self) -> None:
        for path in self._local.recordings.glob("*.mp4"):
            if path.stem not in self._sent:
                for file in (path.with_suffix(".json"), path):
                    if file.exists():
                        self._shared.write(f"recordings/{file.name}", file.read_bytes())
                self._sent.add(path.stem)


def claim_storage(shared: Storage, write: bool = True) -> None:
    """Make the storage ours, or find that it is; without ``write`` look only whether that would do.

    ValueError, one sentence, where it is another's or cannot be written.
    """
    try:
        try:
            shared.refuse_used("store")
        except ValueError:
            if not shared.exists(_MARK):  # looked for last: another replica may have come first
                raise
            said = parse_json(shared.read(_MARK))
            if not isinstance(said, dict) or said.get("kind") != KIND:
                raise ValueError(f"store: {shared.url} holds something else; give the name of a new or an empty folder") from None
            return
        if write:
            shared.write(_MARK, json.dumps({"kind": KIND, "format": 1}).encode())
    except OSError as e:
        raise ValueError(f"store: {shared.url} cannot be used ({cause(e)}); give a folder that all replicas can write to") from e
