"""The causal rollout written down plainly: tokens in one row, a cache of raw keys and values, one tensor a layer, which every
pass copies whole, with all its keys rotated afresh in float64.

Slow and obvious: what the engine has to equal, and what ``make bench`` holds its speed against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, rms_norm, scaled_dot_product_attention, silu

from dreamx.model.dit import DiTConfig


@dataclass
class Lane:
    """What a lane of a layer keeps: ``k, v [tokens, heads, channels]``, as the network made them; ``new`` are of this pass."""

    k: Tensor
    v: Tensor
    new: tuple[Tensor, Tensor]


@dataclass
class Past:
    """All that is kept: the cameras of its frames (lens times world-to-camera, ``[T, 4, 4]``), and the lanes of the layers."""

    window: int
    sinks: int
    alone: tuple[str, ...] = ()
    cameras: Tensor = field(default_factory=lambda: torch.zeros(0, 4, 4, dtype=torch.float64))
    lanes: dict[tuple[int, str], Lane] = field(default_factory=dict)

    def make_room(self, new: int, tokens: int) -> None:
        """Give up the oldest frames that are no sinks, until ``new`` frames of ``tokens`` fit beside the rest."""
        gone = len(self.cameras) + new - self.window
        if gone <= 0:
            return
        stay = torch.ones(len(self.cameras), dtype=torch.bool)
        stay[self.sinks : self.sinks + gone] = False
        self.cameras = self.cameras[stay]
        rows = stay.repeat_interleave(tokens)
        for (_, name), lane in self.lanes.items():
            if name not in self.alone:
                lane.k, lane.v = lane.k[rows], lane.v[rows]

    def fork(self) -> Past:
        """An independent future of the same past."""
        lanes = {slot: Lane(lane.k, lane.v, lane.new) for slot, lane in self.lanes.items()}
        return Past(self.window, self.sinks, self.alone, self.cameras, lanes)

    def with_new(self, layer: int, name: str, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A copy of all that is kept, and the new keys and values behind it."""
        lane = self.lanes.setdefault((layer, name), Lane(k[:0], v[:0], (k, v)))
        lane.new = (k, v)
        return torch.cat([lane.k, k]), torch.cat([lane.v, v])

    def keep(self, cameras: Tensor) -> None:
        """The frames of the last pass become part of it."""
        self.cameras = torch.cat([self.cameras, cameras])
        for (_, name), lane in self.lanes.items():
            if name not in self.alone:
                lane.k, lane.v = torch.cat([lane.k, lane.new[0]]), torch.cat([lane.v, lane.new[1]])


def chunk(
    weights: Mapping[str, Tensor],
    config: DiTConfig,
    noise: list[Tensor],
    levels: list[float],
    context: float,
    cameras: Tensor,
    text: Tensor,
    past: Past,
) -> Tensor:
    """Make one chunk of latents ``[T, C, H, W]`` and keep it.

    ``noise``: one for each of ``levels``, which fall from 1, and one more for the writing pass, at the noise level ``context``.
    ``cameras``: lens times world-to-camera, ``[T, 4, 4]``, float64. ``text [L, D]``.
    """
    x = noise[0]
    for i, level in enumerate(levels):
        x = x - level * forward(weights, config, x, level, cameras, text, past)
        if i + 1 < len(levels):
            x = (1 - levels[i + 1]) * x + levels[i + 1] * noise[i + 1]
    forward(weights, config, (1 - context) * x + context * noise[-1], context, cameras, text, past)
    past.keep(cameras)
    return x


