"""Stage: learn how a place looks from every side. Bidirectional; the first frame is known, cameras steer the rest.

Source: DreamX-World 1.0, section 3.2. There a pre-trained backbone is frozen and the camera lane alone is trained
(``train=("view",)``); a world that starts from nothing trains everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.bounds import BatchSize, FrameCount, InputFile, OutputFolder, PositiveFloat, Probability
from dreamx.flow import draw_sigma, mix, velocity_loss
from dreamx.frames import Frames
from dreamx.model.attend import Table
from dreamx.model.dit import DiTConfig
from dreamx.model.text import WordConfig
from dreamx.rollout import noise_like
from dreamx.train.latents import LatentClips, drop, forget
from dreamx.train.networks import Networks, load
from dreamx.train.outputs import OptionalStart, claim
from dreamx.train.run import Run, RunConfig
from dreamx.train.samples import Samples, SamplesConfig


@dataclass(frozen=True)
class CameraStage:
    """What to train from what.

    data, out: a latents file; the folder that the trained networks go to.
    start:     networks to go on from; None begins anew with ``dit`` and ``text``.
    train:     names of the parts to train; None trains all.
    frames:    latent frames of a clip; None takes all.
    shift:     of the noise levels, see ``flow.shift``.
    drop_text, drop_first: how often nothing is said, and not even the first frame is known; drop_hint: nor anything remembered.
    samples:   what to look at meanwhile; None saves the time.
    """

    run: RunConfig
    data: InputFile
    out: OutputFolder
    dit: DiTConfig
    text: WordConfig = WordConfig()
    start: OptionalStart = None
    train: tuple[str, ...] | None = None
    frames: FrameCount | None = None
    batch: BatchSize = 8
    lr: PositiveFloat = 1e-3
    shift: PositiveFloat = 5.0
    drop_text: Probability = 0.1
    drop_first: Probability = 0.1
    drop_hint: Probability = 0.1
    samples: SamplesConfig | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.dit.text != self.text.width:
            raise ValueError(f"dit.text must be text.width, not {self.dit.text} beside {self.text.width}: it reads those words")


def first_known(sigma: Tensor, drop_first: float, rng: torch.Generator) -> Tensor:
    """Noise levels ``[B, T]`` with the first frame known (sigma 0) in most rows."""
    known = torch.rand(len(sigma), generator=rng) >= drop_first
    return torch.cat([torch.where(known, 0.0, sigma[:, 0])[:, None], sigma[:, 1:]], 1)


def main(cfg: CameraStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "camera", ["dit", "text"], [cfg.data, cfg.start])
    data, run = LatentClips(cfg.data, cfg.frames), Run(cfg.run)
    samples = Samples(cfg.samples, data) if cfg.samples else None
    nets = run.own(load(cfg.start) if cfg.start else Networks.new(cfg.dit, cfg.text), cfg.lr, cfg.train)
    data.refuse_other(nets.dit.config.channels)

    def batch(step: int) -> tuple[Frames, Tensor, list[str]]:
        rng = run.generator(step)
        known, prompts = data.batch(cfg.batch, rng)
        known = forget(known, cfg.drop_hint, 0.0, rng)
        sigma = draw_sigma((cfg.batch, 1), cfg.shift, rng).expand(-1, len(known))
        noisy, target = mix(known, first_known(sigma, cfg.drop_first, rng), noise_like(known.z, rng))
        return noisy, target, drop(prompts, cfg.drop_text, rng)

    for noisy, target, prompts in run.steps(batch):
        v = nets(noisy, prompts, Table())
        run.update(nets, velocity_loss(v, target, noisy.sigma > 0))
        if samples:
            samples.draw(run, nets)
    run.export(cfg.out, nets.parts())
