"""Attention whose scores are products of 8-bit numbers, as SageAttention computes them; a reference that runs everywhere.

Queries are rounded with one scale for each block of 128 tokens, keys with one for each 64, after the mean of all keys was taken
off: it adds the same number to every score of a row, which a softmax does not see, and keys of a transformer have much of it. The
softmax and its product with the values stay in float. Source: SageAttention (Zhang et al. 2024, arXiv 2410.02367, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS, _COLUMNS = 128, 64  # tokens of a block of queries and of keys


def int8_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """``q [B, N, L, D]`` over ``k, v [B, N, M, D]``; ``mask [L, M]`` is true where a query may look -> ``[B, N, L, D]``."""
    scores = int8_scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1).to(v.dtype) @ v).to(q.dtype)


def int8_scores(q: Tensor, k: Tensor, product: _Product | None = None) -> Tensor:
    """Scores before the softmax, float32 ``[B, N, L, M]``, up to a number for each row; ``product``: of int8 matrices."""
    product = product or int8_product
    q, k = q.float() * q.shape[-1] ** -0.5, k.float()
    k = k - k.mean(2, keepdim=True)
    (a, of_q), (b, of_k) = quantise_blocks(q, _ROWS), quantise_blocks(k, _COLUMNS)
    heads = [product(x, y.t()) for x, y in zip(a.flatten(0, 1), b.flatten(0, 1), strict=True)]  # torch has no batch of these
    return torch.stack(heads).unflatten(0, q.shape[:2]).float().mul_(of_q).mul_(of_k.mT)


def quantise_blocks(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Whole numbers of -127 to 127, int8 ``[B, N, L, D]``, and the scale of each token's block, float32 ``[B, N, L, 1]``."""
    length = x.shape[2]
    most = F.pad(x.abs().amax(-1), (0, -length % block)).unflatten(-1, (-1, block)).amax(-1)  # [B, N, blocks]
    scale = (most / 127).clamp(min=1e-12).repeat_interleave(block, -1)[..., :length, None]
    return (x / scale).round().to(torch.int8), scale


def int8_product(a: Tensor, b: Tensor, pad: bool | None = None) -> Tensor:
    """``a [rows, n] @ b [n, columns]`` of int8, summed in int32 ``[rows, columns]``, which is exact.

    pad: first fill up with zeros to sizes that a GPU takes, 17 rows or more and multiples of 8; None: on a GPU.
    """
    multiply = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]  (there is no public one)
    if not a.is_cuda and not cpu_sums_exactly():
        return (a.double() @ b.double()).to(torch.int32)
    if not (a.is_cuda if pad is None else pad):
        return multiply(a, b)
    rows, n, columns = a.shape[0], a.shape[1], b.shape[1]
    down, inner, across = max(0, 17 - rows), -n % 8, -columns % 8
    if down or inner or across:
        a, b = F.pad(a, (0, inner, 0, down)), F.pad(b.t(), (0, inner, 0, across)).contiguous().t()
    return multiply(a, b)[:rows, :columns]


def cpu_sums_exactly() -> bool:
    """Whether torch's product of int8 matrices is exact on this processor. Without VNNI (AVX2) pairs of products are added in
    int16, which holds at most 32,767; two products of 255 and 127, as they are shifted there, come to 64,770."""
    return _tried()


@cache
def _tried() -> bool:
    multiply = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
    most = torch.full((32, 64), 127, dtype=torch.int8)
    return bool((multiply(most, most.t().contiguous()) == 64 * 127**2).all())


_Product = Callable[[Tensor, Tensor], Tensor]
