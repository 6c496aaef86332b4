"""``hint-copy``: a world whose transformer is replaced by what its memory shows. What it scores was not learned.

The session is the same: the same memory, re-projected by the same depth, the same encoder and decoder. Only the latents that the
transformer would make are those of the hint (``model.memory_hint``), and 0 where memory knows nothing. Nothing is dreamt ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Sampler
from dreamx.world import World


class HintNetwork(nn.Module):
    """Answers as a transformer that is sure of what memory shows: ``(frames, text, attend) -> velocity``."""

    def forward(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        """Velocity ``[B, T, C, H, W]`` that leads to the hint's latents, to 0 where nothing is known."""
        sure = torch.zeros_like(frames.z)
        if frames.hint is not None:
            latents, known = frames.hint[:, :, :-1], frames.hint[:, :, -1:]
            sure = torch.where(known > 0, latents, 0.0)
        sigma = frames.sigma[..., None, None, None].to(frames.z)
        return torch.where(sigma > 0, (frames.z - sure) / sigma.clamp_min(1e-6), 0.0)


class NoPast(KVCache):
    """A cache of which nothing is kept, for a network that looks at nothing."""

    def commit(self) -> None:
        """Forget the pass."""

    def fork(self) -> KVCache:
        """Return another one."""
        return NoPast()


@dataclass(frozen=True)
class HintSampler(Sampler):
    """One step leads to the hint."""

    def cache(self, backend: AttentionBackend = TORCH) -> KVCache:
        """Nothing to attend to."""
        return NoPast()


def hint_copy(world: World) -> World:
    """The world with its transformer replaced. The given one stays what it is; networks are shared.

    Where it knows a place by heart, that is shown as memory is; without ``world.places`` memory is all that it has.
    """
    other, old = world.fork(), world.config.sampler
    other.dit = HintNetwork()  # pyright: ignore[reportAttributeAccessIssue] (it answers like a DiT)
    sampler = HintSampler(steps=1, stochastic=False, chunk=old.chunk, window=old.window, sinks=old.sinks)
    other.config = replace(world.config, sampler=sampler, foresight=None, past=None)
    return other
