"""Teacher forcing as a cache sees it: clean frames beside noisy ones, each chunk over exactly what ``KVCache`` would hold then.

``masks.teacher_forced`` is one table for all lanes, with every frame at its own index. A released causal transformer differs in
both: its camera lane sees the chunk alone, and time is counted from the start of the window, so that the first frames come nearer
as the window rolls. Here keys are encoded once for each chunk that sees them. No mask is needed: a chunk sees all it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.model.attention import Slot
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.positions import FramePositions, PositionEncoding


@dataclass(frozen=True)
class _Chunk:
    """Runs of frames of the sequence that are seen, the last of which look; where keys and queries are."""

    seen: tuple[slice, ...]
    own: slice
    keys: PositionEncoding
    queries: PositionEncoding


class ChunkAttention:
    """Attention over ``[clean | noisy]`` frames, as many of each, whose camera and index are the same in both halves.

    A clean chunk sees itself and the clean chunks before it, a noisy one itself and the clean ones: what is in the window of
    ``past``, its sinks included. ValueError where the frames are no whole number of chunks.
    """

    def __init__(self, past: CausalConfig, backend: AttentionBackend = TORCH) -> None:
        self.past, self.backend = past, backend
        self._plans: dict[PositionEncoding, list[_Chunk]] = {}  # all layers of a pass share one object a lane

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        if place not in self._plans:
            self._plans[place] = self._plan(place, slot[1] in self.past.alone)
        made: list[Tensor] = []
        for chunk in self._plans[place]:
            query = chunk.queries.query(q[:, chunk.own])  # [B, chunk, P, N, D]
            # Slices put together: the gradient of an index is ten times slower.
            key, value = (torch.cat([x[:, run] for run in chunk.seen], 1) for x in (k, v))
            key, value = chunk.keys.key(key), chunk.keys.value(value)
            o = self.backend(*(x.flatten(1, 2).transpose(1, 2) for x in (query, key, value)))  # [B, N, chunk P, D]
            made.append(chunk.queries.out(o.transpose(1, 2).unflatten(1, (self.past.chunk, -1))))
        return torch.cat(made, 1)

    def _plan(self, place: PositionEncoding, alone: bool) -> list[_Chunk]:
        frames, n = len(place.where) // 2, self.past.chunk
        if len(place.where) % 2 or frames % n:
            raise ValueError(f"{len(place.where)} frames are not twice a whole number of chunks of {n}; cut the clips to that")
        found: list[_Chunk] = []
        for half in (0, frames):
            for start in range(0, frames, n):
                own = slice(half + start, half + start + n)
                seen = (own,) if alone else (*held(self.past, start), own)
                where = place.where[torch.cat([torch.arange(run.start, run.stop) for run in seen])]
                if self.past.relative:
                    count = torch.arange(len(where), device=where.index.device).expand_as(where.index)
                    where = FramePositions(count, where.camera)
                where = where.anchored()
                found.append(_Chunk(seen, own, place.at(where), place.at(where[-n:])))
        return found


def held(past: CausalConfig, start: int) -> tuple[slice, ...]:
    """Runs of the frames before ``start`` that a cache holds while the chunk from there on is made."""
    if past.window is None or start + past.chunk <= past.window:
        return (slice(0, start),) if start else ()
    recent = past.window - past.chunk - past.sinks  # frames that fit beside sinks and new ones
    if recent < 0:
        raise ValueError(f"window: {past.window} frames do not hold {past.sinks} sinks and {past.chunk} new ones")
    return tuple(run for run in (slice(0, past.sinks), slice(start - recent, start)) if run.start < run.stop)
