"""Requests of sessions to the network, answered together: those whose shapes agree are rows of one batch.

A request that no other is like gets the very calls that ``rollout`` has for one session. In a batch each row draws its own noise
and has its own past, so that its numbers are those it would get alone, but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.frames import Frames, row, stack_rows
from dreamx.model.kv_cache import KVCache, stack_caches
from dreamx.rollout import Network, Rng, Sampler, denoise_chunk, guided, next_chunk, with_words, without_lane, without_past


@dataclass(frozen=True, eq=False)
class ChunkRequest:
    """One chunk ``[1, T]`` of one session, to be made under ``words [1, L, D]`` and written into ``cache``.

    lane: is the camera lane on? strength: of guidance by ``without [1, L, D]``, the words without what is told; with ``ahead`` by
    the past. ahead: a view further on (``lookahead``): it is made, and not written.
    """

    dit: Network
    chunk: Frames
    words: Tensor
    cache: KVCache
    sampler: Sampler
    rng: torch.Generator
    lane: bool = True
    without: Tensor | None = None
    strength: float = 0.0
    ahead: bool = False

    def batch_key(self) -> tuple[Hashable, ...]:
        """Return what two requests must have in common to be rows of one batch."""
        z, quiet = self.chunk.z, None if self.without is None else self.without.shape
        shapes = (z.shape, z.dtype, z.device, self.chunk.hint is None, self.words.shape, quiet)
        return id(self.dit), shapes, self.cache.batch_key(), self.sampler, self.lane, self.strength, self.ahead


def answer_request(request: ChunkRequest, made_known: Callable[[Frames], None]) -> None:
    """Answer one request that is no view ahead; ``made_known`` is given its chunk before that is written into its cache."""
    r, net = request, request.dit if request.lane else without_lane(request.dit, "view")
    _make(r, net, r.chunk, r.words, r.without, r.cache, r.rng, made_known)


def answer_requests(requests: Sequence[ChunkRequest]) -> list[tuple[Frames, KVCache]]:
    """Return, for each request, its chunk ``[1, T]`` and the past that it is now part of; with ``ahead`` the past as it was.

    A request that no other is like is written into its own cache; the caches of others stay what they are.
    """
    groups: dict[tuple[Hashable, ...], list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(request.batch_key(), []).append(i)
    answers: dict[int, tuple[Frames, KVCache]] = {}
    for members in groups.values():
        answers |= zip(members, _answer([requests[i] for i in members]), strict=True)
    return [answers[i] for i in range(len(requests))]


def guided_network(request: ChunkRequest, net: Network, without: Tensor | None) -> Network:
    """The network that makes the chunk of a request; ``net`` writes it. without: of all rows, ``[B, L, D]``."""
    if not request.strength:
        return net
    if request.ahead:
        return guided(net, without_past(net, request.sampler), request.strength)
    return net if without is None else guided(net, with_words(net, without), request.strength)


def _answer(alike: list[ChunkRequest]) -> list[tuple[Frames, KVCache]]:
    """Answer requests of one ``batch_key`` in one batch."""
    one, single = alike[0], len(alike) == 1
    net = one.dit if one.lane else without_lane(one.dit, "view")
    chunk = one.chunk if single else stack_rows([r.chunk for r in alike])
    words = one.words if single else torch.cat([r.words for r in alike])
    quiet = [r.without for r in alike if r.without is not None]
    cache, rng = (one.cache, one.rng) if single else (stack_caches([r.cache for r in alike]), [r.rng for r in alike])
    made = _make(one, net, chunk, words, torch.cat(quiet) if quiet else None, cache, rng)
    if single:
        return [(made, cache)]
    return [(row(made, i), r.cache if one.ahead else cache.row(i)) for i, r in enumerate(alike)]


def _make(
    one: ChunkRequest,
    net: Network,
    chunk: Frames,
    words: Tensor,
    quiet: Tensor | None,
    cache: KVCache,
    rng: Rng,
    made_known: Callable[[Frames], None] | None = None,
) -> Frames:
    denoiser = guided_network(one, net, quiet)
    if one.ahead:
        return denoise_chunk(denoiser, chunk, words, cache.fork(), one.sampler, rng)  # on a fork, so that the past stays
    return next_chunk(net, chunk, words, cache, one.sampler, rng, denoiser=denoiser, made_known=made_known)
