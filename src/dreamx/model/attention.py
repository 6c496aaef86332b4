"""The single seam of the network: ``attend(slot, q, k, v, place) -> out``.

``MaskedAttention`` attends inside one sequence, under a table of who sees whom: bidirectional, block-causal, teacher-forced.
``kv_cache.KVCache`` attends across calls: play and rollout. The network is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.block_attention import Group, block_attention, groups
from dreamx.model.gap_rule import GapConfig
from dreamx.model.positions import PositionEncoding

T = TypeVar("T")

_SMALL = 2**18  # rows times columns of a table: half a megabyte

#: Which attention of the network is asking: (layer, lane), the lane being "time" or "view".
Slot = tuple[int, str]

#: Raw keys and values ``[B, T, P, N, D]``, in the pieces in which they were kept.
KVPieces = tuple[tuple[Tensor, Tensor], ...]


class Attend(Protocol):
    """Attention as the network calls it. ``q, k, v`` and the answer are raw tokens ``[B, T, P, N, D]``.

    ``backend`` is the kernel that it computes with; the attention to text takes the same.
    """

    @property
    def backend(self) -> AttentionBackend: ...

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor: ...


@runtime_checkable
class KeepsText(Protocol):
    """Attention that keeps keys and values of the text from pass to pass."""

    def cached_text_kv(self, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T: ...


def learns_here(q: Tensor) -> bool:
    """Whether ``block_attention`` is worth it: gradients are wanted, on a CPU."""
    return q.is_cpu and q.requires_grad and torch.is_grad_enabled()


def attend_plainly(backend: AttentionBackend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``backend(q, k, v)`` over ``[B, N, L, D]``, written out as products where torch's kernel is slow backwards.

    That is for small tables in bfloat16 on a CPU: 8 x 8 heads of 384 rows and 64 columns took 26 ms forwards and backwards by
    torch, 5 so; in float32, and from a thousand rows on, torch is as fast or faster.
    """
    if not learns_here(q) or q.shape[-2] * k.shape[-2] > _SMALL or _autocast(q).dtype != torch.bfloat16:
        return backend(q, k, v)
    a, b, c = (_autocast(x) for x in (q, k, v))
    return ((a @ b.transpose(-1, -2)) * a.shape[-1] ** -0.5).softmax(-1).to(c.dtype) @ c


def _autocast(x: Tensor) -> Tensor:
    """Cast to the dtype of autocast where that is on, as torch's own attention does."""
    return x.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else x


def heads_first(x: Tensor) -> Tensor:
    """``[B, T, P, N, D] -> [B, N, T P, D]``."""
    return x.flatten(1, 2).transpose(1, 2)


def frames_first(x: Tensor, frames: int) -> Tensor:
    """``[B, N, T P, D] -> [B, T, P, N, D]``."""
    return x.transpose(1, 2).unflatten(1, (frames, -1))


class MaskedAttention:
    """Attention inside one sequence. ``visible [T, T]``: rows see columns; None lets everyone see everyone.

    Rows are attended a ``block`` of frames at a time, each over the frames that it sees at all, which spares most of the empty
    part of a causal table. Where gradients are wanted on a CPU, ``block_attention`` takes the place of ``backend``.

    gaps: ``[B, T]`` latent frames from a recalled frame to the chunk that recalls it, 0 for others; rule: how they are read.
    """

    def __init__(
        self,
        visible: Tensor | None = None,
        block: int = 7,
        backend: AttentionBackend = TORCH,
        gaps: Tensor | None = None,
        rule: GapConfig | None = None,
    ) -> None:
        self.visible = None if visible is None or bool(visible.all()) else visible  # flash kernels take no mask
        self.block, self.backend, self.gaps, self.rule = block, backend, gaps, rule
        self._bound: dict[PositionEncoding, PositionEncoding] = {}  # all layers of a pass share one object
        self._plans: dict[int, list[tuple[slice, Tensor, Tensor]]] = {}  # by tokens a frame: the camera lane may have fewer
        self._tables: dict[int, tuple[Group, ...]] = {}

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        if place not in self._bound:
            gaps = None if self.gaps is None else self.gaps.to(place.where.index.device)
            self._bound[place] = place.at(replace(place.where, gap=gaps, rule=self.rule).anchored())
        here = self._bound[place]  # the same positions in the axes of the last camera
        q, k, v = (heads_first(x) for x in (here.query(q), here.key(k), here.value(v)))  # [B, N, T P, D]
        if self.visible is None:
            o = attend_plainly(self.backend, q, k, v)
        else:
            if len(place.where) != len(self.visible):
                raise ValueError(f"the table is for {len(self.visible)} frames, but the sequence has {len(place.where)}")
            positions = q.shape[2] // len(place.where)  # tokens a frame
            if learns_here(q):
                # Masked attention of torch is slow backwards: 6.2 s of processor time a step against 4.6 s so.
                o = block_attention(_autocast(q), _autocast(k), _autocast(v), self._groups(positions))
            else:
                plan = self._plan(positions, q.device)
                seen = [self.backend(q[:, :, rows], k[:, :, cols], v[:, :, cols], mask) for rows, cols, mask in plan]
                o = torch.cat(seen, 2)
        return here.out(frames_first(o, len(place.where)))

    def _groups(self, positions: int) -> tuple[Group, ...]:
        """Groups of rows that see the same columns, for frames of so many tokens."""
        if positions not in self._tables:
            assert self.visible is not None
            self._tables[positions] = groups(self.visible, positions)
        return self._tables[positions]

    def _plan(self, positions: int, device: torch.device) -> list[tuple[slice, Tensor, Tensor]]:
        """Return, for frames of so many tokens: rows of tokens, the columns that any of them sees, and the mask between both."""
        if positions not in self._plans:
            assert self.visible is not None
            wide = self.visible.to(device).repeat_interleave(positions, 0).repeat_interleave(positions, 1)  # [T P, T P]
            step = self.block * positions  # 7 frames of rows at a time: 0.40 of a teacher-forced table is computed
            rows = [slice(i, i + step) for i in range(0, len(wide), step)]
            cols = [wide[r].any(0).nonzero()[:, 0] for r in rows]  # no slice: between sinks and window lies a gap
            self._plans[positions] = [(r, c, wide[r][:, c]) for r, c in zip(rows, cols, strict=True)]
        return self._plans[positions]


class LaneMask:
    """Attention with one ``lane`` switched off: its output is zero. The other lanes are unchanged."""

    def __init__(self, attend: Attend, lane: str) -> None:
        self.attend, self.lane, self.backend = attend, lane, attend.backend

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        o = self.attend(slot, q, k, v, place)  # computed all the same: a cache needs its keys when the lane is on again
        return torch.zeros_like(o) if slot[1] == self.lane else o


def text_kv(attend: Attend, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T:
    """Return ``understand(text)``; computed once for all passes through the same cache, unless gradients are on."""
    inner = attend.attend if isinstance(attend, LaneMask) else attend
    if isinstance(inner, KeepsText) and not torch.is_grad_enabled():  # with gradients every pass needs a graph of its own
        return inner.cached_text_kv(by, text, understand)
    return understand(text)
