"""The numbers that convolutions compute in at play: float32, or bfloat16 where the processor is made for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from dreamx.hardware import processor_has

Precision = Literal["auto", "float32", "bfloat16"]
#: Names in /proc/cpuinfo of instructions for products in bfloat16.
INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


def dtype_at_play(said: Precision) -> torch.dtype:
    """Return the dtype that was said; ``auto``: bfloat16 on a processor with AMX, where decoding was measured to be faster
    (docs/speed.md). Decided by the processor alone, not by a measurement, so that a session goes on in the same numbers."""
    if said == "auto":
        return torch.bfloat16 if processor_has("amx_bf16") else torch.float32
    return torch.bfloat16 if said == "bfloat16" else torch.float32


def lowered(dtype: torch.dtype) -> AbstractContextManager[object]:
    """Let products on the CPU compute in ``dtype`` inside, where no gradients are wanted: training has a dtype of its own."""
    low = dtype != torch.float32 and not torch.is_grad_enabled()
    return torch.autocast("cpu", dtype) if low else nullcontext()
