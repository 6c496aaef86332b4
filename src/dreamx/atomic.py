"""Files that are there whole or not at all: written under a temporary name beside their own, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The temporary name ``NAME.tmp`` to write to; it becomes ``path`` when the block ends well, and goes when it does not.

    The file has the mode that the user's umask gives: safetensors by itself gives 0600 (safetensors 0.8).
    """
    temporary = path.with_name(path.name + ".tmp")
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


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
