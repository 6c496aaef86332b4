"""Fused kernels in Triton for what lies between the products of a transformer block, each with a plain twin.

    modulate    shift + layer_norm(x) * (1 + scale)                  before self-attention and before the feed-forward layers
    norm_rope   RMS norm over the whole width, then rotary turns     queries and keys, which a cache keeps unrotated
    add_gated   x + y * gate                                         after both

Triton is optional, comes with torch on GPUs, and is imported when a kernel is first called. Its interpreter runs the same kernels
on a CPU (``TRITON_INTERPRET=1``), which is what tests do. Source: DreamX-World 1.0, section on acceleration (fused elementwise
work).
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def triton_is_here() -> bool:
    """Return whether the package triton is installed."""
    return find_spec("triton") is not None


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """``shift + layer_norm(x) * (1 + scale)``: ``x [B, T, P, D]``, ``shift, scale [B, T, 1, D]`` -> ``[B, T, P, D]``."""
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, width = x.numel() // x.shape[-1], x.shape[-1]
    a, b, each = _rows(shift, x), _rows(scale, x), x.shape[-2]  # rows of a frame share shift and scale
    _kernels().modulate[(rows,)](x, a, b, out, width, each, eps, _block(width))
    return out


def plain_modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """The same by torch."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


def norm_rope(x: Tensor, weight: Tensor, turns: Tensor, heads: int, eps: float) -> Tensor:
    """RMS norm over the width, then neighbouring channel pairs turned: ``x [B, T, P, N D]``, ``weight [N D]``, ``turns`` unit
    complex64 ``[B, T, P, 1, D / 2]`` (``positions.Rope.freqs_cis``) -> ``[B, T, P, N, D]``."""
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, width = x.numel() // x.shape[-1], x.shape[-1]
    dim = width // heads
    angles = torch.view_as_real(turns.to(torch.complex64).expand(*x.shape[:-1], 1, dim // 2)).contiguous()
    _kernels().norm_rope[(rows,)](x, weight, angles, out, width, dim, eps, _block(width // 2))
    return out.unflatten(-1, (heads, dim))


def plain_norm_rope(x: Tensor, weight: Tensor, turns: Tensor, heads: int, eps: float) -> Tensor:
    """The same by torch, as ``dit.QKV`` and ``positions.Rope`` compute it."""
    even = F.rms_norm(x.float(), x.shape[-1:], weight.float(), eps).unflatten(-1, (heads, -1))
    return torch.view_as_real(torch.view_as_complex(even.unflatten(-1, (-1, 2))) * turns).flatten(-2).to(x.dtype)


def add_gated(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    """``x + y * gate``: ``x, y [B, T, P, D]``, ``gate [B, T, 1, D]`` -> ``[B, T, P, D]``."""
    x, y, out = x.contiguous(), y.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, width, g = x.numel() // x.shape[-1], x.shape[-1], _rows(gate, x)
    _kernels().add_gated[(rows,)](x, y, g, out, width, x.shape[-2], _block(width))
    return out


def plain_add_gated(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    """The same by torch."""
    return torch.addcmul(x, y, gate)


def _rows(of_frames: Tensor, x: Tensor) -> Tensor:
    """``[B, T, 1, D]`` as rows ``[B T, D]``. ValueError where it is not of the frames of ``x``."""
    if of_frames.shape != (*x.shape[:2], 1, x.shape[-1]):
        raise ValueError(f"modulation: {list(of_frames.shape)} given for tokens {list(x.shape)}; it must be [B, T, 1, D] of them")
    return of_frames.reshape(-1, x.shape[-1]).contiguous()


def _block(width: int) -> int:
    """The power of 2 that holds a row."""
    return 1 << (width - 1).bit_length()


@cache
def _kernels() -> Any:
    """The compiled kernels. ValueError where Triton is not installed."""
    if not triton_is_here():
        raise ValueError("fused kernels need the package triton, which comes with torch on GPUs; use the plain ones")
    from dreamx.fast import triton_kernels

    return triton_kernels
