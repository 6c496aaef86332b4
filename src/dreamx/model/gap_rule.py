"""Temporal positions of recalled frames: a large gap to the past, as a network reads it that was trained on short ones.

A recalled frame keeps the time at which it was seen (DreamX-World 1.0, memory section), so that it is not taken for a neighbour.
Of rotary positions only differences count: a query at the first frame of its chunk and a key that lies ``gap`` latents back
differ by the angle ``gap base^(-2i/d)`` in channel pair i of d channels. The paper treats large gaps by rules that are "inspired
by" NTK-aware scaling, YaRN and randomised positions, without a formula. Here each rule replaces the gap of each channel pair by
a smaller one; differences within the chunk stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from dreamx.bounds import LatentCount, PositiveFloat


@dataclass(frozen=True)
class GapConfig:
    """Rule for gaps longer than ``span``. At most one of ``log``, ``ntk``, ``yarn`` and ``drawn``; none of them: exact."""

    span: PositiveFloat = 21.0
    """Latent frames; a gap up to it is read as it is."""
    log: PositiveFloat | None = None
    """Compress: a gap g is read as span + log ln(1 + (g - span) / log), in every channel."""
    ntk: bool = False
    """NTK-aware scaling (bloc97 2023): the base of the angles grows with g / span, so that the fastest channels read g and the
    slowest read span."""
    yarn: tuple[PositiveFloat, PositiveFloat] | None = None
    """NTK by parts, of YaRN (Peng et al. 2023, arXiv 2309.00071, section 3.2): channels that turn fewer times over span than the
    first number read span, those that turn more often than the second read g. Its temperature is left out."""
    drawn: LatentCount | None = None
    """Randomised positions (Ruoss et al. 2023, arXiv 2305.16843): in training gaps are drawn up to so many latent frames, in
    their order; at play they are exact."""

    def __post_init__(self) -> None:
        chosen = [n for n in ("log", "ntk", "yarn", "drawn") if getattr(self, n)]
        if len(chosen) > 1:
            raise ValueError(f"gaps: {' and '.join(chosen)} are given; choose one of them")
        if self.yarn is not None and not self.yarn[0] < self.yarn[1]:
            raise ValueError(f"gaps.yarn must be two numbers of turns, the smaller first, not {list(self.yarn)}")


def channel_gaps(rule: GapConfig, gap: Tensor, dim: int, base: float) -> Tensor:
    """Gaps ``[...]`` in latent frames, as each channel pair reads them: float64 ``[..., dim / 2]``.

    dim: channels of a head that carry time; base: of their angles.
    """
    g = gap.double()[..., None]
    pair = torch.arange(0, dim, 2, device=gap.device, dtype=torch.float64)  # 2 i
    if rule.log is not None:
        g = torch.where(g > rule.span, rule.span + rule.log * torch.log1p((g - rule.span).clamp(min=0) / rule.log), g)
    times = (g / rule.span).clamp(min=1)  # so many times longer than the network knows
    if rule.ntk:
        return g * times ** -(pair / max(dim - 2, 1))
    if rule.yarn is not None:
        slow, fast = rule.yarn
        turns = rule.span * base ** -(pair / dim) / (2 * pi)
        kept = ((turns - slow) / (fast - slow)).clamp(0, 1)
        return g * (kept + (1 - kept) / times)
    return g.expand(*gap.shape, len(pair))
