"""Teacher forcing: clean frames beside noisy ones, so that one pass trains every chunk of a rollout.

Source: DreamX-World 1.0, section 3.5; Causal Forcing; Self Forcing. Noise levels are drawn per chunk. The clean half is not
quite clean: a little noise, whose level the model is given, prepares it for its own errors (the noise augmentation of GameNGen).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dreamx.bounds import (
    AnyLatentCount,
    BatchSize,
    FrameCount,
    InputFile,
    LatentCount,
    NonNegativeFloat,
    OutputFolder,
    PositiveFloat,
    Probability,
)
from dreamx.config import LATER
from dreamx.flow import draw_sigma, mix
from dreamx.frames import Frames, cat
from dreamx.geometry.camera import Camera
from dreamx.model.attention import Attend, LaneMask, MaskedAttention
from dreamx.model.masks import teacher_forced
from dreamx.rollout import noise_like
from dreamx.train.augment import drop_hints, drop_text, hide_side
from dreamx.train.camera_control import first_known
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig
from dreamx.train.trained_networks import Predictor


@dataclass(frozen=True)
class ForcedBatchConfig:
    """Fields that batches of teacher forcing share, with and without recalled frames."""

    batch: BatchSize = 8
    """Clips in a step."""
    shift: PositiveFloat = 5.0
    """Shift of the noise levels towards 1 (``flow.shift``)."""
    chunk: LatentCount = 3
    """Latent frames that are denoised together."""
    windows: tuple[tuple[LatentCount, AnyLatentCount], ...] = ((12, 3),)
    """(window, sinks) of the caches to prepare for; one is drawn each step."""
    history_noise: Probability = 0.0
    """Highest sigma of the history, which is the clean half."""
    drop_text: Probability = 0.1
    """Probability of dropping the caption, a clip."""
    drop_hint: Probability = 0.1
    """Probability of dropping what re-projected memory shows, a clip."""
    drop_view: Probability = 0.0
    """Probability of switching the camera lane off, a batch."""
    hint_noise: NonNegativeFloat = 0.0
    """Highest deviation of the noise on what re-projected memory shows."""

    def check_windows(self, name: str) -> None:
        """ValueError, which calls the config ``name``, where a window does not hold its sinks and a chunk, or there is none."""
        if not self.windows:
            raise ValueError(f"{name}.windows must be one window and its sinks at least")
        for window, sinks in self.windows:
            if window < sinks + self.chunk:
                raise ValueError(f"{name}.windows: {window} frames do not hold {sinks} sinks and a chunk of {self.chunk}")


@dataclass(frozen=True)
class TeachingConfig(ForcedBatchConfig):
    """Batches of teacher forcing: clips, chunks, noise levels."""

    drop_first: Probability = 0.1
    """Probability of dropping the first frame, a clip."""
    hide_hint: Probability = field(default=0.0, metadata=LATER)
    """Probability of hiding what memory shows on one side of the picture, a clip, so that the network learns to draw that."""
    unseen: NonNegativeFloat = 0.0
    """Extra weight of places that memory does not know, beside 1."""
    changed: NonNegativeFloat = 0.0
    """Extra weight of places that look otherwise than a latent before and than memory knows them: there something happens."""
    ahead: Probability = 0.0
    """Share of clips whose target lies some frames further on, as when a world looks ahead."""

    def __post_init__(self) -> None:
        self.check_windows("teaching")


@dataclass(frozen=True)
class TeacherForcedStage:
    """Fields that the stages of teacher forcing share."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFile
    """File of latents."""
    start: StartFolder
    """Folder of networks to go on from; they are the teacher where there is one."""
    out: OutputFolder
    """Folder of the trained networks."""
    teaching: TeachingConfig = TeachingConfig()
    """Batches of teacher forcing."""
    frames: FrameCount | None = None
    """Latent frames of a clip that are used; None uses all."""
    samples: SamplesConfig | None = None
    """Contact sheets during training; None makes none."""


