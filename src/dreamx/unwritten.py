"""Latents that were shown without the transformer, until it takes over: then its past is what it would be, had it made them.

A place known by heart may be shown as it is (``WorldConfig.places_alone``), and nothing is written into the cache meanwhile: no
pass is spent. When something is to happen the transformer goes on from there, and these latents are written first, chunk by chunk
as they would have been.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx import flow
from dreamx.frames import Frames, as_hinted, cat
from dreamx.geometry.camera import Camera
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Network, Sampler, noise_like, write_context


def known_chunk(known: Frames | None, fresh: Frames) -> Frames:
    """Return a chunk ``[1, T]`` that is shown as its hint says, after the frames that were ``known`` before."""
    return as_hinted(fresh) if known is None else cat(known, as_hinted(fresh))


def as_history(made: Frames, sampler: Sampler, rng: torch.Generator) -> Frames:
    """The same chunk, noised to the level that history is labelled with (``rollout.next_chunk``)."""
    return flow.mix(made, torch.full_like(made.sigma, sampler.context_noise), noise_like(made.z, rng))[0]


def keep_unwritten(kept: tuple[Frames, ...], chunk: Frames, cache: KVCache) -> tuple[Frames, ...]:
    """Add a chunk to those that were not written; the oldest go that the window would not hold beside the sinks."""
    kept = (*kept, chunk)
    room = None if cache.window is None else cache.window - cache.sinks
    while room is not None and sum(len(c) for c in kept[1:]) >= room:
        kept = kept[1:]
    return kept


def write_unwritten(dit: Network, kept: tuple[Frames, ...], words: Tensor, cache: KVCache) -> None:
    """Write chunks into a cache under the words of their time. Of a past that does not reach up to them, only sinks stay."""
    if kept and cache.where is not None and int(cache.where.index[0, -1]) + 1 < int(kept[0].index[0, 0]):
        cache.cut(0)  # by a relative index they would follow frames of long ago
    for chunk in kept:
        write_context(dit, chunk, words, cache)


def unwritten_state(kept: tuple[Frames, ...]) -> dict[str, Tensor]:
    """Return the chunks as named tensors, to be saved."""
    if not kept:
        return {}
    every = cat(*kept)
    assert every.hint is not None, "they were shown as hinted"
    return {"z": every.z, "hint": every.hint, "index": every.index, "pose": every.camera.pose, "lens": every.camera.lens}


def restore_unwritten(state: dict[str, Tensor], sampler: Sampler) -> tuple[Frames, ...]:
    """Return the chunks of which ``unwritten_state`` is. ValueError where those are no whole chunks."""
    if not state:
        return ()
    z, index = state["z"], state["index"]
    if z.shape[1] % sampler.chunk or bool((index.diff() != 1).any()) or int(index[0, 0]) < 0:
        raise ValueError(f"unwritten.index is no run of whole chunks of {sampler.chunk}")
    sigma = torch.full(tuple(z.shape[:2]), sampler.context_noise).to(z)
    every = Frames(z, sigma, index, Camera(state["pose"], state["lens"]), state["hint"])
    return tuple(every[i : i + sampler.chunk] for i in range(0, len(every), sampler.chunk))
