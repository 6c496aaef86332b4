"""Sessions on the disk: one folder each, so that they outlive the server, however it ends.

    sessions/ID/session.json         how it began, whose it is; says which of the other files count
    sessions/ID/NUMBER.safetensors   the world (``World.save``) where it stood last; NUMBER.png, the picture seen last;
                                     NUMBER.json, every step that led there
    sessions/ID/moment-ID.*          the same three for every remembered moment
    sessions/ID/opening.png          the picture it began from
    recordings/ID.mp4, ID.json       a video, and whose it is
    days.json                        the store's calendar (``retention``)

``session.json`` is renamed into place after all that it names is on the disk, so a folder is always one whole session, of a few
seconds ago. The folder is one server's alone (``locks``) and one user's; where it was deleted it is made again.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from dreamx import locks, manifest
from dreamx.config import from_json, to_json
from dreamx.plaintext import parse_json, read_json
from dreamx.play import snapshot_files
from dreamx.play.history import Snapshot, Span
from dreamx.play.retention import EACH, MOST, Days, Item, day_and_owner, items_to_delete
from dreamx.play.session_spec import Session, SessionStart
from dreamx.play.video import Recorder
from dreamx.world import World

FORMAT = 1
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class _Words:
    """Fields of session.json. ``here`` and ``moments`` are names of files; ``owner`` and ``day`` as of ``days.Item``."""

    format: int
    weights: str
    prompt: str
    seed: int
    start: str | None
    image: bool
    here: str
    moments: tuple[str, ...]
    owner: str
    day: float

    def files(self) -> set[str]:
        """Names of all files that belong to it, without their endings."""
        return {self.here, *self.moments, "opening", "session"}


class Store:
    """The folder of a server's state, used by one thread. ``most``, ``each``: as of ``retention.items_to_delete``.

    ValueError, one sentence, where the folder is somebody else's, or another server's at the moment.
    """

    def __init__(self, folder: Path, most: int = MOST, each: int = EACH) -> None:
        self.folder = folder
        self._most, self._each = most, each
        self.recordings = folder / "recordings"
        self._sessions = folder / "sessions"
        self._numbers = count(time.time_ns() // 1000)
        self._lock: locks.Lock | None = None
        self._open()
        for left in self.recordings.glob("*.part"):  # of a server that was killed while it recorded
            left.unlink(missing_ok=True)
        known = (self._about(p).day for p in (*self._sessions.iterdir(), *self.recordings.glob("*.json")))
        self._days = Days(folder / "days.json", max(known, default=0.0))

    def _open(self) -> None:
        """Make the folder, or find that it is ours, and let nobody else in."""
        busy = f"state: {self.folder} is in use by another server; stop that one, or give this one another folder with --state"
        manifest.claim(
            self.folder,
            "sessions of dreamx play",
            ("sessions", "recordings", r"days\.json"),
            old=self._old,
            flag="state",
            busy=busy,
        )
        if self._lock is not None:
            self._lock.release()
        self._lock = locks.take(self.folder / manifest.NAME, busy)
        for made in (self._sessions, self.recordings):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self.folder, self.recordings, self._sessions, *self._sessions.iterdir()):
            with suppress(OSError):  # another user's; whoever can read it could before
                if path.is_dir() and path.stat().st_mode & 0o077:
                    path.chmod(0o700)

    def ready(self) -> None:
        """Make the folder again, where it was deleted. OSError where that cannot be done."""
        whole = self._lock is not None and self._lock.holds() and self._sessions.is_dir() and self.recordings.is_dir()
        if not whole:
            try:
                self._open()
            except ValueError as e:
                raise OSError(errno.EBUSY, "the folder of its state is not its own any more") from e

    def close(self) -> None:
        """Let another server have it."""
        if self._lock is not None:
            with suppress(OSError):
                if self._lock.holds():
                    self._days.keep()
            self._lock.release()
            self._lock = None

    def _old(self) -> None:
        """ValueError where a folder without a manifest is none of ours: what is old in it would be deleted."""
        if not (self._sessions.is_dir() and self.recordings.is_dir()):
            raise ValueError(f"state: {self.folder} is not a folder of sessions; give the name of a new or an empty folder")

    def save(self, session: Session, weights: str) -> None:
        """Write a session that has a ``here``, whole or not at all; when this returns, it is on the disk. OSError where the disk
        does not take it."""
        here = session.here
        if here is None:
            raise ValueError(f"session {session.id} was not walked yet; there is nothing to save")
        self.ready()
        folder = self._sessions / session.id
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            self._write(folder, session, here, weights)
        except BaseException:
            with suppress(OSError, ValueError):  # a disk that is full should not be filled further
                if any(p.name == "session.json" for p in folder.iterdir()):
                    snapshot_files.clear(folder, self._words(session.id).files())
                else:
                    shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write(self, folder: Path, session: Session, here: Snapshot, weights: str) -> None:
        opening = session.opening
        if opening.image is not None and not (folder / "opening.png").exists():
            snapshot_files.replace(folder / "opening.png", snapshot_files.png(opening.image))
        moments = tuple(snapshot_files.write(folder, m, f"moment-{m.id}") for m in session.moments)
        words = _Words(
            format=FORMAT,
            weights=weights,
            prompt=opening.prompt,
            seed=opening.seed,
            start=opening.start,
            image=opening.image is not None,
            here=snapshot_files.write(folder, here, str(next(self._numbers))),
            moments=moments,
            owner=session.owner,
            day=self._days.now(),
        )
        snapshot_files.sync(folder)
        snapshot_files.replace(folder / "session.json", json.dumps(to_json(words)).encode())
        snapshot_files.sync(folder)
        snapshot_files.clear(folder, words.files())

    def load(self, name: str, fork: Callable[[], World]) -> Session:
        """A saved session; ``fork`` gives worlds to load it into. ValueError, one sentence, where this world has none such."""
        words = self._words(name)
        world = fork()
        if words.weights != world.identity:
            raise ValueError(f"session {name!r} was walked in other weights; start the server with the world it was walked in")
        folder = self._sessions / name
        with suppress(OSError):  # what a killed server had begun to write must not pass for a moment
            snapshot_files.clear(folder, words.files())
        shared: dict[Span, Span] = {}  # moments of one walk have most of it in common: a dozen times the same steps
        here, *moments = (snapshot_files.read(folder, m, fork, shared) for m in (words.here, *words.moments))
        return Session(name, self._opening(name, words), replace(here, world=here.world().fork), tuple(moments), words.owner)

    def walked(self, name: str) -> tuple[SessionStart, tuple[Span, ...]]:
        """Return a saved session's start and its steps; ValueError where there is none."""
        words = self._words(name)
        return self._opening(name, words), snapshot_files.steps_of(self._sessions / name, words.here)[2]

    def picture(self, name: str) -> bytes:
        """The picture seen last, as PNG; ValueError where there is no such session."""
        return (self._sessions / name / f"{self._words(name).here}.png").read_bytes()

    def recording(self, name: str) -> Path | None:
        """The file of a recording, None where there is none of that name."""
        path = self.recordings / f"{name}.mp4"
        with suppress(OSError):
            return path if _ID.fullmatch(name) and path.is_file() else None
        return None

    def recorder(self, owner: str, size: tuple[int, int], fps: float) -> Recorder:
        """Return a recorder that writes into the folder of recordings."""

        def signed() -> str:
            return json.dumps({"owner": owner, "day": self._days.now()})

        return Recorder(self.recordings, size, fps, signed)

    def has(self, name: str) -> bool:
        """Is there such a session?"""
        return _ID.fullmatch(name) is not None and (self._sessions / name / "session.json").is_file()

    def sweep(self, running: set[str]) -> None:
        """Delete what has to go (``retention.items_to_delete``), but for the sessions that run."""
        self.ready()
        sessions = [self._about(p, p.name in running) for p in self._sessions.iterdir() if _ID.fullmatch(p.name) and p.is_dir()]
        for name in items_to_delete(sessions, self._days.now(), self._most, self._each):
            shutil.rmtree(self._sessions / name, ignore_errors=True)
        videos = [self._about(p) for p in self.recordings.glob("*.mp4")]
        for name in items_to_delete(videos, self._days.now(), self._most, self._each):
            for file in (self.recordings / name, (self.recordings / name).with_suffix(".json")):
                file.unlink(missing_ok=True)
        with suppress(OSError):  # what is not written down now is next time
            self._days.keep()

    def _about(self, path: Path, stays: bool = False) -> Item:
        """Whose a session or a recording is, and of which day. What cannot be read is of the first day and nobody's."""
        file = path / "session.json" if path.is_dir() else path.with_suffix(".json")
        said: object = None
        with suppress(OSError, ValueError):
            said = read_json(file)
        day, owner = day_and_owner(said)
        order = 0.0
        with suppress(OSError):
            order = min((file if file.exists() else path).stat().st_mtime, time.time())
        return Item(path.name, day, owner, order, stays)

    def _words(self, name: str) -> _Words:
        path = self._sessions / name / "session.json"
        if not _ID.fullmatch(name) or not path.is_file():
            raise ValueError(f"there is no session {name!r} here; it may be too old, so start a new one")
        try:
            said = parse_json(path.read_bytes())
            # Of before there were owners and days: nobody's, and of the first day.
            return from_json(_Words, {"owner": "", "day": 0.0, **said} if isinstance(said, dict) else said)
        except ValueError as e:
            raise ValueError(f"session {name!r} cannot be read ({e}); start a new one") from e

    def _opening(self, name: str, words: _Words) -> SessionStart:
        image = None
        if words.image:
            try:
                image = snapshot_files.read_png(self._sessions / name / "opening.png")
            except (OSError, ValueError) as e:
                raise snapshot_files.not_whole(self._sessions / name, e) from e
        return SessionStart(image, words.prompt, words.seed, start=words.start)
