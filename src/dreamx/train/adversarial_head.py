"""Adversarial head: tells noised windows of the student from noised true ones, by features of the critic; and pulls the student.

Distribution matching never sees data, so that errors of the teacher's score stay; this loss does. The head reads the middle block
of the critic, which it does not train: there the critic stays the score of the student alone, unlike in the source. Losses are
non-saturating (Goodfellow et al. 2014). Source: DMD2 (Yin et al. 2024, arXiv 2405.14867), section 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import NonNegativeFloat, PositiveFloat, Width
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import relative_to
from dreamx.model.dit import DiT
from dreamx.train.latents import LatentClips
from dreamx.train.score_matching import ScoreConfig, StudentWindow
from dreamx.train.trained_networks import Predictor


@dataclass(frozen=True)
class AdversarialConfig:
    """A head on the critic's features that tells windows of the student from true ones."""

    weight: NonNegativeFloat = 0.0
    """Weight of its loss in that of the student; 0: there is no head."""
    lr: PositiveFloat = 1e-4
    """Peak learning rate of the head."""
    width: Width = 64
    """Hidden channels of the head."""


class AdversarialHead(nn.Module):
    """Features ``[B, T, P, D]`` -> a logit for each frame ``[B, T]``, above 0 where it looks true; 0 everywhere at first."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Score each frame by the mean over its tokens."""
        return self.out(F.silu(self.hidden(self.norm(x.float()))).mean(2))[..., 0]


@contextmanager
def middle_features(dit: DiT) -> Iterator[list[Tensor]]:
    """Inside, collect what the middle block of ``dit`` returns in each pass, ``[B, T, P, width]``."""
    found: list[Tensor] = []

    def keep(_: nn.Module, given: object, made: Tensor) -> None:
        found.append(made)

    handle = dit.blocks[(len(dit.blocks) - 1) // 2].register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


def with_gradient(window: StudentWindow, noisy: Frames) -> Frames:
    """The noised window with the same numbers, through which a gradient reaches the student's frames."""
    z = window.frames.z
    return noisy.with_z(noisy.z + (1 - noisy.sigma)[..., None, None, None] * (z - z.detach()))


def real_window(like: StudentWindow, data: LatentClips, rng: Generator) -> StudentWindow:
    """Draw a true window, of as many clips and frames as ``like``, with hints in those frames alone that have one there.

    Where sequences begin with a picture (``anywhere`` of the clips is false) so does it, and its cameras are seen from there.
    """
    b, w = like.counted.shape
    device = like.frames.z.device
    known, prompts = data.batch(b, rng)
    start = int(torch.randint(len(known) - w + 1, (1,), generator=rng)) if data.anywhere else 0
    known = known[start : start + w].to(device)
    camera = known.camera if data.anywhere else relative_to(known.camera, known.camera[:, :1])
    hint = None
    if known.hint is not None and like.frames.hint is not None:  # else the head would look for hints
        hint = known.hint * (like.frames.hint[:, :, -1:].amax((3, 4), keepdim=True) > 0)
    frames = replace(clean(known.z, camera), hint=hint, said=known.said)
    return StudentWindow(frames, like.counted, like.known, prompts)


def separation_loss(true: Tensor, made: Tensor, counted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of the head from logits ``[B, T]`` of true and made frames, over the ``counted [B, T]``; and its accuracy."""
    true, made = true[counted], made[counted]
    right = ((true > 0).float().mean() + (made < 0).float().mean()) / 2
    return F.softplus(-true).mean() + F.softplus(made).mean(), {"accuracy": right}


def fooling_loss(made: Tensor, counted: Tensor) -> Tensor:
    """Loss of the student from logits ``[B, T]`` of its frames."""
    return F.softplus(-made[counted]).mean()


@torch.no_grad()
def real_features(
    like: StudentWindow, data: LatentClips, critic: Predictor, dit: DiT, visible: Tensor | None, cfg: ScoreConfig, rng: Generator
) -> Tensor:
    """Features ``[B, T, P, D]`` of a true window, noised as the student's are. ``dit``: the transformer within ``critic``."""
    true = real_window(like, data, rng)
    noisy, _ = true.noised(cfg, rng)
    with middle_features(dit) as found:
        true.velocity(critic, noisy, visible)
    return found[0][:, -len(noisy) :]
