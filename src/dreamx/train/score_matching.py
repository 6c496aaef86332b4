"""Distribution matching: the losses of a student and of the critic that follows it.

A frozen teacher says in which direction noised samples become likelier under the data, a trained critic (the fake score) says the
same for the student's samples; the difference of both is the student's gradient. Source: DMD (Yin et al. 2024, arXiv 2311.18828,
equation 7) as Self Forcing has it (Huang et al. 2025, arXiv 2506.08009).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dreamx import flow
from dreamx.bounds import NonNegativeFloat, PositiveFloat, Probability
from dreamx.config import LATER
from dreamx.frames import Frames, cat, repeat, repeat_rows
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.rollout import guided, noise_like
from dreamx.train.trained_networks import Predictor


@dataclass(frozen=True)
class ScoreConfig:
    """Comparison of teacher and critic."""

    shift: PositiveFloat = 5.0
    """Shift of the noise levels towards 1 (``flow.shift``)."""
    least: Probability = 0.02
    """Lowest sigma."""
    most: Probability = 0.98
    """Highest sigma."""
    guidance: NonNegativeFloat = 3.0
    """Push of the teacher away from itself without words; cameras stay. The usual scale is one more; 0: none."""
    hints: bool = field(default=True, metadata=LATER)
    """Teacher and critic are given what memory showed. Without, what a student copies from its own mistakes is as unlikely to
    them as if it had drawn it."""

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"score.least must be at most score.most ({self.most:g}), not {self.least:g}")


@dataclass(frozen=True)
class StudentWindow:
    """Frames that a student made, to be scored together.

    ``frames [B, W]``: sigma 0, with the student's gradient; ``counted [B, W]``: the new ones; ``known [B, W]``: those that
    teacher and critic are given as they are. ``said`` of the frames names rows of ``prompts``. ``truth [B, W, C, H, W]``: the
    latents of the clips that the sequences began with, NaN where these are at their end; None: not wanted.
    """

    frames: Frames
    counted: Tensor
    known: Tensor
    prompts: list[str]
    truth: Tensor | None = None

    def noised(self, cfg: ScoreConfig, rng: torch.Generator) -> tuple[Frames, Tensor]:
        """Noise the window to one level a clip, without gradient; the second is the velocity of it, ``[B, W, C, H, W]``."""
        made = replace(self.frames, z=self.frames.z.detach(), hint=self.frames.hint if cfg.hints else None)
        sigma = flow.draw_sigma((len(made.z), 1), cfg.shift, rng).clamp(cfg.least, cfg.most).to(made.z)
        return flow.mix(made, torch.where(self.known, 0.0, sigma), noise_like(made.z, rng))

    def repeated(self, times: int) -> StudentWindow:
        """Return each row ``times`` times, side by side, to be noised to as many levels."""
        truth = None if self.truth is None else repeat(self.truth, times)
        counted, known = (repeat(x, times) for x in (self.counted, self.known))
        # Where frames name their prompts, these stay as they are; else there is one a row.
        prompts = [p for p in self.prompts for _ in range(times)] if self.frames.said is None else self.prompts
        return StudentWindow(repeat_rows(self.frames, times), counted, known, prompts, truth)

    def velocity(self, nets: Predictor, noisy: Frames, visible: Tensor | None, guidance: float = 0.0) -> Tensor:
        """Predict the velocity of the noised window ``[B, W, C, H, W]``.

        visible: mask of teacher forcing, for a causal network, which is shown the window without noise beside it; None: a
        bidirectional one, which sees the noised window alone. guidance: as in ``ScoreConfig``.
        """
        attend: Attend = MaskedAttention(visible)
        made, width = self.frames.with_z(self.frames.z.detach()), len(noisy)
        if noisy.hint is None:  # `ScoreConfig.hints`
            made = replace(made, hint=None)

        def net(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
            both = frames if visible is None else cat(made, frames)
            return nets(*spoken(both, prompts), attend)[:, -width:]

        if not guidance:
            return net(noisy, self.prompts, attend)
        words, none = self.prompts, [""] * len(self.prompts)
        # `guided` takes a tensor of text, which nobody reads here.
        pushed = guided(lambda f, _, a: net(f, words, a), lambda f, _, a: net(f, none, a), guidance)
        return pushed(noisy, noisy.sigma, attend)


def spoken(frames: Frames, prompts: list[str]) -> tuple[Frames, list[str]]:
    """The frames with the prompts that they read, and no others; ``said`` goes where no clip changes its words."""
    if frames.said is None:
        return frames, prompts
    if bool((frames.said == frames.said[:, :1]).all()):
        return replace(frames, said=None), [prompts[i] for i in frames.said[:, 0].tolist()]
    used, said = frames.said.unique(return_inverse=True)
    return replace(frames, said=said), [prompts[i] for i in used.tolist()]


def matching_gradient(made: Tensor, fake: Tensor, real: Tensor, counted: Tensor) -> Tensor:
    """The direction ``[B, T, C, H, W]`` in which samples ``made`` become likelier under the critic than under the teacher.

    fake, real: their estimates of the clean frames. It is divided by the teacher's distance in the mean of each clip's
    ``counted [B, T]`` frames, so that all noise levels pull alike (DMD, equation 8); 0 where that is no number. In float64.
    """
    made, fake, real = (x.detach().double() for x in (made, fake, real))
    share = counted.to(made)[..., None, None, None]
    each = (2, 3, 4)
    far = ((made - real).abs() * share).mean(each).sum(1) / share.flatten(1).sum(1)  # [B]
    return ((fake - real) / far[:, None, None, None, None]).nan_to_num(0.0, 0.0, 0.0) * share


def student_loss(window: StudentWindow, noisy: Frames, fake: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss whose gradient by the student's frames is ``matching_gradient``, up to a constant; and figures for the log.

    fake, real: velocities of the noised window ``[B, W, C, H, W]`` by critic and teacher.
    """
    made, counted = window.frames.z, window.counted
    fake, real = (flow.to_clean(noisy.z.double(), noisy.sigma.double(), v.double()) for v in (fake, real))
    pull = matching_gradient(made, fake, real, counted)
    loss = 0.5 * flow.velocity_loss(made.double(), made.detach().double() - pull, counted)
    gap = flow.velocity_loss(fake, real, counted).sqrt()
    return loss, {"gap": gap}


def memory_loss(window: StudentWindow) -> Tensor:
    """Mean squared error of the new frames to the clips where memory shows them, weighed by how far they are known; or 0.

    What memory shows wrongly weighs less: by ``exp(-e / 0.1)`` of its own mean squared error e, since who is held to a picture
    that he cannot know paints fog. Distribution matching alone lets a student drift from what it is shown. Ours; DMD has a term
    like it on pairs with noise.
    """
    made, hint, truth = window.frames.z, window.frames.hint, window.truth
    if hint is None or truth is None:
        return 0.0 * made.sum()
    there = truth.isfinite()
    truth = torch.where(there, truth, 0.0)
    right = (-(hint[:, :, :-1] - truth).square().mean(2, keepdim=True) / 0.1).exp()
    known = hint[:, :, -1:] * window.counted[..., None, None, None] * there[:, :, :1]
    return (known * right * (made - truth).square()).mean() / known.mean().clamp(min=1e-6)


def critic_loss(v: Tensor, target: Tensor, window: StudentWindow) -> Tensor:
    """Denoising loss of the critic on the student's samples, over the new frames."""
    return flow.velocity_loss(v, target, window.counted)
