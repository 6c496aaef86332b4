"""Depth of a picture that the model did not generate; memory needs it.

Memory moves what was seen by its depth (``dreamx.memory``). The decoder knows the depth of generated frames, because memory
shows it; of the picture that opens a session nothing is known. A small U-Net (Ronneberger et al. 2015) with attention at its
coarsest level guesses it, once for a session, on the logarithmic scale of Eigen et al. 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import MAX_LEVELS, Blocks, Heads, Width


@dataclass(frozen=True)
class DepthConfig:
    """Sizes of the depth network."""

    widths: tuple[Width, ...] = (32, 64, 96)
    """Channels of each level, from fine (half the picture) to coarse."""
    blocks: tuple[Blocks, ...] = (1, 2, 2)
    """Residual blocks of each level."""
    heads: Heads = 4
    """Heads of the attention at the coarsest level."""
    near: float = 0.2
    """Nearest depth, metres; the scale is logarithmic."""
    far: float = 50.0
    """Farthest depth, metres."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"depth.blocks must have one number for each of the {len(self.widths)} levels of depth.widths")
        if not 1 <= len(self.blocks) <= MAX_LEVELS:
            raise ValueError(f"depth.blocks must have 1 to {MAX_LEVELS} levels, not {len(self.blocks)}")
        if bad := [w for w in self.widths if w < 16 or w % (w // 16)]:  # a norm has a group for each 16 channels
            raise ValueError(f"depth.widths must be 16 to 31, or multiples of 16, not {bad[0]}")
        if self.heads < 1 or self.widths[-1] % self.heads:
            raise ValueError(f"depth.widths end in {self.widths[-1]}, which does not divide over depth.heads {self.heads}")
        if not 0 < self.near < self.far:
            raise ValueError(f"depth.near must be above 0 and below depth.far, not {self.near} and {self.far} metres")


class Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(width // 16, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, h, w]`` -> the same shape."""
        return x + self.second(F.silu(self.first(self.norm(x))))


class SelfAttention2d(nn.Module):
    """Self-attention over all places: a floor in one corner gives the camera's height, and with it the scale of the rest."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, width)  # one group: channels keep their sizes relative to each other before attention
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)  # starts as the identity, apart from a constant

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, h, w]`` -> the same shape."""
        # [N, heads, h w, C / heads] each
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v)  # [N, heads, h w, C / heads]
        return x + self.out(seen.transpose(-1, -2).flatten(1, 2).unflatten(-1, x.shape[-2:]))


class Depth(nn.Module):
    """The depth network. ``forward`` returns the log-depth plane of training, ``metres`` the depth."""

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        self.config = config
        w, n = list(config.widths), list(config.blocks)
        self.into = nn.Conv2d(5, w[0], 4, 2, 1)  # 3 colours, and the row and column, which a convolution alone does not know
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(w))
        self.before = nn.ModuleList(nn.Sequential(*(Residual(c) for _ in range(k))) for c, k in zip(w, n, strict=True))
        self.look = SelfAttention2d(w[-1], config.heads)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(w))
        self.after = nn.ModuleList(nn.Sequential(*(Residual(c) for _ in range(k))) for c, k in zip(w, n, strict=True))
        self.grow = nn.ConvTranspose2d(w[0], 16, 2, 2)
        self.fine = nn.Conv2d(3, 16, 3, padding=1)
        self.sharpen = nn.Conv2d(16, 16, 3, padding=1)
        self.out = nn.Conv2d(16, 1, 3, padding=1)
        # The layout that convolutions on a CPU compute in: else each of them reorders its input.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, rgb: Tensor) -> Tensor:
        """Pictures ``[N, 3, H, W]`` in [-1, 1] -> planes ``[N, H, W]``: -1 at ``near``, 1 at ``far``, logarithmic between."""
        n, _, h, w = rgb.shape
        size = 2 ** len(self.config.widths)  # the first layer halves, and each level after the first
        if h % size or w % size:
            raise ValueError(f"picture of {w}x{h} pixels: width and height must be multiples of {size} to guess its depth")
        row = torch.linspace(-1, 1, h).to(rgb)[:, None].expand(h, w)
        col = torch.linspace(-1, 1, w).to(rgb).expand(h, w)
        where = torch.stack([row, col]).expand(n, 2, h, w)  # [N, 2, H, W]
        x = self.into(torch.cat([rgb, where], 1).contiguous(memory_format=torch.channels_last))  # [N, w0, H / 2, W / 2]
        kept: list[Tensor] = []
        for i, blocks in enumerate(self.before):
            x = blocks(self.down[i - 1](x) if i else x)
            kept.append(x)  # for the way up: what downsampling loses
        x = self.after[-1](self.look(x))  # attention on the coarsest grid alone, where places are few
        for i in reversed(range(len(kept) - 1)):
            x = self.after[i](self.up[i](x) + kept[i])
        x = self.grow(x) + self.fine(rgb)  # [N, 16, H, W]: full-size colours again, since depth edges lie at colour edges
        return self.out(F.silu(x + self.sharpen(F.silu(x))))[:, 0]  # [N, H, W]

    def metres(self, rgb: Tensor) -> Tensor:
        """Pictures ``[N, 3, H, W]`` in [-1, 1] -> depth along z ``[N, H, W]``, between ``near`` and ``far`` metres."""
        near, far = log(self.config.near), log(self.config.far)
        # Clamped: beyond the scale exp leaves what was trained.
        return ((self(rgb).clamp(-1, 1) + 1) * ((far - near) / 2) + near).exp()

    def plane(self, depth: Tensor) -> Tensor:
        """Metres of any shape -> the planes that ``forward`` should answer."""
        near, far = log(self.config.near), log(self.config.far)
        return (depth.clamp(self.config.near, self.config.far).log() - near) * (2 / (far - near)) - 1
