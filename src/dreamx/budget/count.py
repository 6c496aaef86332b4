"""Count products and bytes of a piece of network as it runs on torch's ``meta`` device, which computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Work:
    """flop: multiplications and additions of products, attentions and convolutions. calls: operations of torch. moved: bytes that
    they wrote. peak: most bytes alive at once, beside what was there before."""

    flop: float = 0.0
    calls: int = 0
    moved: float = 0.0
    peak: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Return the work of one after the other."""
        return Work(self.flop + other.flop, self.calls + other.calls, self.moved + other.moved, max(self.peak, other.peak))

    def times(self, n: int) -> Work:
        """Return the work of ``n`` times the same."""
        return Work(self.flop * n, self.calls * n, self.moved * n, self.peak)  # memory is free again each time


def count(run: Callable[[], object]) -> Work:
    """Count ``run``, whose tensors should be on the meta device. What it returns is alive to its end."""
    flops = FlopCounterMode(display=False)
    with torch.no_grad(), flops, BytesLedger() as ledger:
        result = run()
    del result
    return Work(float(flops.get_total_flops()), ledger.calls, float(ledger.moved), float(ledger.peak))


class BytesLedger(TorchDispatchMode):
    """Count operations, and the bytes of the storages they made that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.moved = self.peak = 0
        self._known: set[int] = set()
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}  # the weak reference keeps an address from being used again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor):
                # Inputs: views of them, and results written into them, are no new memory.
                self._known.add(x.untyped_storage()._cdata)
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        made = 0
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                if storage._cdata not in self._known and storage._cdata not in self._alive:
                    self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
                    made += storage.nbytes()
        self.moved += made
        if made:
            self._alive = {k: (ref, n) for k, (ref, n) in self._alive.items() if not ref.expired()}
            self.peak = max(self.peak, sum(n for _, n in self._alive.values()))
        self._known.clear()  # an address is known during one call only
        return out
