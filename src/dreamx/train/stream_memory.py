"""Packed memory of sequences side by side, for rollouts in training: frames are kept and recalled by the rule of play.

Keys and values of recalled frames are read anew for each chunk, since the student's weights change. Source: DreamX-World 1.0,
memory section; ``dreamx.packed_memory``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamx.frames import Frames, clean
from dreamx.geometry.camera import stack
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.packed_memory import PackedMemory


class StreamMemory:
    """One ``PackedMemory`` a sequence, on the CPU; cameras are in the axes of the sequence."""

    def __init__(self, config: PackedMemoryConfig, sequences: int) -> None:
        self.each = [PackedMemory(config) for _ in range(sequences)]

    def clear(self) -> None:
        """Begin new sequences."""
        self.each = [PackedMemory(memory.config) for memory in self.each]

    def remember(self, made: Frames) -> None:
        """Keep of a finished chunk ``[B, T]`` the frames that show something from somewhere new."""
        for memory, row in zip(self.each, _rows(made), strict=True):
            memory.remember(row, None, 0)

    def choose(self, chunk: Frames, held: Tensor) -> Frames | None:
        """Choose known frames ``[B, M]`` for a chunk ``[B, T]``, in the order of time; None where there are none.

        As many in each sequence, its best: as many as the one has that finds fewest. held: as in ``PackedMemory.choose``.
        """
        both = list(zip(self.each, _rows(chunk), strict=True))
        count = min(len(memory.choose(row, None, held)) for memory, row in both)
        if not count:
            return None
        chosen = [memory.choose(row, None, held, count) for memory, row in both]
        z = torch.stack([torch.stack([m.kept[i].z for i in best]) for m, best in zip(self.each, chosen, strict=True)])
        index = torch.tensor([[m.kept[i].index for i in best] for m, best in zip(self.each, chosen, strict=True)])
        camera = stack([m.camera[best] for m, best in zip(self.each, chosen, strict=True)])
        found = clean(z, camera.to(dtype=chunk.camera.pose.dtype))
        return Frames(found.z, found.sigma, index, found.camera).to(chunk.z.device)

    def state(self) -> list[dict[str, Tensor]]:
        """Return the memories as named tensors, to be saved."""
        return [memory.state() for memory in self.each]

    def restore(self, state: Sequence[dict[str, Tensor]]) -> None:
        """Take over memories that ``state`` returned."""
        self.clear()
        for memory, kept in zip(self.each, state, strict=True):
            memory.restore(kept)


def _rows(frames: Frames) -> list[Frames]:
    """Each sequence of frames ``[B, T]`` by itself ``[1, T]``, on the CPU."""
    here = frames.to(torch.device("cpu"))
    rows = (slice(i, i + 1) for i in range(len(here.z)))
    return [Frames(here.z[r], here.sigma[r], here.index[r], here.camera.map(lambda x, r=r: x[r])) for r in rows]
