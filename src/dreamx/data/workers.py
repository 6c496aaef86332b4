"""Processes that work for a command and end with it, however it ends: those of a killed run must not write beside the next."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait

import torch

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def pool(count: int) -> ProcessPoolExecutor:
    """``count`` new processes of one thread of torch each."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=begin)


def begin() -> None:
    """Called in a worker before its work. One that waits for work would else wait for ever after its command was killed."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # at once, whatever the worker is at
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
