"""taew2_2: a small decoder for latents of Wan2.2 (madebyollin/taehv): three levels of convolutions, no norms, 10 million numbers.

It sees one frame of features before its own, in every block; between levels it may grow time, and doubles rows and columns. The
first latent is one frame, the last of the four that are made of it. The architecture is written from facts (which layers, in
which order, with which shapes); layers of 1 x 1 stand before the enlargement here, which is the same and four times cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import Blocks, Patch, Width

#: Features of the newest frame, one ``[B, C, h, w]`` for each block, in the order of the blocks.
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class TinyDecoderConfig:
    """Sizes of a small decoder; the defaults are those of taew2_2."""

    latent: Width = 48
    """Channels of a latent frame."""
    widths: tuple[Width, ...] = (256, 128, 64, 64)
    """Channels of each level, from coarse to fine, and of what the last layer reads."""
    blocks: Blocks = 3
    """Blocks of each level."""
    time: tuple[bool, ...] = (False, True, True)
    """Levels, from coarse to fine, that end with twice the frames."""
    patch: Patch = 2
    """Pixels along the side of one place of the finest level."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.time) + 1:
            raise ValueError(
                f"small.widths: must be one more than the {len(self.time)} levels of small.time, not {len(self.widths)}"
            )


class PairBlock(nn.Module):
    """Residual block of three convolutions over a frame and the one before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, frames: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """``x [B T, C, h, w]``, ``before [B, C, h, w]`` (None: nothing) -> the same, and the newest frame as it came."""
        each = x.unflatten(0, (-1, frames))  # [B, T, C, h, w]
        first = torch.zeros_like(each[:, :1]) if before is None else before[:, None].to(each)
        past = torch.cat([first, each[:, :-1]], 1).flatten(0, 1)
        y = F.relu(self.second(F.relu(self.first(torch.cat([x, past], 1)))))
        return F.relu(self.third(y) + x), each[:, -1]


class TinyWanDecoder(nn.Module):
    """The decoder as a stream of latents (``push``)."""

    def __init__(self, config: TinyDecoderConfig) -> None:
        super().__init__()
        self.config, w = config, config.widths
        self.into = nn.Conv2d(config.latent, w[0], 3, padding=1)
        self.levels = nn.ModuleList(nn.ModuleList(PairBlock(a) for _ in range(config.blocks)) for a in w[:-1])
        self.grow = nn.ModuleList(
            nn.Conv2d(a, a * (2 if twice else 1), 1, bias=False) for a, twice in zip(w[:-1], config.time, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(w))
        self.out = nn.Conv2d(w[-1], 3 * config.patch**2, 3, padding=1)

    def push(self, z: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The next latent ``[B, C, h, w]``, normalised, -> its frames ``[B, 1 or 4, 3, H, W]``, about [-1, 1], and the new state.

        state: None before the first latent. A state is never changed in place.
        """
        after, kept = list[Tensor](), iter(state or ())
        x, frames = F.relu(self.into(3 * torch.tanh(z.to(self.into.weight) / 3))), 1
        for level, grow, narrow, twice in zip(self.levels, self.grow, self.narrow, self.config.time, strict=True):
            for block in level:  # pyright: ignore[reportGeneralTypeIssues]
                x, newest = block(x, frames, next(kept) if state is not None else None)
                after.append(newest)
            x = grow(x)
            if twice:
                x, frames = x.unflatten(1, (2, -1)).flatten(0, 1), 2 * frames  # the earlier frame has the first channels
            x = narrow(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = F.pixel_shuffle(self.out(F.relu(x)), self.config.patch).unflatten(0, (-1, frames))
        return 2 * (x if state is not None else x[:, -1:]).float() - 1, tuple(after)
