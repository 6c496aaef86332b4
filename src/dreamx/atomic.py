"""Files that are there whole or not at all: written under a temporary name beside their own, then renamed.

Two processes that write one file at once write two, and the one that ends last stays, whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFT = 3600  # seconds after which what nobody wrote to is what a killed process left


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The temporary name ``NAME.tmp`` to write to; it becomes ``path`` when the block ends well, and goes when it does not.

    It is ``NAME.PROCESS.tmp`` where another process is writing to that, or was killed within the hour. The file has the mode
    that the user's umask gives: safetensors by itself gives 0600 (safetensors 0.8).
    """
    temporary = path.with_name(path.name + ".tmp")
    if not _make(temporary):
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(b"")
    mode = temporary.stat().st_mode
    try:
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C
        temporary.unlink(missing_ok=True)
        raise


def _make(file: Path) -> bool:
    """Make an empty file of our own; False where it is somebody else's."""
    try:
        if time.time() - file.stat().st_mtime > LEFT:
            file.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data)
