"""Kernels of softmax attention, as values. ``MaskedAttention``, ``KVCache`` and the attention to text compute with one of these.

To add one, write a function of ``q, k, v, mask`` and put an ``AttentionBackend`` into ``BACKENDS``: the doctor and the bench list
it, and a test compares it with ``PLAIN``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from dreamx.model.int8_attention import int8_attention

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class AttentionBackend:
    """A kernel and its name.

    ``kernel(q, k, v, mask)``: ``q [B, N, L, D]`` over ``k, v [B, N, M, D]``; ``mask [L, M]`` is true where a query may look.
    Scores are divided by the square root of ``D``.
    """

    name: str
    kernel: Kernel

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.kernel(q, k, v, mask)

    def runs_on(self, device: torch.device, dtype: torch.dtype, head: int = 64) -> bool:
        """Return whether the kernel takes such tensors; found by trying a small one."""
        q = torch.zeros(1, 1, 64, head, device=device, dtype=dtype)  # [B, N, L, D]: kernels refuse by dtype, device and head size
        try:
            self(q, q, q)
        except RuntimeError:  # torch names no kernel that refuses; it raises
            return False
        return True


def _torch_chooses(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _one_of_torch(which: SDPBackend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    with sdpa_kernel(which):  # this kernel or an error: no silent fallback
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # [B, N, L, M]
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)  # a row that sees nothing would become NaN
    return scores.softmax(-1) @ v  # [B, N, L, D]


TORCH = AttentionBackend("torch", _torch_chooses)
"""The default: for each call torch takes the fastest kernel that fits."""

FLASH = AttentionBackend("flash", partial(_one_of_torch, SDPBackend.FLASH_ATTENTION))
CUDNN = AttentionBackend("cudnn", partial(_one_of_torch, SDPBackend.CUDNN_ATTENTION))
EFFICIENT = AttentionBackend("efficient", partial(_one_of_torch, SDPBackend.EFFICIENT_ATTENTION))
MATH = AttentionBackend("math", partial(_one_of_torch, SDPBackend.MATH))

PLAIN = AttentionBackend("plain", _products)
"""Products and a softmax: slow, and the standard that the others are tested against."""

INT8 = AttentionBackend("int8", int8_attention)
"""Scores of 8-bit numbers (``model.int8_attention``): outputs over random values are 1.3 % off."""

BACKENDS = {b.name: b for b in (TORCH, FLASH, CUDNN, EFFICIENT, MATH, PLAIN, INT8)}
#: Those that round: they are near ``PLAIN``, not equal to it.
ROUNDED = ("int8",)


def chosen_by_torch(device: torch.device, dtype: torch.dtype, head: int) -> str:
    """Return the name of the kernel that torch takes for such tensors: ``flash``, ``cudnn``, ``efficient`` or ``math``."""
    with torch.inference_mode():
        q = torch.zeros(1, 1, 64, head, device=device, dtype=dtype)
        # Private, but the only way to ask torch which kernel it takes.
        choice: Any = torch._fused_sdp_choice(q, q, q)  # pyright: ignore[reportPrivateImportUsage]
        return SDPBackend(choice).name.lower().removesuffix("_attention")
