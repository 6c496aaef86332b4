"""Sequence parallelism: each process has a slab of the rows of every frame, and in attention all rows of some of the heads.

Before attention an all-to-all trades tokens for heads, after it another trades them back; everything else is done token by token.
The past of a ``KVCache`` is sharded with it: each process keeps the keys and values of its heads. Source: DeepSpeed Ulysses
(Jacobs et al. 2023, arXiv 2309.14509, section 3.1); DreamX-World 1.0 shares a sequence over eight cards.

Rows and heads need not divide by the processes. A process that is left without a head of a lane computes one that another has,
too, and its answer is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dreamx.fast.row_slabs import Slabs, split_evenly
from dreamx.frames import Frames
from dreamx.model.attention import Attend, Slot, text_kv
from dreamx.model.dit import DiT
from dreamx.model.positions import PositionEncoding

T = TypeVar("T")


class Ulysses:
    """Attention of this process's slab of tokens ``[B, T, P, N, D]`` by ``attend``, which sees all tokens of some heads.

    rows: of the token grid of a whole frame.
    """

    def __init__(self, attend: Attend, slabs: Slabs, rows: int) -> None:
        self.attend, self.backend, self.slabs, self.rows = attend, attend.backend, slabs, rows
        self._places: dict[PositionEncoding, PositionEncoding] = {}  # all layers of a pass share one object

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        if place not in self._places:
            self._places[place] = replace(place, rows=self.rows)
        positions = [place.cols * n for n in self.slabs.sizes(self.rows)]  # tokens of each process's slab of a frame
        heads = heads_of(q.shape[-2], self.slabs.size)
        whole = self._to_heads(torch.stack([q, k, v]), positions, heads)  # [3, B, T, all P, own N, D]
        out = self.attend(slot, whole[0], whole[1], whole[2], self._places[place])
        return self._to_rows(out, positions, heads, q.shape[-2])

    def cached_text_kv(self, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T:
        """Return what the attention below keeps of the text, which every process reads whole."""
        return text_kv(self.attend, by, text, understand)

    def _to_heads(self, x: Tensor, positions: list[int], heads: list[range]) -> Tensor:
        sent = [x[..., h.start : h.stop, :] for h in heads]
        mine = len(heads[self.slabs.rank])
        shapes = [(*x.shape[:-3], p, mine, x.shape[-1]) for p in positions]
        return torch.cat(self._trade(sent, shapes), -3)

    def _to_rows(self, x: Tensor, positions: list[int], heads: list[range], count: int) -> Tensor:
        sent = list(x.split(positions, -3))
        shapes = [(*x.shape[:-3], positions[self.slabs.rank], len(h), x.shape[-1]) for h in heads]
        return torch.cat(self._trade(sent, shapes)[:count], -2)  # beyond as many processes as heads, answers are repeated

    def _trade(self, sent: list[Tensor], shapes: list[tuple[int, ...]]) -> list[Tensor]:
        """Give process i ``sent[i]`` and take a tensor of ``shapes[i]`` from it."""
        flat = torch.cat([x.flatten() for x in sent]).view(torch.uint8)
        width = sent[0].element_size()
        into, out = [torch.Size(s).numel() * width for s in shapes], [x.numel() * width for x in sent]
        room = flat.new_empty(sum(into))
        dist.all_to_all_single(room, flat, into, out, group=self.slabs.group)
        return [x.view(sent[0].dtype).view(s) for x, s in zip(room.split(into), shapes, strict=True)]


def heads_of(count: int, processes: int) -> list[range]:
    """Heads of each process; where there are fewer heads than processes, the last ones repeat some."""
    if count < processes:
        return [range(i % count, i % count + 1) for i in range(processes)]
    sizes = split_evenly(count, processes)
    return [range(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(processes)]


def sequence_parallel(dit: DiT, slabs: Slabs) -> Callable[[Frames, Tensor, Attend], Tensor]:
    """The same network over the processes of ``slabs``: each calls it with the same whole frames, and has the whole velocity.

    ValueError for a camera lane that pools tokens, which slabs would cut elsewhere, and for fewer rows of tokens than processes.
    """
    view, patch = dit.config.view, dit.config.patch
    if view is not None and view.pool != (1.0, 1.0):
        raise ValueError(f"view.pool: a lane pooled by {view.pool} cannot be shared by rows; take a checkpoint with (1, 1)")

    def net(frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        own = slabs.own(frames.z.shape[-2], patch)
        hint = None if frames.hint is None else frames.hint[..., own, :]
        mine = replace(frames, z=frames.z[..., own, :], hint=hint)
        return slabs.gather(dit(mine, text, Ulysses(attend, slabs, frames.z.shape[-2] // patch)))

    return net
