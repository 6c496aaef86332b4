"""Tables of features at the corners of cells of several sizes, where many cells share few entries (Instant NGP, Müller et al.
2022, arXiv 2201.05989): what is read at a point lies between the eight corners of its cell, of each size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class HashTable:
    """Finds the entries of points of a box. The box stands on a square of ``side`` metres and is ``high`` metres high.

    levels: cells along the side, of each level; cells are cubes. entries: most entries of a level, a power of two. Where its
    corners are fewer each has its own; else they share by a hash.
    """

    side: float
    high: float
    levels: tuple[int, ...]
    entries: int

    @property
    def rows(self) -> list[int]:
        """Entries of each level."""
        return [min(self.entries, self._corners(n)) for n in self.levels]

    def read(self, table: Tensor, point: Tensor, share: list[Tensor] | None = None) -> Tensor:
        """Return the features ``[N, levels C]`` of points ``[N, 3]``, metres from the corner of the box (y is the height).

        ``table [sum of rows, C]``. share ``[N]`` of each level: what is read is multiplied by it; None: by 1.
        """
        indices: list[Tensor] = []
        weights: list[Tensor] = []
        rows = self.rows
        for level, (n, count, first) in enumerate(zip(self.levels, rows, accumulate([0, *rows[:-1]]), strict=True)):
            size = self.side / n
            q = point / size
            q = q.clamp(min=0).minimum(point.new_tensor((n, self.high / size, n)) - 1e-3)  # the last cell has an end
            whole = q.floor()
            part = q - whole
            # [N, 2, 1, 1], [N, 1, 2, 1], [N, 1, 1, 2]: the two corners along x, y and z.
            x, y, z = (torch.stack([i, i + 1], -1).view(-1, *s) for i, s in zip(whole.long().unbind(-1), _ALONG, strict=True))
            u, v, w = (torch.stack([1 - i, i], -1).view(-1, *s) for i, s in zip(part.unbind(-1), _ALONG, strict=True))
            own = self._corners(n) <= self.entries
            index = (y * (n + 1) + z) * (n + 1) + x if own else (x ^ y * 2654435761 ^ z * 805459861) & (count - 1)
            weight = u * v * w if share is None else share[level][:, None, None, None] * u * v * w
            indices.append((index + first).flatten(1))
            weights.append(weight.flatten(1))
        index, weight = torch.cat(indices), torch.cat(weights)  # [levels N, 8]
        found = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight.to(table.dtype))
        return found.view(len(rows), len(point), table.shape[1]).transpose(0, 1).flatten(1)

    def _corners(self, n: int) -> int:
        return (n + 1) ** 2 * (int(self.high * n / self.side) + 2)


_ALONG = ((2, 1, 1), (1, 2, 1), (1, 1, 2))
