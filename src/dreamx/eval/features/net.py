"""The network: four levels of convolutions, one vector a picture, and from that vector what it was taught to tell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.model.depth import Residual

SIDE = 64  # pixels: every picture is brought to this size by averaging
DEPTHS = 8  # rows and columns of the coarse depth


@dataclass(frozen=True)
class FeatureConfig:
    """Sizes of a feature network, and what it tells."""

    kinds: tuple[str, ...]
    """Kinds of place."""
    looks: tuple[str, ...]
    """Looks."""
    hours: tuple[str, ...]
    """Hours of the day."""
    things: tuple[str, ...]
    """Things that may be in a picture, any number of them."""
    faults: tuple[str, ...]
    """What may be wrong with a picture, each by how much."""
    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of each level, fine to coarse."""
    blocks: tuple[int, ...] = (1, 1, 2, 2)
    """Residual blocks of each level."""
    features: int = 128
    """Length of the vector."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or len(self.widths) != 4:
            raise ValueError("features.widths and features.blocks must have four levels each")
        if bad := [w for w in self.widths if w % 16]:
            raise ValueError(f"features.widths must be multiples of 16, not {bad[0]}")


@dataclass(frozen=True)
class Told:
    """Answers: logits ``kind [N, kinds]``, ``look``, ``hour``, ``things``; ``faults [N, faults]``, 0 none to 1; ``depth [N, 8, 8]``, log metres."""

    kind: Tensor
    look: Tensor
    hour: Tensor
    things: Tensor
    faults: Tensor
    depth: Tensor


class FeatureNet(nn.Module):
    """``features`` is what scores use; ``forward`` is what it is trained to tell."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        levels: list[nn.Module] = [nn.Conv2d(3, config.widths[0], 3, padding=1)]
        for (before, width), count in zip(pairwise((0, *config.widths)), config.blocks, strict=True):
            levels += [nn.Conv2d(before, width, 2, 2)] if before else []
            levels += [Residual(width) for _ in range(count)]
        self.levels = nn.Sequential(*levels)
        last = config.widths[-1]
        self.norm = nn.GroupNorm(last // 16, last)
        self.gather = nn.Linear(2 * last, config.features)
        sizes = [len(x) for x in (config.kinds, config.looks, config.hours, config.things, config.faults)]
        self.heads = nn.ModuleList(nn.Linear(config.features, n) for n in (*sizes, DEPTHS * DEPTHS))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures ``[N, 3, H, W]`` in [-1, 1], or uint8, of any size of at least 64 -> vectors ``[N, features]``."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[-2:]) < SIDE:
            raise ValueError(f"pictures must be [N, 3, H, W] of at least {SIDE} x {SIDE} pixels, not {list(pictures.shape)}")
        x = pictures.float() / 127.5 - 1 if pictures.dtype == torch.uint8 else pictures
        x = F.adaptive_avg_pool2d(x, SIDE).contiguous(memory_format=torch.channels_last)
        seen = F.silu(self.norm(self.levels(x))).flatten(2)  # [N, C, 64]
        return self.gather(torch.cat([seen.mean(-1), seen.amax(-1)], -1))

    def forward(self, pictures: Tensor) -> Told:
        """Pictures ``[N, 3, H, W]`` -> what they show."""
        f = F.silu(self.features(pictures))
        kind, look, hour, things, faults, depth = (head(f) for head in self.heads)
        return Told(kind, look, hour, things, faults, depth.unflatten(-1, (DEPTHS, DEPTHS)))
