"""Files that are there whole or not at all: written under a temporary name beside their own, then renamed.

Two processes that write one file at once write two, and the one that ends last stays, whole.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The temporary name ``NAME.tmp`` to write to; it becomes ``path`` when the block ends well, and goes when it does not.

    What a killed process left under that name is written over. It is ``NAME.NUMBER.tmp`` while somebody else writes. The
    file has the mode that the user's umask gives: safetensors by itself gives 0600 (safetensors 0.8).
    """
    temporary, held = _ours(path)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C
        with suppress(OSError):  # of a disk that can no longer be written: the first error is the cause
            temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(held)


def _ours(path: Path) -> tuple[Path, int]:
    """An empty file of our own beside ``path``, and its number: as long as it is open, it is locked for others."""
    for name in (f"{path.name}.tmp", f"{path.name}.{os.getpid()}{get_ident()}.tmp"):
        temporary = path.with_name(name)
        held = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _locked(held) and os.path.samestat(os.fstat(held), temporary.stat()):  # else it was renamed in between
                os.truncate(temporary, 0)
                return temporary, held
        except FileNotFoundError:
            pass
        os.close(held)
    raise OSError(f"{path}: there is no name beside it to write to; try again")


def _locked(file: int) -> bool:
    """Lock an open file; False where another has it. True where there are no locks: nobody looks there."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: Any, indent: int | None = 2) -> None:
    """Write JSON and a line end, whole or not at all; letters of all alphabets stay as they are."""
    write_text(path, json.dumps(data, indent=indent, ensure_ascii=False) + "\n")
