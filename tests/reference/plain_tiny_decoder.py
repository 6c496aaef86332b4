"""The small decoder taew2_2 written down plainly, from its published tensors: a list of layers, all frames of a clip at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

LAYERS = ("bound", "conv", "relu", *3 * ("pair", "pair", "pair", "larger", "frames", "conv"), "relu", "conv")
TIME = (1, 2, 2)


def decode(w: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """Latents ``[T, C, h, w]`` -> frames ``[4 T - 3, 3, H, W]`` in [0, 1], as published: three of the first four are dropped."""
    x, grown = z, 0
    for i, kind in enumerate(LAYERS):
        name = f"decoder.{i}"
        if kind == "bound":
            x = 3 * torch.tanh(x / 3)
        elif kind == "relu":
            x = x.clamp_min(0)
        elif kind == "conv":
            x = F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=1)
        elif kind == "larger":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        elif kind == "frames":
            n, c = TIME[grown], x.shape[1]
            grown += 1
            y = F.conv2d(x, w[f"{name}.conv.weight"][-n * c :])
            x = torch.stack([y[t, f * c : (f + 1) * c] for t in range(len(y)) for f in range(n)])
        else:
            out: list[Tensor] = []
            for t in range(len(x)):
                y = torch.cat([x[t], x[t - 1] if t else torch.zeros_like(x[t])])[None]
                for layer in (0, 2, 4):
                    y = F.conv2d(y, w[f"{name}.conv.{layer}.weight"], w[f"{name}.conv.{layer}.bias"], padding=1)
                    y = y.clamp_min(0) if layer < 4 else y
                out.append((y[0] + x[t]).clamp_min(0))
            x = torch.stack(out)
    n, _, h, width = x.shape
    # A pixel's channel, row and column lie in one channel of the network.
    x = x.view(n, 3, 2, 2, h, width).permute(0, 1, 4, 2, 5, 3).reshape(n, 3, 2 * h, 2 * width)
    return x[3:].clamp(0, 1)


def chance(widths: tuple[int, ...] = (256, 128, 64, 64), latent: int = 48, first: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors with the published names and shapes; ``first``: frames that the first layer of time was published with."""
    rng = torch.Generator().manual_seed(seed)

    def conv(out: int, into: int, side: int = 3) -> Tensor:
        return torch.randn(out, into, side, side, generator=rng) * (2 / (into * side * side)) ** 0.5

    def both(name: str, out: int, into: int) -> dict[str, Tensor]:
        return {f"{name}.weight": conv(out, into), f"{name}.bias": 0.1 * torch.randn(out, generator=rng)}

    found = both("decoder.1", widths[0], latent)
    for i, (a, b) in enumerate(pairwise(widths)):
        at = 3 + 6 * i
        for j in range(3):
            for k, into in ((0, 2 * a), (2, a), (4, a)):
                found |= both(f"decoder.{at + j}.conv.{k}", a, into)
        found[f"decoder.{at + 4}.conv.weight"] = conv(a * (TIME[i] if i else first), a, 1)
        found[f"decoder.{at + 5}.weight"] = conv(b, a)
    found |= both("decoder.22", 12, widths[-1])
    found["encoder.0.weight"] = conv(64, 12)  # it lies in the published file, and is not read
    return found
