"""The global random generators of a process: seed them, read them, set them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed(number: int) -> None:
    """Seed torch, Python and numpy."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)  # numpy takes 32 bits


def state() -> dict[str, Any]:
    """The states of all global random generators of this process, as plain values and tensors."""
    version, numbers, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": (version, list(numbers), gauss),
        # A tensor, since weights_only loading takes no array.
        "numpy": (numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *numpy[2:]),
    }


def restore(state: Any) -> None:
    """Set them to what ``state`` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
