"""The use of a transformer's weights beyond its sizes, kept in a checkpoint's config.

Weights of the causal and of the bidirectional model have the same names and shapes. How many heads the camera lane has is in
``DiTConfig``; the rest is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamx.bounds import AnyLatentCount, LatentCount, Words
from dreamx.config import LATER
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.kv_cache import KVCache
from dreamx.model.packed_config import PackedMemoryConfig


@dataclass(frozen=True)
class CausalConfig:
    """Past that a causal transformer was trained to see, as ``KVCache`` holds it. The defaults are those of DreamX-World-5B."""

    chunk: LatentCount = 3
    """Latent frames that are denoised together."""
    window: LatentCount | None = 12
    """Most frames seen at once, the new ones included; the oldest that are no sinks give way. None: no limit."""
    sinks: AnyLatentCount = 3
    """Number of first frames that are never given up."""
    relative: bool = True
    """Count time from the start of the window (Infinity-RoPE; the official inference), else from the first frame."""
    alone: tuple[str, ...] = ("view",)  # the released pipeline makes no cache for its camera lane
    """Lanes in which the new frames see only each other."""
    from_before: bool = field(default=True, metadata=LATER)
    """Cameras are those of the first video frame of each latent, seen from the last latent before the chunk; else those of the
    last video frame, seen from the opening."""
    packed: PackedMemoryConfig | None = field(default=None, metadata=LATER)
    """Frames of the past, recalled for each chunk by what they show; None where that was not taught."""

    def cache(self, backend: AttentionBackend = TORCH) -> KVCache:
        """An empty past of this kind."""
        return KVCache(self.window, self.sinks, self.relative, self.alone, backend)


@dataclass(frozen=True)
class TransformerMeta:
    """``words``: text tokens that the transformer always reads, zeros at the end. ``past``: None if it is bidirectional."""

    words: Words = 512
    past: CausalConfig | None = None