@dataclass(frozen=True)
class Teaching:
    """One batch: ``past`` and ``noisy`` hold the same frames ``[B, T]``, as history and to be made.

    ``noise`` is what ``noisy`` was mixed with, ``target`` its velocity; ``level [B, T]`` is the index among the given levels;
    ``weight [B, T, 1, H, W]`` how much each place counts (None: all alike).
    """

    past: Frames
    noisy: Frames
    noise: Tensor
    target: Tensor
    level: Tensor
    prompts: list[str]
    table: Attend
    weight: Tensor | None

    def velocity(self, nets: Predictor, noisy: Frames) -> Tensor:
        """Predict the velocity of the noisy half ``[B, T, C, H, W]``."""
        # [B, 2 T, ...] in, the second half out. The time indices of both halves are the same.
        return nets(cat(self.past, noisy), self.prompts, self.table)[:, len(self.past) :]


def teach(cfg: TeachingConfig, data: LatentClips, rng: torch.Generator, levels: Tensor | None = None) -> Teaching:
    """A batch whose noise is one of ``levels`` (sigmas) in each chunk, or any level when None; a pure function of ``rng``."""
    known, further, prompts = data.both(cfg.batch, rng)
    known = drop_hints(known, cfg.drop_hint, cfg.hint_noise, rng)
    if cfg.hide_hint:
        known = hide_side(known, cfg.hide_hint, rng)
    b, t = known.sigma.shape
    made = known
    if further is not None and cfg.ahead:
        made = _some(known, drop_hints(further, 0, cfg.hint_noise, rng), torch.rand(b, generator=rng) < cfg.ahead)
    chunks = -(-t // cfg.chunk)
    level = torch.randint(1 if levels is None else len(levels), (b, chunks), generator=rng)
    # [B, chunks]: one level a chunk, since a chunk is denoised as one.
    sigma = draw_sigma((b, chunks), cfg.shift, rng) if levels is None else levels[level]
    level, sigma = (x.repeat_interleave(cfg.chunk, 1)[:, :t] for x in (level, sigma))
    noise = noise_like(known.z, rng)
    noisy, target = mix(made, first_known(sigma, cfg.drop_first, rng), noise)
    stale = cfg.history_noise * torch.rand(b, 1, generator=rng).expand(b, t)  # one level a clip, from 0: each clip is one walk
    past, _ = mix(known, stale, noise_like(known.z, rng))  # noise of its own, as at play
    # One for the batch: the table is shared by its rows.
    window, sinks = cfg.windows[int(torch.randint(len(cfg.windows), (1,), generator=rng))]
    table: Attend = MaskedAttention(teacher_forced(t, cfg.chunk, window, sinks))
    if float(torch.rand(1, generator=rng)) < cfg.drop_view:
        table = LaneMask(table, "view")  # so that the camera lane can be switched off at play
    return Teaching(past, noisy, noise, target, level, drop_text(prompts, cfg.drop_text, rng), table, _weight(cfg, made))


def _weight(cfg: TeachingConfig, made: Frames) -> Tensor | None:
    """Return how much each place counts, ``[B, T, 1, H, W]``."""
    if made.hint is None or not (cfg.unseen or cfg.changed):
        return None
    known = made.hint[:, :, -1:]
    # Most of a clip is known to memory, so most of the loss asks for copying.
    weight = 1 + cfg.unseen * (1 - known)
    if cfg.changed:  # by latents of deviation 1, of which memory shows those of a picture that stands still to about _BLUR
        before = torch.cat([made.z[:, :1], made.z[:, :-1]], 1)
        off = [(made.z - other).abs().mean(2, keepdim=True) for other in (before, made.hint[:, :, :-1])]
        weight = weight + cfg.changed * known * (torch.minimum(*off) - _BLUR).clamp(0, 1)
    return weight


_BLUR = 0.3  # by how much latents that memory shows are off in the mean where nothing happens


def _some(known: Frames, further: Frames, rows: Tensor) -> Frames:
    """``known``, but in these ``rows [B]`` the frames further on; the first frame stays, it opens the clip."""
    assert known.hint is not None and further.hint is not None
    there = rows[:, None] & (torch.arange(len(known)) > 0)  # [B, T]

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(there.view(*there.shape, *(1,) * (a.ndim - 2)), b, a)

    camera = Camera(pick(known.camera.pose, further.camera.pose), pick(known.camera.lens, further.camera.lens))
    return replace(known, z=pick(known.z, further.z), camera=camera, hint=pick(known.hint, further.hint))
