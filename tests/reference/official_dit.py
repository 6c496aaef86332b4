"""The released transformers, written down plainly from their description: slow, float64, tokens in one row, no class of ours.

Truth for conformance files that nobody published: other widths, heads, windows, sinks, chunks and camera layers. It is held
against the published ones itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, pad, silu


class Slots:
    """The released key-value cache of one layer, in slots of one latent frame each."""

    def __init__(self, window: int, sinks: int) -> None:
        self.window, self.sinks = window, sinks
        self.k: list[Tensor] = []  # of each slot [tokens, heads, channels], before rotation
        self.v: list[Tensor] = []
        self.seen = 0  # latent frames that were ever written

    def write(self, start: int, k: Tensor, v: Tensor) -> int:
        """``[frames, tokens, heads, channels]`` of latent frames from ``start`` on -> the slot of the first of them."""
        n, end = len(k), start + len(k)
        again = end <= self.seen and start > 0
        if self.window != -1 and end > self.seen and n + len(self.k) > self.window:
            gone = n + len(self.k) - self.window
            for x in (self.k, self.v):
                moved = x[self.sinks + gone :]
                x[self.sinks : self.sinks + len(moved)] = moved
                del x[max(self.window - n, 0) :]
        elif end <= self.seen:
            at = len(self.k) - n
            for i in range(n):
                if not again or at + i >= self.sinks:
                    self.k[at + i], self.v[at + i] = k[i], v[i]
            return at
        self.k.extend(k)
        self.v.extend(v)
        self.seen = end
        return len(self.k) - n


def forward(
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    latents: Tensor,
    timesteps: Tensor,
    text: Tensor,
    cameras: tuple[Tensor, Tensor] | None,
    view_heads: int,
    past: list[Slots] | None = None,
    start: int = 0,
) -> Tensor:
    """``latents [C, T, H, W]``, ``timesteps [T]``, ``text [L, D]`` -> flow ``[C, T, H, W]``.

    ``cameras``: world-to-camera ``[T, 4, 4]`` and intrinsics ``[3, 3]``. ``past``: the caches of all layers, of the causal model.
    """
    w = {k: x.double() for k, x in weights.items()}
    c, t, h, wide = latents.shape
    rows, cols, dim, heads, eps = h // 2, wide // 2, config["dim"], config["num_heads"], config["eps"]
    tokens = rows * cols

    def lin(name: str, x: Tensor) -> Tensor:
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def rms(name: str, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * w[f"{name}.weight"]

    patches = latents.double().reshape(c, t, rows, 2, cols, 2).permute(1, 2, 4, 0, 3, 5).reshape(t * tokens, c * 4)
    x = linear(patches, w["patch_embedding.weight"].flatten(1), w["patch_embedding.bias"])
    half = config["freq_dim"] // 2
    angles = timesteps.double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    time = lin("time_embedding.2", silu(lin("time_embedding.0", torch.cat([angles.cos(), angles.sin()], -1))))
    steps = lin("time_projection.1", silu(time)).reshape(t, 6, dim)
    words = pad(text.double(), (0, 0, 0, config["text_len"] - len(text)))
    words = lin("text_embedding.2", gelu(lin("text_embedding.0", words), approximate="tanh"))

    def each(e: Tensor) -> Tensor:
        """``[T, D]`` for every token."""
        return e.repeat_interleave(tokens, 0)

    for i in range(config["num_layers"]):
        b = f"blocks.{i}"
        e = [each(m) for m in (steps + w[f"{b}.modulation"]).unbind(1)]
        y = layer_norm(x, (dim,), eps=eps) * (1 + e[1]) + e[0]
        a = f"{b}.self_attn"
        q, k = rms(f"{a}.norm_q", lin(f"{a}.q", y)), rms(f"{a}.norm_k", lin(f"{a}.k", y))
        q, k, v = (z.reshape(t, tokens, heads, -1) for z in (q, k, lin(f"{a}.v", y)))
        at, keys, values = 0, k, v
        if past is not None:
            at = past[i].write(start, k, v)
            keys, values = torch.stack(past[i].k), torch.stack(past[i].v)
        out = lin(f"{a}.o", attend(turn(q, at, rows, cols), turn(keys, 0, rows, cols), values))
        if cameras is not None and f"{b}.cam_self_attn.q_proj.weight" in w:
            a = f"{b}.cam_self_attn"
            q, k = rms(f"{a}.norm_q", lin(f"{a}.q_proj", y)), rms(f"{a}.norm_k", lin(f"{a}.k_proj", y))
            q, k, v = (z.reshape(t, tokens, view_heads, -1) for z in (q, k, lin(f"{a}.v_proj", y)))
            p = projections(*cameras)
            seen = attend(tile(p.mT, q), tile(p.inverse(), k), tile(p.inverse(), v), merge=False)
            out = out + lin(f"{a}.out_proj", tile(p, seen.reshape(t, tokens, view_heads, -1)).reshape(t * tokens, -1))
        x = x + out * e[2]
        y = layer_norm(x, (dim,), w[f"{b}.norm3.weight"], w[f"{b}.norm3.bias"], eps)
        a = f"{b}.cross_attn"
        q, k = rms(f"{a}.norm_q", lin(f"{a}.q", y)), rms(f"{a}.norm_k", lin(f"{a}.k", words))
        q, k, v = (z.reshape(1, len(z), heads, -1) for z in (q, k, lin(f"{a}.v", words)))
        x = x + lin(f"{a}.o", attend(q, k, v))
        y = layer_norm(x, (dim,), eps=eps) * (1 + e[4]) + e[3]
        x = x + lin(f"{b}.ffn.2", gelu(lin(f"{b}.ffn.0", y), approximate="tanh")) * e[5]
    shift, scale = (each(m) for m in (time[:, None] + w["head.modulation"]).unbind(1))
    x = lin("head.head", layer_norm(x, (dim,), eps=eps) * (1 + scale) + shift)
    return x.reshape(t, rows, cols, 2, 2, c).permute(5, 0, 1, 3, 2, 4).reshape(c, t, h, wide)


def attend(q: Tensor, k: Tensor, v: Tensor, merge: bool = True) -> Tensor:
    """``[T, tokens, heads, D]``, everyone sees everyone -> ``[T tokens, heads D]``, or with the heads apart."""
    q, k, v = (x.flatten(0, 1).transpose(0, 1) for x in (q, k, v))
    out = ((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v).transpose(0, 1)
    return out.flatten(1) if merge else out


def turn(x: Tensor, first: int, rows: int, cols: int) -> Tensor:
    """Rotate channel pairs of ``[T, rows cols, heads, D]`` by frame (counted from ``first``), row and column."""
    t, _, _, d = x.shape
    sizes = (d - 4 * (d // 6), 2 * (d // 6), 2 * (d // 6))
    grid = torch.meshgrid(torch.arange(first, first + t), torch.arange(rows), torch.arange(cols), indexing="ij")
    parts = [
        g.reshape(t, -1, 1).double() * 10000.0 ** (-torch.arange(0, s, 2).double() / s) for g, s in zip(grid, sizes, strict=True)
    ]
    angle = torch.cat(parts, -1)[:, :, None]
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


def projections(viewmats: Tensor, intrinsics: Tensor) -> Tensor:
    """``[T, 4, 4]``: focal lengths times world-to-camera; the principal point is not looked at."""
    k = torch.diag(torch.stack([intrinsics[0, 0], intrinsics[1, 1], torch.tensor(1.0), torch.tensor(1.0)])).double()
    return k @ viewmats.double()


def tile(p: Tensor, x: Tensor) -> Tensor:
    """Each group of four channels of ``[T, tokens, heads, D]`` times its frame's matrix ``[T, 4, 4]``."""
    return torch.einsum("tij,tpngj->tpngi", p, x.unflatten(-1, (-1, 4))).flatten(-2)
