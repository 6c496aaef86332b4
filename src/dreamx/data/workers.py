"""Processes that work for a command and end with it, however it ends: those of a killed run must not write beside the next."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait

from dreamx.interrupt import Workers, end_workers

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """``count`` new processes of one thread of torch each. Where the block is left by an error or by Ctrl-C they end at once,
    whatever they are at."""
    some = ProcessPoolExecutor(count, mp_context=Workers(), initializer=begin)
    try:
        yield some
    except BaseException:
        end_workers()
        some.shutdown(cancel_futures=True)
        raise
    some.shutdown()


def begin() -> None:
    """Called in a worker before its work. One that waits for work would else wait for ever after its command was killed."""
    import torch  # here: a command's process imports this module before it knows whether it needs torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # at once, whatever the worker is at
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
