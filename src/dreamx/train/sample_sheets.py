"""Contact sheets during training: samples of the networks under the true frames.

Bidirectional and causal networks are sampled alike: a sampler whose chunk is the whole clip is a bidirectional one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.bounds import InputFolder, PositiveInt
from dreamx.checkpoints import native
from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.model.vae import VAE, VAEConfig
from dreamx.rollout import Sampler, noise_like, rollout
from dreamx.train.latents import LatentClips
from dreamx.train.run import Run
from dreamx.train.trained_networks import Networks, Predictor


@dataclass(frozen=True)
class SamplesConfig:
    """Contact sheets during training."""

    vae: InputFolder
    """Folder of the autoencoder that decodes them."""
    sampler: Sampler
    """How they are sampled."""
    every: PositiveInt = 500
    """Steps between contact sheets; there is one with each checkpoint of ``run.save_steps``, too."""
    clips: PositiveInt = 4
    """Rows of a sheet."""
    columns: PositiveInt = 11
    """Frames of a row."""


class Samples:
    """Draws ``samples.png`` of a run: for each clip a row of the truth (as the autoencoder sees it) above one of the dream.

    frames: latents of a row; None: all of the clip.
    """

    def __init__(self, cfg: SamplesConfig, data: LatentClips, frames: int | None = None) -> None:
        self.cfg, self.data, self.frames = cfg, data, frames
        self.vae = native.load(cfg.vae, "vae", VAE, VAEConfig).eval()

    @torch.no_grad()
    def draw(self, run: Run, nets: Networks, teacher: Predictor | None = None, sampler: Sampler | None = None) -> None:
        """Write the sheet if this step is one to look at.

        teacher: a row of its own below each dream, from the same noise, by way of ``sampler`` (None: that of the dreams).
        """
        step, saves = run.step + 1, run.cfg.save_steps
        if step % self.cfg.every and step != run.cfg.steps and (saves is None or step % saves):
            return
        rng = torch.Generator().manual_seed(run.cfg.seed)  # the same clips and noise in every sheet: only the network changes
        known, prompts = self.data.batch(self.cfg.clips, rng)
        known = known[: self.frames]
        again = torch.Generator()
        again.set_state(rng.get_state())
        with run.ema(nets):
            made = [_dream(nets, known, prompts, self.cfg.sampler, rng)]
        if teacher is not None:
            made.append(_dream(teacher, known, prompts, sampler or self.cfg.sampler, again))
        rows = torch.stack([self.vae.decode(z).rgb for z in (known.z, *made)], 1)  # [B, 2 or 3, F, 3, H, W]
        shown = torch.linspace(0, rows.shape[2] - 1, min(self.cfg.columns, rows.shape[2])).round().long()
        run.sheet("samples", rows[:, :, shown].flatten(0, 2), columns=len(shown))


def _dream(nets: Predictor, known: Frames, prompts: list[str], sampler: Sampler, rng: torch.Generator) -> Tensor:
    """Latents ``[B, T, C, h, w]`` along the cameras of ``known``, from its first frame."""

    def dit(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
        if known.said is not None:
            frames = replace(frames, said=known.said.gather(1, frames.index))
        return nets(frames, prompts, attend)  # through its own forward, which sharding knows

    noise, first = noise_like(known.z, rng), known.z[:, 0]
    # `known.z` stands where the text goes: `dit` above takes the prompts instead.
    return torch.cat([chunk.z for chunk in rollout(dit, noise, known.camera, known.z, sampler, rng, first, known.hint)], 1)
