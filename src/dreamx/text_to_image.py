"""The picture that a walk begins with when there are only words. A network of its own draws it, where a world has one.

A world learns what comes next from what it sees, and has little use for words; a picture from nothing has nothing but words. So
the same transformer, without memory and camera lane, is trained on single frames and their captions (stage ``painter`` of the
recipe). Our addition to DreamX-World 1.0, which begins from a picture always.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from dreamx.bounds import Denoising
from dreamx.frames import Frames
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.model.prompt import shorten
from dreamx.model.vae import VAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.rollout import Network, Sampler, denoise_chunk, guided


@dataclass(frozen=True)
class OpeningConfig:
    """First pictures from words."""

    steps: Denoising = 16
    """Network passes of a first picture, along the flow."""
    guidance: float | None = 2.0
    """Strength of guidance by the words (``rollout.guided``); None has none."""


def draw_first_picture(
    cfg: OpeningConfig, nets: tuple[Network, WordEncoder, VAE], noise: Frames, prompt: str, sampler: Sampler
) -> tuple[Frames, Tensor]:
    """A latent frame ``[1, 1]`` from ``noise`` and words, and its picture ``[1, 1, 3, H, W]`` in [-1, 1]."""
    dit, text, vae = nets

    def silent(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
        return dit(frames, text([""]), attend)

    net = dit if cfg.guidance is None else guided(dit, silent, cfg.guidance)
    made = denoise_chunk(
        net,
        noise,
        text([shorten(prompt, text.config.words)]),
        MaskedAttention(),
        replace(sampler, steps=cfg.steps, stochastic=False),
        None,
    )
    pixels, _ = vae.push(made.z[:, 0], None, None)
    return made, pixels.rgb
