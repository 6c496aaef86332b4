"""A transformer whose blocks compute norms with their modulation, and gated residuals, in one kernel each (``fused_kernels``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from dreamx.fast.fused_kernels import add_gated, modulate, plain_add_gated, plain_modulate
from dreamx.fast.shared_copy import shared_copy
from dreamx.model.attention import Attend, text_kv
from dreamx.model.dit import DiT, DiTBlock, Grid
from dreamx.model.positions import PositionEncoding


@dataclass(frozen=True)
class BlockKernels:
    """Kernels for what lies between the products of a block, as ``fused_kernels`` defines them."""

    modulate: Callable[[Tensor, Tensor, Tensor, float], Tensor] = modulate
    add_gated: Callable[[Tensor, Tensor, Tensor], Tensor] = add_gated


FUSED = BlockKernels()
UNFUSED = BlockKernels(plain_modulate, plain_add_gated)
"""The plain twins of the same."""


class FusedBlock(nn.Module):
    """A ``DiTBlock`` by other kernels; its parts have the names that they have there."""

    def __init__(self, block: DiTBlock, kernels: BlockKernels) -> None:
        super().__init__()
        self.block, self.kernels = block, kernels

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        text: Tensor,
        attend: Attend,
        places: dict[str, PositionEncoding],
        grid: Grid,
        said: Tensor | None = None,
    ) -> Tensor:
        """As of ``DiTBlock``."""
        b, k = self.block, self.kernels

        def look(name: str, q: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return attend((b.layer, name), q, key, value, places[name])

        shift1, scale1, gate1, shift2, scale2, gate2 = (time + b.modulation)[:, :, :, None].unbind(2)  # [B, T, 1, width] each
        h = k.modulate(x, shift1, scale1, b.norm1.eps)
        y = b.lane("time", b.time, h, look)
        if b.view is not None:
            y = y + grid.spread(b.lane("view", b.view, grid.pool(h), look))
        x = k.add_gated(x, y, gate1)
        x = x + b.read(b.norm_text(x), text_kv(attend, b.text, text, b.text.project_kv), attend.backend, said)
        return k.add_gated(x, b.mlp(k.modulate(x, shift2, scale2, b.norm2.eps)), gate2)


def fuse(dit: DiT, kernels: BlockKernels = FUSED) -> DiT:
    """The same transformer around the same weights, its blocks by these kernels; to be done after ``int8`` and before
    ``residual_reuse``. ValueError for a block that is none of the transformer's own."""
    other = shared_copy(dit)
    for i, block in enumerate(other.blocks):
        if not isinstance(block, DiTBlock):
            raise ValueError("dit: its blocks are not its own any more; fuse it before residuals are reused")
        other.blocks[i] = FusedBlock(block, kernels)
    return other
