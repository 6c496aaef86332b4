"""The network: eight moments as channels of one picture, three levels of convolutions, a yes or no to each kind of record."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from dreamx.bounds import MAX_LEVELS, Blocks, Width
from dreamx.eval.estimators.events.records import KINDS
from dreamx.eval.estimators.events.window import FRAMES, SIZE
from dreamx.model.depth_net import Residual


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of the classifier."""

    widths: tuple[Width, ...] = (32, 64, 96)
    """Channels of each level, from fine to coarse."""
    blocks: tuple[Blocks, ...] = (1, 2, 2)
    """Residual blocks of each level."""
    kinds: tuple[str, ...] = KINDS
    """Kinds of record, in the order of the answers."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"classifier.blocks must have one number for each of the {len(self.widths)} levels of widths")
        if not 1 <= len(self.blocks) <= MAX_LEVELS:
            raise ValueError(f"classifier.blocks must have 1 to {MAX_LEVELS} levels, not {len(self.blocks)}")
        if missing := [kind for kind in KINDS if kind not in self.kinds]:
            raise ValueError(
                f"classifier.kinds lacks {missing[0]!r}, which the simulator says; train it anew, or leave kinds out"
            )
        if bad := [w for w in self.widths if w % 16]:
            raise ValueError(f"classifier.widths must be multiples of 16, not {bad[0]}")


class Classifier(nn.Module):
    """Say yes or no to each kind of record, from cut-outs (``events.window.window``)."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        levels: list[nn.Module] = [nn.Conv2d(FRAMES * 4, widths[0], 3, padding=1)]
        for (before, width), count in zip(pairwise((0, *widths)), blocks, strict=True):
            levels += [nn.Conv2d(before, width, 2, 2)] if before else []
            levels += [Residual(width) for _ in range(count)]
        self.levels = nn.Sequential(*levels)
        self.norm = nn.GroupNorm(widths[-1] // 16, widths[-1])
        self.out = nn.Linear(2 * widths[-1], len(config.kinds))

    def forward(self, windows: Tensor) -> Tensor:
        """``[N, FRAMES, 4, SIZE, SIZE]`` -> logits ``[N, kinds]``: positive where it says yes."""
        if windows.shape[1:] != (FRAMES, 4, SIZE, SIZE):
            raise ValueError(f"windows must be [N, {FRAMES}, 4, {SIZE}, {SIZE}], not {list(windows.shape)}")
        seen: Tensor = self.norm(self.levels(windows.flatten(1, 2))).flatten(2)
        return self.out(torch.cat([seen.mean(-1), seen.amax(-1)], -1))
