"""The autoregressive sampler. Play, distillation, reward and evaluation all call this one.

A chunk of new frames is made by a few passes of the network at falling noise levels, each seeing the frames in the cache; one
more pass over the finished chunk writes it into the cache. Source: Self Forcing; DreamX-World 1.0, section 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from dreamx import flow
from dreamx.bounds import AnyLatentCount, Denoising, LatentCount, PositiveFloat, Probability
from dreamx.config import LATER
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera
from dreamx.model.attention import Attend, LaneMask, Slot
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.frame_attention import FrameAttention
from dreamx.model.gap_rule import GapConfig
from dreamx.model.heap import tidy
from dreamx.model.kv_cache import KVCache
from dreamx.model.positions import FramePositions

#: Draws noise: one generator for a whole batch, or one for each row, whose noise is then that of a batch of one.
Rng = torch.Generator | Sequence[torch.Generator]

#: The network, or anything that answers like it: ``(frames, text, attend) -> velocity``.
Network = Callable[[Frames, Tensor, Attend], Tensor]


@dataclass(frozen=True)
class Sampler:
    """Denoising of chunks, and the contents of the cache."""

    steps: Denoising = 4
    """Network passes a chunk."""
    shift: PositiveFloat = 5.0
    """Shift of the noise levels towards 1."""
    stochastic: bool = True
    """Renoise afresh after each step, as few-step models want; else follow the flow."""
    chunk: LatentCount = 3
    """Latent frames that are denoised together."""
    window: LatentCount = 12
    """Latent frames that the cache holds, the new ones included."""
    sinks: AnyLatentCount = 3
    """First frames that are never given up."""
    context_noise: Probability = 0.0
    """Sigma that finished frames are noised to, and labelled with, when they become history."""
    flush: LatentCount | None = field(default=None, metadata=LATER)
    """Newest latent frames that stay in the cache, beside the sinks, when other words are told from one chunk to the next
    (KV flush, Infinity-RoPE); None: words change nothing in the cache."""

    def cache(self, backend: AttentionBackend = TORCH) -> KVCache:
        """An empty past of this sampler's window."""
        return KVCache(self.window, self.sinks, backend=backend)


def next_chunk(
    dit: Network,
    chunk: Frames,
    text: Tensor,
    cache: KVCache,
    sampler: Sampler,
    rng: Rng,
    exit_step: int | None = None,
    denoiser: Network | None = None,
    made_known: Callable[[Frames], None] | None = None,
) -> Frames:
    """Denoise one chunk (``denoise_chunk``) and write it into the cache; what was recalled for it (``recall``) is taken out.

    denoiser: makes the chunk that ``dit`` writes, as ``dit`` that is ``guided``; None: ``dit``. made_known: is given the chunk
    before it is written, for that may be shown meanwhile.
    """
    made = denoise_chunk(denoiser or dit, chunk, text, cache, sampler, rng, exit_step)
    if made_known is not None:
        made_known(made)
    cache.take_out()  # history is written without what was recalled, as ``masks.with_memory`` has it
    with torch.no_grad():  # a cache detaches what it keeps, so that a graph of this pass would be for nothing
        # History is noised to the level that it is labelled with. Labelled 0.2 but left clean, walks reached 11.5 dB,
        # noised to 0.1 and labelled so 14.0 dB (docs/LOG.md, 2026-11-23).
        stale, _ = flow.mix(made, torch.full_like(made.sigma, sampler.context_noise), noise_like(made.z, rng))
        write_context(dit, stale, text, cache)
    tidy()  # malloc keeps freed pieces: a walk of ten minutes grew by 2 %
    return made


def denoise_chunk(
    dit: Network,
    chunk: Frames,
    text: Tensor,
    attend: Attend,
    sampler: Sampler,
    rng: Rng | None = None,
    exit_step: int | None = None,
) -> Frames:
    """Make one chunk; the past, if ``attend`` is a cache, stays what it is. ``rng`` is for stochastic samplers alone.

    ``chunk`` holds noise where sigma is 1; frames of sigma 0 are known and stay as they are. ``text [B, L, D]``. Returns the
    chunk with every sigma 0. ``exit_step``: end with the clean estimate of this pass (counted from 0), the only one with a
    gradient (Self Forcing, section 3.3); None: all passes.
    """
    passes = list(pairwise(flow.schedule(sampler.steps, sampler.shift)))
    if exit_step is not None:
        passes = [*passes[:exit_step], (passes[exit_step][0], 0.0)]
    new = (chunk.sigma > 0).to(chunk.z)  # [B, T]: 1 for frames to be made, 0 for known ones
    x, keep = chunk.z, new[..., None, None, None] == 0
    if bool(new.any()):
        wanted = torch.is_grad_enabled()
        for number, (level, following) in enumerate(passes):
            sigma = level * new  # a known frame is said to be clean in every pass, as the first frame of Wan2.2-TI2V
            with torch.set_grad_enabled(wanted and exit_step in (None, number)):
                v = dit(chunk.with_z(x, sigma), text, attend)  # [B, T, C, H, W]
            if sampler.stochastic and following > 0:  # to 0 both ways end in the clean estimate, and no noise is needed
                assert rng is not None, "a stochastic sampler draws noise"
                moved = flow.renoise(x, sigma, following * new, v, noise_like(x, rng))
            else:
                moved = flow.euler(x, sigma, following * new, v)
            x = torch.where(keep, x, moved)  # known frames are put back after each step, as in the released sampler
    return chunk.with_z(x, torch.zeros_like(new))


