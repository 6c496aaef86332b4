"""Stage: sharpen the decoder. The encoder is frozen, so that latents keep their meaning; the decoder goes on learning.

A critic looks at pairs of neighbouring frames, true and decoded, patch by patch, and learns to separate them (hinge loss). The
decoder learns to fool it and to agree with the truth in the critic's own features (as in VQ-GAN, Esser et al. 2021, but without a
pre-trained network). Noise on the latents stands for the errors of the transformer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import (
    BatchSize,
    FrameCount,
    InputFolder,
    NonNegativeFloat,
    NonNegativeInt,
    OutputFolder,
    PositiveFloat,
    PositiveInt,
    Probability,
    Width,
)
from dreamx.checkpoints import native
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train.autoencoder import ClipWindows, Windows, latent_noise, reconstruction_loss, show
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig

#: The parts of an autoencoder that this stage trains.
PARTS = ("from_latent", "decoder", "out", "hint")


_NORMED = 8  # groups of channels that the critic's norms take together


@dataclass(frozen=True)
class DecoderStage:
    """Sharpen the decoder of a trained autoencoder against a critic."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFolder
    """Folder of clips."""
    start: StartFolder
    """Folder of the autoencoder."""
    out: OutputFolder
    """Folder of the autoencoder with the trained decoder."""
    batch: BatchSize = 4
    """Windows of clips in a step."""
    frames: FrameCount = 9
    """Video frames of a window: 4 k + 1."""
    lr: PositiveFloat = 5e-4
    """Peak learning rate of the decoder."""
    noise: NonNegativeFloat = 0.3
    """Highest deviation of the noise on the latents."""
    edges: NonNegativeFloat = 1.0
    """Weight of the loss of neighbour differences."""
    depth: NonNegativeFloat = 1.0
    """Weight of the loss of log-depth."""
    hints: Probability = 0.6
    """Share of windows whose decoder is shown what memory would show."""
    critic: tuple[Width, ...] = (32, 64, 128)
    """Widths of the critic's levels."""
    critic_lr: PositiveFloat = 1e-3
    """Peak learning rate of the critic."""
    fool: NonNegativeFloat = 0.4
    """Pull of the adversarial loss at the decoder's last layer, as a share of that of the other losses."""
    features: NonNegativeFloat = 0.5
    """Weight of the loss in the critic's features."""
    alone: NonNegativeInt = 100
    """Steps at the start in which only the critic learns adversarially; then both."""
    sheet_every: PositiveInt = 500
    """Steps between contact sheets."""

    def __post_init__(self) -> None:
        if not self.critic or any(width % _NORMED for width in self.critic):
            raise ValueError(f"critic must be widths that {_NORMED} divides, not {' '.join(map(str, self.critic)) or 'none'}")


class Critic(nn.Module):
    """Pairs of neighbouring frames ``[N, 6, H, W]`` -> features of every level, the last being a score for each patch."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        each = zip((6, *widths[:-1]), widths, strict=True)
        self.levels = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in each)
        self.norms = nn.ModuleList(nn.GroupNorm(_NORMED, w) for w in widths)
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pairs: Tensor) -> list[Tensor]:
        out: list[Tensor] = []
        x = pairs.contiguous(memory_format=torch.channels_last)
        for level, norm in zip(self.levels, self.norms, strict=True):
            x = F.leaky_relu(norm(level(x)), 0.2)  # group norms: with spectral norms its hinge loss stayed at 1.97 of 2
            out.append(x)
        return [*out, self.score(x)]


def pairs(video: Tensor) -> Tensor:
    """``[B, F, 3, H, W]`` -> neighbouring frames side by side on the channels, ``[B (F - 1), 6, H, W]``."""
    return torch.cat([video[:, :-1], video[:, 1:]], 2).flatten(0, 1)


def balance(loss: Tensor, other: Tensor, layer: Tensor) -> Tensor:
    """By what to multiply ``other`` so that it pulls as hard at ``layer`` as ``loss`` does (Esser et al. 2021, equation 7)."""
    pulls = [torch.autograd.grad(x, layer, retain_graph=True)[0].norm() for x in (loss, other)]
    return (pulls[0] / (pulls[1] + 1e-6)).clamp(max=1e3).detach()  # capped: a critic without gradient would ask for any weight


def main(cfg: DecoderStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "decoder", ["vae"], [cfg.data, cfg.start])
    vae = native.load(cfg.start, "vae", VAE, VAEConfig).eval()  # eval: the statistics of the latents stay
    run, clips = Run(cfg.run), ClipWindows([cfg.data], cfg.frames, cfg.hints if vae.config.hint else None)
    critic = Critic(cfg.critic)
    # Whole: `balance` takes gradients by hand, which sharded weights do not allow.
    run.own(vae, cfg.lr, [p for p in PARTS if getattr(vae, p) is not None], "vae", whole=True)
    run.own(critic, cfg.critic_lr, name="critic", whole=True)

    def batch(step: int) -> tuple[Windows, Tensor]:
        rng = run.generator(step)
        windows = clips.draw(cfg.batch, rng)
        return windows, latent_noise(windows.video, vae.config, cfg.noise, rng)

    for windows, noise in run.steps(batch):
        with run.autocast():
            planes, _ = vae(windows.video, noise, windows.hint)
        planes = planes.float()
        made, true = pairs(planes[:, :, :3]), pairs(windows.video)
        loss, parts = reconstruction_loss(planes, windows, vae, cfg.edges, cfg.depth)
        if run.step >= cfg.alone:
            with torch.no_grad():
                want = critic(true)  # features to agree with: no gradient through the truth
            seen = critic(made)
            alike = torch.stack([(a - b).abs().mean() for a, b in zip(seen[:-1], want[:-1], strict=True)]).mean()
            fooled = -seen[-1].mean()  # hinge loss of the generator
            share = cfg.fool * balance(loss, fooled, vae.out.weight)  # balanced: its gradient grows and shrinks with the critic
            loss = loss + share * fooled + cfg.features * alike
            parts |= {"alike": alike.detach(), "fooled": fooled.detach(), "share": share}
        run.update(vae, loss, parts)
        # Detached: the critic learns from the pictures and does not move the decoder.
        judged, false = critic(true)[-1], critic(made.detach())[-1]
        run.update(critic, F.relu(1 - judged).mean() + F.relu(1 + false).mean(), {"right": ((judged > 0).float().mean())})
        if (run.step + 1) % cfg.sheet_every == 0:
            show(run, vae, clips)
    show(run, vae, clips)
    run.export(cfg.out, {"vae": (vae, vae.config)})
