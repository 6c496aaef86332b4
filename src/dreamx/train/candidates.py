"""Groups of candidates: from one long history, made once, several continuations that differ in noise alone.

The history's keys and values are shared and frozen; candidates are one batch. Of each chunk of a candidate the past that it was
made from is kept, so that networks are asked about it, noised anew, with the very cache of play. Source: DreamX-World 1.0,
reinforcement learning; Astrolabe (a shared prefix of frozen keys and values).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Generator, Tensor

from dreamx import flow
from dreamx.bounds import BatchSize, LatentCount, Probability
from dreamx.frames import Frames, cat, repeat_rows
from dreamx.geometry.camera import Camera
from dreamx.model.kv_cache import KVCache
from dreamx.model.vae import GROUP, VAE, to_bytes
from dreamx.rollout import Sampler, noise_like
from dreamx.train.latents import LatentClips
from dreamx.train.score_matching import spoken
from dreamx.train.student_stream import StreamConfig, StudentStream
from dreamx.train.teacher_forcing import Predictor

_LEAD = 2  # latents of the history that are decoded before a clip, and not shown: a decoder carries on from one to the next
_AT_ONCE = 4  # candidates that are decoded at once


@dataclass(frozen=True)
class CandidatesConfig:
    """Histories, and the candidates that go on from each."""

    histories: BatchSize = 1
    """Histories of an update, a process; each begins with the first frame of a clip, along its cameras, with its words."""
    group: Annotated[int, Ge(2), Le(2**16)] = 24
    """Candidates of each history, which are compared with each other."""
    clip: LatentCount = 9
    """Latent frames of a candidate: these are decoded, scored and learned from."""
    longest: LatentCount = 81
    """Most latent frames of a history; each update draws how many, from one chunk up."""
    switch: Probability = 0.0
    """Probability of other words where the path of one clip ends and that of another begins."""
    drop_hint: Probability = 0.1
    """Probability of dropping what memory shows, a history."""


def check_candidates(cfg: CandidatesConfig, sampler: Sampler) -> None:
    """ValueError where histories and clips are no whole chunks, or the cache does not hold one."""
    if sampler.window < sampler.sinks + sampler.chunk:
        raise ValueError(
            f"sampler.window: {sampler.window} frames do not hold {sampler.sinks} sinks and a chunk of {sampler.chunk}"
        )
    for name, frames in (("clip", cfg.clip), ("longest", cfg.longest)):
        if frames % sampler.chunk:
            raise ValueError(f"candidates.{name} must be a multiple of sampler.chunk ({sampler.chunk}), not {frames}")


@dataclass(frozen=True)
class Candidates:
    """C histories of G candidates each, B = C G rows, those of one history side by side.

    lead: the newest latents of the history ``[B, 1 or 2]``; chunks: the candidates' chunks ``[B, chunk]`` in their order, each
    behind the past that it was made from. ``said`` of the frames names rows of ``prompts``.
    """

    group: int
    lead: Frames
    chunks: list[tuple[KVCache, Frames]]
    prompts: list[str]

    @property
    def clip(self) -> Frames:
        """The candidates ``[B, T]``, without gradient."""
        return cat(*(made for _, made in self.chunks))

    @property
    def path(self) -> Camera:
        """The cameras ``[B, 1 + T]`` of the history's last latent and of the clip's: of every fourth decoded frame."""
        return cat(self.lead[-1:], self.clip).camera

    def velocity(self, nets: Predictor, past: KVCache, noisy: Frames) -> Tensor:
        """Predict the velocity ``[B, chunk, C, H, W]`` of a noised chunk, given its past, which stays as it is."""
        return nets(*spoken(noisy, self.prompts), past.fork())

    @torch.no_grad()
    def decode(self, vae: VAE) -> Tensor:
        """Decode the clips alone: uint8 ``[B, 1 + 4 T, 3, H, W]``, of which the first frame is the history's last."""
        z = torch.cat([self.lead.z, self.clip.z], 1)
        hidden = GROUP * (len(self.lead) - 1)  # frames of the lead but its last
        return torch.cat([to_bytes(vae.decode(part).rgb[:, hidden:]).cpu() for part in z.split(_AT_ONCE)])


@torch.no_grad()
def make_candidates(
    cfg: CandidatesConfig,
    sampler: Sampler,
    data: LatentClips,
    policy: Predictor,
    history: int,
    rng: Generator,
    device: torch.device,
) -> Candidates:
    """Roll out histories of so many latent frames, each once, and from each a group of candidates, in one batch."""
    whole = history + cfg.clip
    walk = StreamConfig(cfg.histories, whole, sampler.chunk, (whole,), cfg.switch, cfg.drop_hint)
    stream = StudentStream(walk, sampler, data, device)
    stream.lengthen(whole, rng)
    made = cat(*(chunk for _, chunk in stream.chunks(policy, history, rng)))
    branches = stream.branch(cfg.group)
    lead = repeat_rows(made[-_LEAD:], cfg.group)
    return Candidates(cfg.group, lead, list(branches.chunks(policy, cfg.clip, rng, last=lead)), branches.prompts)


def noise_chunk(made: Frames, levels: Tensor, rng: Generator) -> tuple[Frames, Tensor]:
    """Noise a chunk ``[B, chunk]``, each row to one of ``levels``; the second is the velocity of it, ``[B, chunk, C, H, W]``."""
    drawn = levels[torch.randint(len(levels), (len(made.z), 1), generator=rng)]
    return flow.mix(made, drawn.to(made.z).expand_as(made.sigma), noise_like(made.z, rng))
