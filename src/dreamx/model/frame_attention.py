"""Attention of each frame to itself alone, as recalled frames are read: what a frame says then depends on no other.

So a frame that is recalled again keeps its keys and values, whichever others come with it, and ``masks.with_memory`` is the table
of the same in one sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from dreamx.geometry.camera import Camera
from dreamx.model.attention import Slot, heads_first
from dreamx.model.kv_cache import KVCache
from dreamx.model.positions import FramePositions, PositionEncoding

T = TypeVar("T")


class FrameAttention:
    """Attend frame by frame, and keep raw keys and values ``kv[slot]``, ``[B, T, P, N, D]`` each, for ``KVCache.insert``.

    The kernel, and keys and values of the text, are those of ``cache``.
    """

    def __init__(self, cache: KVCache) -> None:
        self.cache, self.backend = cache, cache.backend
        self.kv: dict[Slot, tuple[Tensor, Tensor]] = {}
        self._bound: dict[PositionEncoding, PositionEncoding] = {}

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        self.kv[slot] = k.detach(), v.detach()
        if place not in self._bound:
            where = place.where  # each in its own axes, at time 0: what is read does not depend on the axes of the walk
            pose = torch.eye(4).to(where.camera.pose).expand(where.camera.pose.shape)
            self._bound[place] = place.at(FramePositions(torch.zeros_like(where.index), Camera(pose, where.camera.lens)))
        here, frames = self._bound[place], q.shape[:2]
        each = (x.flatten(0, 1)[:, None] for x in (here.query(q), here.key(k), here.value(v)))  # [B T, 1, P, N, D]
        o = self.backend(*(heads_first(x) for x in each))  # [B T, N, P, D]
        return here.out(o.transpose(1, 2).unflatten(0, frames))

    def cached_text_kv(self, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T:
        """Return what the cache keeps of the text."""
        return self.cache.cached_text_kv(by, text, understand)