def forward(w: Mapping[str, Tensor], c: DiTConfig, z: Tensor, sigma: float, cameras: Tensor, text: Tensor, past: Past) -> Tensor:
    """One pass over new frames ``[T, C, H, W]`` at one noise level -> their velocity."""
    t, channels, height, width = z.shape
    p, rows, cols = c.patch, height // c.patch, width // c.patch
    new = t * rows * cols
    past.make_room(t, rows * cols)
    seen = torch.cat([past.cameras, cameras])

    def lin(name: str, y: Tensor) -> Tensor:
        return linear(y, w[f"{name}.weight"], w[f"{name}.bias"])

    def qkv(lane: str, y: Tensor, source: Tensor, heads: int) -> list[Tensor]:
        q, k, v = lin(f"{lane}.q", y), lin(f"{lane}.k", source), lin(f"{lane}.v", source)
        q, k = (rms_norm(x, x.shape[-1:], w[f"{lane}.norm_{n}.weight"], c.eps) for n, x in (("q", q), ("k", k)))
        return [x.unflatten(-1, (heads, -1)) for x in (q, k, v)]

    patches = z.reshape(t, channels, rows, p, cols, p).permute(0, 2, 4, 1, 3, 5).reshape(new, channels * p * p)
    x = lin("patch", patches)
    time = lin(
        "time.2", silu(lin("time.0", sinusoid(torch.full((new,), 1000 * sigma, dtype=torch.float64), c.frequencies).to(z)))
    )
    steps = lin("time_blocks.1", silu(time)).unflatten(-1, (6, -1))  # of every token
    words = lin("text.2", gelu(lin("text.0", text), approximate="tanh"))
    for i in range(c.layers):
        b = f"blocks.{i}"
        e = (steps + w[f"{b}.modulation"]).unbind(1)
        h = layer_norm(x, (c.width,), eps=c.eps) * (1 + e[1]) + e[0]
        q, k, v = qkv(f"{b}.time", h, h, c.heads)
        k, v = past.with_new(i, "time", k, v)
        turns = rope(len(seen), rows, cols, c.width // c.heads)
        y = lin(f"{b}.time.o", attend(rotate(q, turns[-new:]), rotate(k, turns), v).flatten(1))
        if c.view is not None and (c.view.layers is None or i in c.view.layers):
            q, k, v = qkv(f"{b}.view", h, h, c.view.heads)
            k, v = past.with_new(i, "view", k, v)
            m = seen[-(len(k) // (rows * cols)) :].repeat_interleave(rows * cols, 0)  # of every token that it sees
            back = m.inverse()
            o = attend(tile(m[-new:].mT, q), tile(back, k), tile(back, v))
            y = y + lin(f"{b}.view.o", tile(m[-new:], o).flatten(1))
        x = x + y * e[2]
        h = layer_norm(x, (c.width,), w[f"{b}.norm_text.weight"], w[f"{b}.norm_text.bias"], c.eps)
        x = x + lin(f"{b}.text.o", attend(*qkv(f"{b}.text", h, words, c.heads)).flatten(1))
        h = layer_norm(x, (c.width,), eps=c.eps) * (1 + e[4]) + e[3]
        x = x + lin(f"{b}.mlp.2", gelu(lin(f"{b}.mlp.0", h), approximate="tanh")) * e[5]
    shift, scale = (time[:, None] + w["modulation"]).unbind(1)
    v = lin("head", layer_norm(x, (c.width,), eps=c.eps) * (1 + scale) + shift)
    return v.reshape(t, rows, cols, channels, p, p).permute(0, 3, 1, 4, 2, 5).reshape(z.shape)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``[L, heads, D]`` over ``[M, heads, D]``."""
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)


def rope(frames: int, rows: int, cols: int, dim: int) -> Tensor:
    """Unit complex numbers ``[frames rows cols, 1, dim / 2]``, complex128."""
    sizes = (dim - 4 * (dim // 6), 2 * (dim // 6), 2 * (dim // 6))
    grid = torch.meshgrid(*(torch.arange(n) for n in (frames, rows, cols)), indexing="ij")
    angles = [g.reshape(-1, 1) * 10000.0 ** (-torch.arange(0, s, 2).double() / s) for g, s in zip(grid, sizes, strict=True)]
    angle = torch.cat(angles, -1)[:, None]
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of ``[L, heads, D]``, in float64."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def tile(m: Tensor, x: Tensor) -> Tensor:
    """Each group of four channels of ``[L, heads, D]`` times the matrix of its token, ``[L, 4, 4]``."""
    return torch.einsum("lij,lhgj->lhgi", m.to(x.dtype), x.unflatten(-1, (-1, 4))).flatten(-2)


def sinusoid(t: Tensor, dim: int) -> Tensor:
    """``[L, dim]``, cosines first, float64."""
    angles = t.double()[:, None] * 10000.0 ** (-torch.arange(dim // 2).double() / (dim // 2))
    return torch.cat([angles.cos(), angles.sin()], -1)
