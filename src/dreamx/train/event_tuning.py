"""Events stage: teach a causal network what is said to happen. The words of each latent are those that are told to it at play.

Event instruction tuning (DreamX-World 1.0, section 4.3): all of the network, clips with events mixed with plain ones, gradients
clipped hard (``run.clip``), a low rate. Of clips with events there is ideally each a second time without (``dreamx data
simulate --subset events still``), so that words are what tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from dreamx.bounds import FrameCount, InputFile, OutputFolder, PositiveFloat, Probability
from dreamx.config import LATER
from dreamx.flow import velocity_loss
from dreamx.model.word_encoder import WordConfig
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import Samples, SamplesConfig
from dreamx.train.teacher_forcing import Teaching, TeachingConfig, teach
from dreamx.train.trained_networks import load, renew_text


@dataclass(frozen=True)
class EventsStage:
    """Teach a causal network what is said to happen."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFile
    """File of latents of clips with events, and of the same without."""
    start: StartFolder
    """Folder of networks to go on from."""
    out: OutputFolder
    """Folder of the trained networks."""
    plain: InputFile | None = None
    """File of latents of plain clips, which are mixed in; None: none."""
    share: Probability = 0.5
    """Share of the batches that are of plain clips."""
    drop_scene: Probability = 0.5
    """Share of the clips whose scene is not told, so that an event is heard without."""
    teaching: TeachingConfig = TeachingConfig(changed=3.0)
    """Batches of teacher forcing."""
    frames: FrameCount | None = None
    """Latent frames of a clip that are used; None uses all."""
    samples: SamplesConfig | None = None
    """Contact sheets during training; None makes none."""
    lr: PositiveFloat = 3e-4
    """Peak learning rate."""
    text: WordConfig | None = None
    """A new text encoder of these sizes, where the one of START is too small or was never heard; None: go on with that one."""
    more: tuple[InputFile, ...] = field(default=(), metadata=LATER)
    """Further files with events; each is drawn from as often as DATA, one that is named twice twice as often."""


def main(cfg: EventsStage) -> None:
    """Train and write ``cfg.out``. ValueError: there is no event in ``cfg.data``."""
    files = {file: LatentClips(file, cfg.frames) for file in (cfg.data, *cfg.more)}
    for file, clips in files.items():
        if not clips.eventful:
            raise ValueError(
                f"{'data' if file == cfg.data else 'more'}: nothing happens in the clips of {file}; encode those of dreamx data "
                "simulate --subset events"
            )
    data = [files[file] for file in (cfg.data, *cfg.more)]
    claim(cfg, "events", ["dit", "text"], [*files, cfg.start, *([cfg.plain] if cfg.plain else [])])
    plain = LatentClips(cfg.plain, cfg.frames) if cfg.plain else None
    run = Run(cfg.run)
    samples = Samples(cfg.samples, data[0]) if cfg.samples else None
    start = load(cfg.start)
    nets = run.own(start if cfg.text is None else renew_text(start, cfg.text), cfg.lr)
    for clips in (*files.values(), *([plain] if plain else [])):
        clips.refuse_other(nets.dit.config.channels)
        clips.words, clips.drop_scene = nets.text.config.words, cfg.drop_scene

    def batch(step: int) -> Teaching:
        # Which kind it is does not depend on the process: all have the same number of frames to share out.
        rng = torch.Generator().manual_seed(step)
        also = plain is not None and float(torch.rand(1, generator=rng)) < cfg.share
        which = data[int(torch.randint(len(data), (1,), generator=rng))]
        return teach(cfg.teaching, plain if plain is not None and also else which, run.generator(step))

    for now in run.steps(batch):
        with run.autocast():
            v = now.velocity(nets, now.noisy)
        run.update(nets, velocity_loss(v, now.target, now.noisy.sigma > 0, now.weight))
        if samples:
            samples.draw(run, nets)
    run.export(cfg.out, nets.parts())
