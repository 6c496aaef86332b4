"""Sessions on the disk: one folder each, so that they outlive the server, however it ends.

    sessions/ID/session.json         how it began; says which of the other files count
    sessions/ID/NUMBER.safetensors   the world (``World.save``) where it stood last; NUMBER.png, the picture seen last;
                                     NUMBER.json, every step that led there
    sessions/ID/moment-ID.*          the same three for every remembered moment
    sessions/ID/opening.png          the picture it began from
    recordings/ID.mp4

``session.json`` is renamed into place after all that it names, so a folder is always one whole session, of a few seconds ago.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamx import manifest
from dreamx.config import from_json, to_json
from dreamx.play.opening import Opening, Session
from dreamx.play.past import Kept, Span
from dreamx.replay import ReplayStep
from dreamx.session import Switches
from dreamx.world import World

FORMAT = 1
SESSIONS, RECORDINGS = 64, 64  # that are kept; the oldest go
DAYS = 14.0  # that they are kept for
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class _Words:
    """What session.json says. ``here`` and ``moments`` are names of files."""

    format: int
    weights: str
    prompt: str
    seed: int
    start: str | None
    image: bool
    here: str
    moments: tuple[str, ...]


class Store:
    """The folder of a server's state. Not locked: ``save`` and ``sweep`` are called from one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings = folder / "recordings"
        self._sessions = folder / "sessions"
        manifest.claim(folder, "sessions of dreamx play", ("sessions", "recordings"), old=self._old, flag="state")
        for made in (self._sessions, self.recordings):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._numbers = count(time.time_ns() // 1000)

    def _old(self) -> None:
        """ValueError where a folder without a manifest is none of ours: what is old in it would be deleted."""
        if not (self._sessions.is_dir() and self.recordings.is_dir()):
            raise ValueError(f"state: {self.folder} is not a folder of sessions; give the name of a new or an empty folder")

    def save(self, session: Session, weights: str) -> None:
        """Write a session that has a ``here``, whole or not at all. OSError where the disk does not take it."""
        here, opening = session.here, session.opening
        if here is None:
            raise ValueError(f"session {session.id} was not walked yet; there is nothing to save")
        folder = self._sessions / session.id
        folder.mkdir(mode=0o700, exist_ok=True)
        if opening.image is not None and not (folder / "opening.png").exists():
            _replace(folder / "opening.png", png(opening.image))
        moments = tuple(_write(folder, m, f"moment-{m.id}") for m in session.moments)
        words = _Words(
            format=FORMAT,
            weights=weights,
            prompt=opening.prompt,
            seed=opening.seed,
            start=opening.start,
            image=opening.image is not None,
            here=_write(folder, here, str(next(self._numbers))),
            moments=moments,
        )
        _replace(folder / "session.json", json.dumps(to_json(words)).encode())
        _clear(folder, words)

    def load(self, name: str, fork: Callable[[], World]) -> Session:
        """A saved session; ``fork`` gives worlds to load it into. ValueError, one sentence, where this world has none such."""
        words = self._words(name)
        world = fork()
        if words.weights != world.identity:
            raise ValueError(f"session {name!r} was walked in other weights; start the server with the world it was walked in")
        folder = self._sessions / name
        _clear(folder, words)  # what a killed server had begun to write must not pass for a moment
        shared: dict[Span, Span] = {}  # moments of one walk have most of it in common: a dozen times the same steps
        here, *moments = (_read(folder, m, fork, shared) for m in (words.here, *words.moments))
        return Session(name, self._opening(name, words), replace(here, world=here.world().fork), tuple(moments))

    def walked(self, name: str) -> tuple[Opening, tuple[Span, ...]]:
        """How a saved session began, and its steps; ValueError where there is none."""
        words = self._words(name)
        return self._opening(name, words), _steps(self._sessions / name, words.here)[2]

    def picture(self, name: str) -> bytes:
        """The picture seen last, as PNG; ValueError where there is no such session."""
        return (self._sessions / name / f"{self._words(name).here}.png").read_bytes()

    def recording(self, name: str) -> Path | None:
        """The file of a recording, None where there is none of that name."""
        path = self.recordings / f"{name}.mp4"
        return path if _ID.fullmatch(name) and path.is_file() else None

    def sweep(self, running: set[str]) -> None:
        """Delete what is too old or too many, but for the sessions that run; and what was left half written long ago."""
        now = time.time()
        sessions = sorted((p for p in self._sessions.iterdir() if _ID.fullmatch(p.name)), key=_age, reverse=True)
        for i, path in enumerate(sessions):
            if path.name not in running and (i >= SESSIONS or now - _age(path) > DAYS * 86400):
                shutil.rmtree(path, ignore_errors=True)
        for i, path in enumerate(sorted(self.recordings.iterdir(), key=_age, reverse=True)):
            old = 3600 if path.suffix == ".part" else DAYS * 86400
            if i >= RECORDINGS or now - _age(path) > old:
                path.unlink(missing_ok=True)

    def _words(self, name: str) -> _Words:
        path = self._sessions / name / "session.json"
        if not _ID.fullmatch(name) or not path.is_file():
            raise ValueError(f"there is no session {name!r} here; it may be too old, so start a new one")
        try:
            return from_json(_Words, json.loads(path.read_bytes()))
        except ValueError as e:
            raise ValueError(f"session {name!r} cannot be read ({e}); start a new one") from e

    def _opening(self, name: str, words: _Words) -> Opening:
        image = _picture(self._sessions / name / "opening.png") if words.image else None
        return Opening(image, words.prompt, words.seed, start=words.start)


def _write(folder: Path, kept: Kept, name: str) -> str:
    """The three files of a moment, the one with the steps last; a moment that is there already stays, for they do not change."""
    steps = folder / f"{name}.json"
    if not steps.exists():
        kept.world().save(folder / f"{name}.safetensors")
        _replace(folder / f"{name}.png", png(kept.picture))
        # A list a span, not an object: this is written every few seconds, and grows for as long as one walks.
        rows = [[s.keys, s.frames, s.look, s.event, s.switches.memory, s.switches.camera, n] for s, n in kept.spans]
        _replace(steps, json.dumps({"id": kept.id, "frames": kept.frames, "chunk": kept.chunk, "spans": rows}).encode())
    return name


def _read(folder: Path, name: str, fork: Callable[[], World], shared: dict[Span, Span]) -> Kept:
    said, place, spans = _steps(folder, name)
    try:
        picture = _picture(folder / f"{name}.png")
    except (OSError, ValueError) as e:
        raise _not_whole(folder, e) from e
    steps = tuple(shared.setdefault(s, s) for s in spans)
    return Kept(said, partial(_world, folder, name, fork), picture, place[0], place[1], steps)


def _world(folder: Path, name: str, fork: Callable[[], World]) -> World:
    world = fork()
    try:
        world.load(folder / f"{name}.safetensors")
    except (OSError, ValueError) as e:
        text = (
            f"session {folder.name!r} cannot go on from there ({type(e).__name__}); go back to another moment, or start a new one"
        )
        raise ValueError(text) from e
    return world


def _steps(folder: Path, name: str) -> tuple[str, tuple[int, int], tuple[Span, ...]]:
    """Of a moment: its id, its frames and chunk, and its steps."""
    try:
        words = json.loads((folder / f"{name}.json").read_bytes())
        spans = [
            (ReplayStep(keys, frames, None if look is None else (look[0], look[1]), event, Switches(memory, camera)), times)
            for keys, frames, look, event, memory, camera, times in words["spans"]
        ]
        return words["id"], (words["frames"], words["chunk"]), tuple(spans)
    except (OSError, KeyError, TypeError, ValueError) as e:
        raise _not_whole(folder, e) from e


def _not_whole(folder: Path, cause: Exception) -> ValueError:
    return ValueError(f"session {folder.name!r} is not whole ({type(cause).__name__}); start a new one")


def _clear(folder: Path, words: _Words) -> None:
    """Delete what the words do not name: files of earlier saves, and halves of one that was cut off."""
    named = {words.here, *words.moments, "opening", "session"}
    for path in folder.iterdir():
        if path.stem not in named:
            path.unlink(missing_ok=True)


def png(picture: Tensor) -> bytes:
    """A picture ``[3, H, W]`` uint8 as PNG: nothing of it is lost."""
    out = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy()).save(out, "PNG")
    return out.getvalue()


def _picture(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1).contiguous()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _age(path: Path) -> float:
    """When it was changed last; of a session, when its words were."""
    for file in (path / "session.json", path):
        if file.exists():
            return file.stat().st_mtime
    return 0.0
