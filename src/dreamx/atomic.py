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
    with _locked(path.with_name(f"{path.name}.0.tmp")) as first:
        temporary = path.with_name(f"{path.name}.tmp" if first else f"{path.name}.{os.getpid()}{get_ident()}.tmp")
        try:
            temporary.write_bytes(b"")
            mode = temporary.stat().st_mode
            yield temporary
            if temporary.stat().st_mode != mode:
                temporary.chmod(mode & 0o7777)
            os.replace(temporary, path)
        except BaseException:  # also Ctrl-C
            with suppress(OSError):  # of a disk that can no longer be written: the first error is the cause
                temporary.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(lock: Path) -> Iterator[bool]:
    """Whether nobody else holds this file, which goes at the end; True where there are no locks: nobody looks there.

    It stands beside what is written: safetensors renames a file of its own over the name that it is given (safetensors 0.8).
    """
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        first = True
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            first = os.path.samestat(os.fstat(held), lock.stat())  # else it went in between
        except (BlockingIOError, FileNotFoundError):
            first = False
        except OSError:
            pass
        try:
            yield first
        finally:
            if first:
                with suppress(OSError):
                    lock.unlink(missing_ok=True)
    finally:
        os.close(held)


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
