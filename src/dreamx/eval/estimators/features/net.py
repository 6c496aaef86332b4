"""The network: four levels of convolutions, one vector a picture, and from that vector what it was taught to tell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import Blocks, Width
from dreamx.data.scene.places import ALL_KINDS
from dreamx.data.scene.scene import STYLES
from dreamx.data.sim.stills import COARSE, THINGS
from dreamx.eval.estimators.features.corruptions import CORRUPTIONS
from dreamx.model.depth_net import Residual

SIDE = 64  # pixels: every picture is brought to this size, larger ones by averaging


@dataclass(frozen=True)
class FeatureConfig:
    """Sizes of a feature network, and what it tells."""

    widths: tuple[Width, ...] = (32, 64, 96, 96)
    """Channels of each of four levels, from fine (half the picture) to coarse."""
    blocks: tuple[Blocks, ...] = (1, 1, 2, 1)
    """Residual blocks of each level."""
    features: Width = 128
    """Length of the vector."""
    kinds: tuple[str, ...] = ALL_KINDS
    """Kinds of place, in the order of the answers."""
    looks: tuple[str, ...] = STYLES
    """Looks."""
    things: tuple[str, ...] = THINGS
    """Things that may be in a picture, any number of them."""
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    """What may be wrong with a picture, each by how much."""

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.blocks) != 4:
            raise ValueError("features.widths and features.blocks must have four levels each")
        if bad := [w for w in self.widths if w % 16]:
            raise ValueError(f"features.widths must be multiples of 16, not {bad[0]}")


@dataclass(frozen=True)
class Predictions:
    """Logits ``kind [N, kinds]``, ``look``, ``things``, ``corruptions`` (0 to 1); ``depth [N, 8, 8]``, log metres."""

    kind: Tensor
    look: Tensor
    things: Tensor
    corruptions: Tensor
    depth: Tensor


class FeatureNet(nn.Module):
    """A classifier of pictures whose last but one layer is compared: ``features`` is what scores use."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        levels: list[nn.Module] = [nn.Conv2d(3, config.widths[0], 4, 2, 1)]
        for (before, width), count in zip(pairwise((0, *config.widths)), config.blocks, strict=True):
            levels += [nn.Conv2d(before, width, 2, 2)] if before else []
            levels += [Residual(width) for _ in range(count)]
        self.levels = nn.Sequential(*levels)
        last = config.widths[-1]
        self.norm = nn.GroupNorm(last // 16, last)
        self.gather = nn.Linear(2 * last, config.features)
        told = (config.kinds, config.looks, config.things, config.corruptions)
        self.heads = nn.ModuleList(nn.Linear(config.features, n) for n in (*map(len, told), COARSE * COARSE))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] (a fifth faster)

    def features(self, pictures: Tensor) -> Tensor:
        """Vectors ``[N, features]`` of pictures ``[N, 3, H, W]``, uint8 or in [-1, 1], of any size."""
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise ValueError(f"pictures must be [N, 3, height, width], not {list(pictures.shape)}")
        x = pictures.float() / 127.5 - 1 if pictures.dtype == torch.uint8 else pictures
        x = F.adaptive_avg_pool2d(x, SIDE) if x.shape[-2:] != (SIDE, SIDE) else x
        x = x.contiguous(memory_format=torch.channels_last)
        seen = F.silu(self.norm(self.levels(x))).flatten(2)  # [N, C, 16]
        return self.gather(torch.cat([seen.mean(-1), seen.amax(-1)], -1))

    def forward(self, pictures: Tensor) -> Predictions:
        """Predictions for pictures ``[N, 3, H, W]``."""
        return self.predict(self.features(pictures))

    def predict(self, features: Tensor) -> Predictions:
        """Predictions from features ``[N, features]`` of their pictures."""
        f = F.silu(features)
        kind, look, things, corruptions, depth = (head(f) for head in self.heads)
        return Predictions(kind, look, things, corruptions, depth.unflatten(-1, (COARSE, COARSE)))
