"""Return freed memory to the system: between remembered views, malloc keeps freed pieces that fit nothing any more.

glibc gives back only what lies at the end of its heap. Asked to, it gives back every free page: 2 ms, and 5 ms for the pages that
are wanted again, once in four seconds of ``tiny``. Without that a walk of ten minutes grew by 2 % after its second minute.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

EVERY = 16  # chunks
END = 8 * 2**20  # bytes at the end of the heap that are wanted again at once


def _glibc() -> Callable[[int], Any] | None:
    """glibc's ``malloc_trim``; None where another library allocates."""
    with suppress(AttributeError, OSError, TypeError):
        return ctypes.CDLL(None).malloc_trim
    return None


_TRIM, _CHUNKS = _glibc(), count(1)


def tidy() -> None:
    """Called once a chunk: give freed pages back to the system, now and then."""
    if next(_CHUNKS) % EVERY == 0:
        give_back()


def give_back() -> None:
    """Give freed pages back to the system now: after something large that was needed once."""
    if _TRIM is not None:
        _TRIM(END)