def recall(dit: Network, frames: Frames, text: Tensor, cache: KVCache, rule: GapConfig | None = None) -> None:
    """Show known frames of the past to the next chunk alone: ``[M | window | chunk]``, as ``z_pack`` of DreamX-World 1.0 has it.

    ``frames [B, M]`` keep their index; their cameras are in the axes of the chunk's.
    """
    cache.insert(FramePositions(frames.index, frames.camera, rule=rule), read_frames(dit, frames, text, cache))


def read_frames(dit: Network, frames: Frames, text: Tensor, cache: KVCache) -> dict[Slot, tuple[Tensor, Tensor]]:
    """Return raw keys and values of known frames by slot, ``[B, M, P, N, D]``, each frame read by itself."""
    attend = FrameAttention(cache)
    dit(frames, text, attend)
    return attend.kv


def write_context(dit: Network, frames: Frames, text: Tensor, cache: KVCache) -> None:
    """Make finished frames part of the cache's past."""
    dit(frames, text, cache)  # only keys and values are wanted, which the cache takes
    cache.commit()


def rollout(
    dit: Network,
    noise: Tensor,
    camera: Camera,
    text: Tensor,
    sampler: Sampler,
    rng: torch.Generator,
    first: Tensor | None = None,
    hint: Tensor | None = None,
) -> Iterator[Frames]:
    """A whole trajectory, one chunk after another.

    ``noise [B, T, C, H, W]`` and ``camera [B, T]`` for all latent frames; ``first [B, C, H, W]`` is the known first latent,
    ``hint [B, T, C + 1, H, W]`` what is remembered of each.
    """
    frames = replace(clean(noise, camera), hint=hint)
    sigma = torch.ones_like(frames.sigma)
    if first is not None:
        noise, sigma = torch.cat([first[:, None], noise[:, 1:]], 1), torch.cat([torch.zeros_like(sigma[:, :1]), sigma[:, 1:]], 1)
    frames = frames.with_z(noise, sigma)
    cache = sampler.cache()
    for start in range(0, len(frames), sampler.chunk):
        yield next_chunk(dit, frames[start : start + sampler.chunk], text, cache, sampler, rng)


def noise_like(x: Tensor, rng: Rng) -> Tensor:
    """Normal noise from a generator on the CPU, so that a seed means the same on every device."""
    # Drawn in float32, then cast, so that a seed is the same noise in every dtype.
    if isinstance(rng, torch.Generator):
        return torch.randn(x.shape, generator=rng, dtype=torch.float32).to(x)
    return torch.cat([noise_like(one, r) for one, r in zip(x.split(1), rng, strict=True)])


def guided(dit: Network, without: Network, strength: float) -> Network:
    """``dit`` pushed away from the prediction of ``without``, the network without words or past. ``strength`` 0: ``dit`` itself.

    Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, equation 6). The network must have been trained without it
    now and then.
    """

    def pushed(frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        v = dit(frames, text, attend)
        return v + strength * (v - without(frames, text, attend))  # scale 1 + strength where unconditioned is scale 0

    return pushed


def without_past(dit: Network, sampler: Sampler) -> Network:
    """The network with an empty past, to be ``guided`` by: history guidance, Song et al. 2025, arXiv 2502.06764."""

    def fresh(frames: Frames, text: Tensor, _: Attend) -> Tensor:
        return dit(frames, text, sampler.cache())  # an empty past of its own, so that the true one is not touched

    return fresh


def with_words(dit: Network, words: Tensor) -> Network:
    """The network that reads ``words [1, L, D]`` whatever it is given: without an event, to be ``guided`` by."""

    def deaf(frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        return dit(frames, words.expand(len(frames.z), -1, -1), attend)

    return deaf


def without_lane(dit: Network, lane: str) -> Network:
    """The network with one of its lanes switched off."""

    def quiet(frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        return dit(frames, text, LaneMask(attend, lane))

    return quiet
