"""Batches of fine-tuning: the same clips and the same noise, however many processes and micro-batches share a step.

Each clip of a step has random numbers of its own, by its number in the step; and the loss of a step is the mean of the losses of
its clips, so that it is also the mean over micro-batches and processes of as many clips each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from dreamx.flow import draw_sigma, mix
from dreamx.frames import Frames, cat
from dreamx.geometry.camera import Camera
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.model.causal_config import CausalConfig
from dreamx.model.chunk_attention import ChunkAttention
from dreamx.model.masks import teacher_forced
from dreamx.rollout import noise_like
from dreamx.train.augment import drop_hints, drop_text
from dreamx.train.camera_control import first_known
from dreamx.train.latents import LatentClips
from dreamx.train.teacher_forcing import TeachingConfig, teach


@dataclass(frozen=True)
class FlowBatch:
    """Some clips: ``frames [B, T or 2 T]`` as the network sees them, and of the last T of them the velocity ``target [B, T]``.

    counted: ``[B, T]``, which of these are to be made; prompts: B captions, or those that ``frames.said`` names.
    """

    frames: Frames
    target: Tensor
    counted: Tensor
    prompts: list[str]

    def to(self, device: torch.device) -> FlowBatch:
        """The same on a device."""
        return FlowBatch(self.frames.to(device), self.target.to(device), self.counted.to(device), self.prompts)

    def loss(self, v: Tensor) -> Tensor:
        """The mean over clips of each clip's mean squared error, from the velocities ``v`` of all frames."""
        error = (v[:, -self.target.shape[1] :].float() - self.target).square().mean(dim=(2, 3, 4))  # [B, T]
        share = self.counted.to(error)
        return ((error * share).sum(1) / share.sum(1).clamp(min=1)).mean()  # 0 where no frame of a clip counts


def stack(parts: Sequence[FlowBatch]) -> FlowBatch:
    """Several batches as one."""
    frames = [p.frames for p in parts]
    camera = Camera(torch.cat([f.camera.pose for f in frames]), torch.cat([f.camera.lens for f in frames]))
    hints = [f.hint for f in frames if f.hint is not None]
    before = accumulate([len(p.prompts) for p in parts], initial=0)
    said = [f.said + n for f, n in zip(frames, before, strict=False) if f.said is not None]
    z, sigma, index = (torch.cat([getattr(f, name) for f in frames]) for name in ("z", "sigma", "index"))
    return FlowBatch(
        Frames(z, sigma, index, camera, torch.cat(hints) if hints else None, torch.cat(said) if said else None),
        torch.cat([p.target for p in parts]),
        torch.cat([p.counted for p in parts]),
        [prompt for p in parts for prompt in p.prompts],
    )


def one_clip(cfg: TeachingConfig, past: CausalConfig | None, data: LatentClips, rng: torch.Generator) -> FlowBatch:
    """One clip: teacher-forced if the network is causal, else all of it at one noise level, the first frame mostly known."""
    if past is not None:
        now = teach(replace(cfg, batch=1), data, rng)
        return FlowBatch(cat(now.past, now.noisy), now.target, now.noisy.sigma > 0, now.prompts)
    known, prompts = data.batch(1, rng)
    known = drop_hints(known, cfg.drop_hint, 0.0, rng)
    sigma = draw_sigma((1, 1), cfg.shift, rng).expand(-1, len(known))
    noisy, target = mix(known, first_known(sigma, cfg.drop_first, rng), noise_like(known.z, rng))
    return FlowBatch(noisy, target, noisy.sigma > 0, drop_text(prompts, cfg.drop_text, rng))


def attention(past: CausalConfig | None, frames: int) -> Attend:
    """The attention among the frames of such a clip, of ``frames`` latents."""
    if past is None:
        return MaskedAttention()
    short = past.window is None or frames <= past.window or not past.relative
    if short and not past.alone:
        # The same as the other, in one product for all chunks.
        return MaskedAttention(teacher_forced(frames, past.chunk, past.window, past.sinks))
    return ChunkAttention(past)
