"""One process at a time: a lock on a file, which the system takes back when its process ends, however it ends.

Whoever comes second is refused at once, in one sentence, and nothing is waited for. Within one process a lock may be taken again.
Where there are no such locks (Windows, some file systems of clusters) nobody looks.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock as _ThreadLock

_NONE_HERE = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.EBADF)  # this file system knows no locks
_HELD: dict[Path, Lock] = {}
_GUARD = _ThreadLock()


class Lock:
    """A file that is this process's alone, until ``release`` was called as often as ``take``."""

    def __init__(self, path: Path, file: int) -> None:
        self.path, self.file = path, file
        self.count = 1

    def holds(self) -> bool:
        """Is it still the file of that name? Not where somebody has removed it."""
        try:
            return os.path.samestat(os.fstat(self.file), self.path.stat())
        except OSError:
            return False

    def release(self, remove: bool = False) -> None:
        """Let others have it; ``remove``: the file goes with it."""
        with _GUARD:
            self.count -= 1
            if self.count > 0 or self.file < 0:
                return
            if _HELD.get(self.path) is self:
                del _HELD[self.path]
            if remove and self.holds():
                with suppress(OSError):
                    self.path.unlink()
            os.close(self.file)
            self.file = -1


def take(path: Path, busy: str) -> Lock:
    """Lock a file of a folder that is there; it is made, if need be. ValueError(``busy``) where another process has it."""
    path = path.resolve()
    with _GUARD:
        held = _HELD.get(path)
        if held is not None and held.holds():
            held.count += 1
            return held
        lock = Lock(path, _locked(path, busy))
        _HELD[path] = lock
        return lock


@contextmanager
def alone(place: Path, flag: str = "out") -> Iterator[None]:
    """Nobody else writes the file or folder ``place`` meanwhile: ``.NAME.lock`` beside it, which goes in the end.

    flag: whose value the place is, for the sentence. ValueError where another process is inside.
    """
    new = [p for p in place.absolute().parents if not p.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = take(place.with_name(f".{place.name}.lock"), busy(place, flag))
    try:
        yield
    finally:
        lock.release(remove=True)
        with suppress(OSError):  # something was written there
            for made in new:
                made.rmdir()


def busy(place: Path, flag: str) -> str:
    """Return the message for the second run."""
    return f"{flag}: {place}: another run writes here; wait for it, or give another name"


def _locked(path: Path, sentence: str) -> int:
    """A descriptor of the file, locked."""
    while True:
        # Never truncated: the file may be one with words in it. For writing, because NFS locks no other.
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if not _try(file):
                raise ValueError(sentence)
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:  # whoever had it removed it just now: there is another to be made
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


if sys.platform == "win32":

    def _try(file: int) -> bool:
        return True

else:
    import fcntl

    def _try(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno == errno.EACCES:
                return False
            if e.errno not in _NONE_HERE:
                raise
        return True
