"""Several processes under torchrun: join them, and do everything but training in one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_PATIENCE = timedelta(days=30)  # rendering takes as long as it takes; where the first process dies, torchrun ends the others


def join() -> None:
    """Make the group of processes that torchrun started, once; nothing where there is no torchrun."""
    if "TORCHELASTIC_RUN_ID" in os.environ and not dist.is_initialized():
        # Only torchrun sets this variable: RANK alone may come from a cluster's own environment.
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


class Alone:
    """Runs what only the first process should do, while the others wait for it."""

    def __init__(self) -> None:
        join()
        self.first = not dist.is_initialized() or dist.get_rank() == 0
        # The default group gives up after 10 to 30 minutes.
        self._group: Any = dist.new_group(timeout=_PATIENCE, backend="gloo") if dist.is_initialized() else None

    def run(self, work: Callable[[], object]) -> None:
        """Do ``work`` in the first process; all go on when it is done."""
        if self.first:
            work()
        if self._group is not None:
            dist.barrier(self._group)
