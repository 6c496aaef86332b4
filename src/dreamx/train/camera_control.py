"""Stage: learn how a place looks from every side. Bidirectional; the first frame is known, cameras steer the rest.

Source: DreamX-World 1.0, section 3.2. There a pre-trained backbone is frozen and the camera lane alone is trained
(``train=("view",)``); a world that starts from nothing trains everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dreamx.bounds import BatchSize, FrameCount, InputFile, OutputFolder, PositiveFloat, Probability
from dreamx.config import LATER
from dreamx.flow import draw_sigma, mix, velocity_loss
from dreamx.frames import Frames
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiTConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.rollout import noise_like
from dreamx.train.augment import drop_hints, drop_text
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import OptionalStart, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import Samples, SamplesConfig
from dreamx.train.trained_networks import Networks, load

_UNSAID = DiTConfig(channels=16, width=192, heads=6, layers=8, mlp=768, text=WordConfig().width)


@dataclass(frozen=True)
class CameraStage:
    """Train the transformer on whole clips, both ways in time; or some parts of it, as its camera lane."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFile
    """File of latents."""
    out: OutputFolder
    """Folder of the trained networks."""
    dit: DiTConfig = _UNSAID
    """Sizes of the transformer, where ``start`` is not given."""
    text: WordConfig = WordConfig()
    """Sizes of the text encoder, where ``start`` is not given."""
    start: OptionalStart = None
    """Folder of networks to go on from; None begins anew."""
    train: tuple[str, ...] | None = None
    """Parts of the network to train (``view``, ``blocks.3.mlp``); None trains all."""
    frames: FrameCount | None = None
    """Latent frames of a clip that are used; None uses all."""
    batch: BatchSize = 8
    """Clips in a step."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    shift: PositiveFloat = 5.0
    """Shift of the noise levels towards 1 (``flow.shift``)."""
    drop_text: Probability = 0.1
    """Probability of dropping the caption."""
    drop_first: Probability = 0.1
    """Probability of dropping the first frame, which is else given clean."""
    drop_hint: Probability = 0.1
    """Probability of dropping what memory shows."""
    samples: SamplesConfig | None = None
    """Contact sheets during training; None makes none."""
    more: tuple[InputFile, ...] = field(default=(), metadata=LATER)
    """Further files of latents, as long; a clip of any is as likely."""

    def __post_init__(self) -> None:
        if self.start is None and self.dit == _UNSAID:
            raise ValueError(
                "dit: without start its sizes have to be said, and whether it has a camera lane (dit.view:view-config)"
            )
        if self.start is None and self.dit.text != self.text.width:
            raise ValueError(f"dit.text must be text.width, not {self.dit.text} beside {self.text.width}: it reads those words")


def first_known(sigma: Tensor, drop_first: float, rng: torch.Generator) -> Tensor:
    """Noise levels ``[B, T]`` with the first frame known (sigma 0) in most rows."""
    known = torch.rand(len(sigma), generator=rng) >= drop_first
    return torch.cat([torch.where(known, 0.0, sigma[:, 0])[:, None], sigma[:, 1:]], 1)


def main(cfg: CameraStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "camera", ["dit", "text"], [cfg.data, cfg.start, *cfg.more], free=("dit", "text") if cfg.start else ())
    data, run = LatentClips(cfg.data, cfg.frames, cfg.more), Run(cfg.run)
    samples = Samples(cfg.samples, data) if cfg.samples else None
    nets = run.own(load(cfg.start) if cfg.start else Networks.new(cfg.dit, cfg.text), cfg.lr, cfg.train)
    data.refuse_other(nets.dit.config.channels)
    data.words = nets.text.config.words

    def batch(step: int) -> tuple[Frames, Tensor, list[str]]:
        rng = run.generator(step)
        known, prompts = data.batch(cfg.batch, rng)
        known = drop_hints(known, cfg.drop_hint, 0.0, rng)
        # One level for a whole clip: all frames are made at once.
        sigma = draw_sigma((cfg.batch, 1), cfg.shift, rng).expand(-1, len(known))
        noisy, target = mix(known, first_known(sigma, cfg.drop_first, rng), noise_like(known.z, rng))
        return noisy, target, drop_text(prompts, cfg.drop_text, rng)

    for noisy, target, prompts in run.steps(batch):
        with run.autocast():
            v = nets(noisy, prompts, MaskedAttention())  # no table: every frame sees every frame
        run.update(nets, velocity_loss(v, target, noisy.sigma > 0))  # a known frame has no velocity to learn
        if samples:
            samples.draw(run, nets)
    run.export(cfg.out, nets.parts())
