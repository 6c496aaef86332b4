"""The umT5 encoder, written down plainly from its description: float64, one prompt at a time, tensors by their released names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import gelu


def encode(weights: Mapping[str, Tensor], ids: list[int], layers: int, heads: int, buckets: int = 32, far: int = 128) -> Tensor:
    """``[L, width]``."""
    w = {k: x.double() for k, x in weights.items()}
    x = w["token_embedding.weight"][ids]
    for i in range(layers):
        b = f"blocks.{i}"
        y = norm(x, w[f"{b}.norm1.weight"])
        q, k, v = ((y @ w[f"{b}.attn.{n}.weight"].T).unflatten(-1, (heads, -1)).transpose(0, 1) for n in "qkv")
        table = w[f"{b}.pos_embedding.embedding.weight"]  # [buckets, heads]
        bias = torch.stack([torch.stack([table[bucket(c - r, buckets, far)] for c in range(len(ids))]) for r in range(len(ids))])
        out = (q @ k.mT + bias.movedim(2, 0)).softmax(-1) @ v  # no scaling
        x = x + out.transpose(0, 1).flatten(1) @ w[f"{b}.attn.o.weight"].T
        y = norm(x, w[f"{b}.norm2.weight"])
        y = gelu(y @ w[f"{b}.ffn.gate.0.weight"].T, approximate="tanh") * (y @ w[f"{b}.ffn.fc1.weight"].T)
        x = x + y @ w[f"{b}.ffn.fc2.weight"].T
    return norm(x, w["norm.weight"])


def norm(x: Tensor, weight: Tensor) -> Tensor:
    """Root mean square, no mean taken off."""
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def bucket(ahead: int, buckets: int, far: int) -> int:
    """Half of the buckets for what is ahead; in each half, half for each near distance, the rest logarithmic up to ``far``."""
    half = buckets // 2
    exact, distance = half // 2, abs(ahead)
    near = distance
    if distance >= exact:
        near = min(half - 1, exact + int(math.log(distance / exact) / math.log(far / exact) * (half - exact)))
    return near + (half if ahead > 0 else 0)
