"""The interface of what keeps sessions: a folder of one server (``store.Store``), or storage that many share (``serve``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dreamx.play.history import Span
from dreamx.play.session_spec import Session, SessionStart
from dreamx.play.video import Recorder
from dreamx.world import World


class SessionStore(Protocol):
    """All methods but ``recording`` and ``recorder`` are called from one thread; each does as that of ``store.Store``."""

    def ready(self) -> None:
        """Make it again, where it was deleted. OSError where that cannot be done."""
        ...

    def close(self) -> None:
        """Let another have it."""
        ...

    def save(self, session: Session, weights: str) -> None:
        """Write a session, whole or not at all. OSError where it is not taken."""
        ...

    def load(self, name: str, fork: Callable[[], World]) -> Session:
        """A saved session. ValueError, one sentence, where there is none."""
        ...

    def walked(self, name: str) -> tuple[SessionStart, tuple[Span, ...]]:
        """Return a saved session's start and its steps; ValueError where there is none."""
        ...

    def picture(self, name: str) -> bytes:
        """The picture seen last, as PNG; ValueError where there is no such session."""
        ...

    def has(self, name: str) -> bool:
        """Is there such a session?"""
        ...

    def sweep(self, running: set[str]) -> None:
        """Delete what has to go, but for the sessions that run."""
        ...

    def recorder(self, owner: str, size: tuple[int, int], fps: float) -> Recorder:
        """Return a recorder."""
        ...

    def recording(self, name: str) -> Path | None:
        """The file of a recording, None where there is none of that name."""
        ...
