"""Pictures and latents cut into slabs of rows, one for each process of a group, and what they tell each other.

Slabs are as even as whole rows allow, the first ones larger by one. All functions are collective: every process of the group
calls them, with tensors that differ in nothing but their rows. Numbers travel as bytes, so that every dtype does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Slabs:
    """Processes of a torch.distributed group that share rows; ``group`` None: all processes."""

    group: dist.ProcessGroup | None = None

    @property
    def size(self) -> int:
        """Number of processes."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """Number of this process; its slab lies below those of lower numbers."""
        return dist.get_rank(self.group)

    def sizes(self, rows: int) -> list[int]:
        """Rows of each process's slab."""
        return split_evenly(rows, self.size)

    def own(self, rows: int, unit: int = 1) -> slice:
        """Rows of this process's slab, which is cut at multiples of ``unit``. ValueError where one would have none."""
        if rows % unit or rows // unit < self.size:
            raise ValueError(
                f"rows: {rows} rows in steps of {unit} do not give each of {self.size} processes a slab; use fewer processes"
            )
        sizes = self.sizes(rows // unit)
        start = unit * sum(sizes[: self.rank])
        return slice(start, start + unit * sizes[self.rank])

    def gather(self, x: Tensor) -> Tensor:
        """All slabs ``[..., rows, columns]`` below each other, on every process."""
        rows = torch.tensor([x.shape[-2]], device=x.device)
        every = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(every, rows, group=self.group)
        counts = [int(n) for n in every]
        room = x.new_zeros(*x.shape[:-2], max(counts), x.shape[-1])
        room[..., : x.shape[-2], :] = x
        return torch.cat([slab[..., :n, :] for slab, n in zip(self._exchange(room), counts, strict=True)], -2)

    def with_neighbours(self, x: Tensor, halo: int) -> Tensor:
        """This slab ``[..., rows, columns]`` with so many rows of the slab above and of that below, where there are any.

        ValueError where a slab has fewer rows than that.
        """
        if x.shape[-2] < halo:
            raise ValueError(f"rows: a slab of {x.shape[-2]} rows has no {halo} to lend; use fewer processes")
        edges = self._exchange(torch.stack([x[..., :halo, :], x[..., x.shape[-2] - halo :, :]]))
        above = [edges[self.rank - 1][1]] if self.rank else []
        below = [edges[self.rank + 1][0]] if self.rank + 1 < self.size else []
        return torch.cat([*above, x, *below], -2)

    def trim(self, x: Tensor, rows: int) -> Tensor:
        """Without so many rows at each side that has a neighbour."""
        return x[..., rows if self.rank else 0 : x.shape[-2] - (rows if self.rank + 1 < self.size else 0), :]

    def total(self, x: Tensor) -> Tensor:
        """Sum over the processes, the same on all of them."""
        x = x.clone()
        dist.all_reduce(x, group=self.group)
        return x

    def _exchange(self, x: Tensor) -> list[Tensor]:
        """Return what every process has, in their order."""
        sent = x.contiguous().view(torch.uint8)
        found = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(found, sent, group=self.group)
        return [y.view(x.dtype) for y in found]


def split_evenly(count: int, parts: int) -> list[int]:
    """Sizes of so many parts of ``count`` things, the first ones larger by one."""
    return [count // parts + (i < count % parts) for i in range(parts)]
