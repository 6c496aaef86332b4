"""Stage: sharpen the decoder, or make it smaller. The encoder is frozen, so that latents keep their meaning; the decoder learns.

A critic looks at pairs of neighbouring frames, true and decoded, patch by patch, and learns to separate them (hinge loss). The
decoder learns to fool it and to agree with the truth in the critic's own features (as in VQ-GAN, Esser et al. 2021, but without a
pre-trained network). Noise on the latents stands for the errors of the transformer.

With ``prune`` the decoder first loses its least important channels (``train.channel_pruning``), and the truth is what the whole
decoder makes of the same latents: DreamX-World 1.0 plays with a decoder of a quarter of the channels. That is how a decoder of
Wan2.2 is made smaller, too, from a file of latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import (
    BatchSize,
    FrameCount,
    InputPath,
    NonNegativeFloat,
    NonNegativeInt,
    OutputFolder,
    PositiveFloat,
    PositiveInt,
    Probability,
    Width,
)
from dreamx.checkpoints import beside
from dreamx.clip import latent_count
from dreamx.model.vae import VAE
from dreamx.model.wan_vae import WanVAE
from dreamx.train.autoencoder import ClipWindows, Windows, latent_noise, reconstruction_loss, show
from dreamx.train.channel_pruning import channel_groups, importance, prune, pruned_config
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.trainable import freeze

#: The parts of an autoencoder that this stage trains.
PARTS = ("from_latent", "decoder", "out", "hint")
#: The same of the autoencoder of Wan2.2.
WAN_PARTS = ("post_quant_conv", "decoder")


_NORMED = 8  # groups of channels that the critic's norms take together


@dataclass(frozen=True)
class DecoderStage:
    """Sharpen the decoder of a trained autoencoder against a critic, or prune it and let it learn from what it was."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputPath
    """Folder of clips; for the autoencoder of Wan2.2 a file of its latents."""
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
    prune: Probability = 0.0
    """Share of the channels of the decoder's every level that go, the least important first; the truth is then what the whole
    decoder makes of the same latents. 0: it keeps them all, and the truth is the clips."""
    probes: PositiveInt = 8
    """Batches by which the channels are weighed before they are pruned."""
    crop: PositiveInt = 16
    """Latent rows and columns of a window, of the autoencoder of Wan2.2."""

    def __post_init__(self) -> None:
        if self.prune == 1:
            raise ValueError("prune must be below 1, or no channel is left; the paper's decoder has lost 0.75")
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
    """The factor by which ``other`` pulls as hard at ``layer`` as ``loss`` does (Esser et al. 2021, equation 7)."""
    pulls = [torch.autograd.grad(x, layer, retain_graph=True)[0].norm() for x in (loss, other)]
    return (pulls[0] / (pulls[1] + 1e-6)).clamp(max=1e3).detach()  # capped: a critic without gradient would ask for any weight


@dataclass(frozen=True, eq=False)
class Course:
    """Subject and material of a decoder's training. net: the autoencoder; parts, last: what of it learns, and the last layer.

    draw: a batch; planes: raw planes ``[B, F, 3 or 4, H, W]`` that a net makes of one; truth: of a batch; show: write a contact
    sheet.
    """

    net: VAE | WanVAE
    parts: tuple[str, ...]
    last: Tensor
    draw: Callable[[int, torch.Generator], Any]
    planes: Callable[[VAE | WanVAE, Any], Tensor]
    truth: Callable[[Any], Windows]
    show: Callable[[], None]


def main(cfg: DecoderStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "decoder", ["vae"], [cfg.data, cfg.start])
    whole = beside.open_autoencoder(cfg.start).eval()  # eval: the statistics of the latents stay
    run = Run(cfg.run)
    course = small_course(cfg, run, whole) if isinstance(whole, VAE) else wan_course(cfg, run, whole)
    vae, critic = course.net, Critic(cfg.critic)
    # Whole: `balance` takes gradients by hand, which sharded weights do not allow.
    run.own(vae, cfg.lr, course.parts, "vae", whole=True)
    run.own(critic, cfg.critic_lr, name="critic", whole=True)

    for batch in run.steps(lambda step: course.draw(cfg.batch, run.generator(step))):
        with run.autocast():
            planes = course.planes(vae, batch)
        planes, windows = planes.float(), course.truth(batch)
        made, true = pairs(planes[:, :, :3]), pairs(windows.video)
        loss, parts = reconstruction_loss(planes, windows, vae if isinstance(vae, VAE) else None, cfg.edges, cfg.depth)
        if run.step >= cfg.alone:
            with torch.no_grad():
                want = critic(true)  # features to agree with: no gradient through the truth
            seen = critic(made)
            alike = torch.stack([(a - b).abs().mean() for a, b in zip(seen[:-1], want[:-1], strict=True)]).mean()
            fooled = -seen[-1].mean()  # hinge loss of the generator
            share = cfg.fool * balance(loss, fooled, course.last)  # balanced: its gradient grows and shrinks with the critic
            loss = loss + share * fooled + cfg.features * alike
            parts |= {"alike": alike.detach(), "fooled": fooled.detach(), "share": share}
        run.update(vae, loss, parts)
        # Detached: the critic learns from the pictures and does not move the decoder.
        judged, false = critic(true)[-1], critic(made.detach())[-1]
        run.update(critic, F.relu(1 - judged).mean() + F.relu(1 + false).mean(), {"right": ((judged > 0).float().mean())})
        if (run.step + 1) % cfg.sheet_every == 0:
            course.show()
    course.show()
    run.export(cfg.out, {"vae": (vae, vae.config)})


def small_course(cfg: DecoderStage, run: Run, whole: VAE) -> Course:
    """Windows of clips, for our autoencoder: they are the truth, or with ``prune`` what ``whole`` makes of them."""
    if not cfg.data.is_dir():
        raise ValueError(f"data: {cfg.data} is a file, and this autoencoder learns from a folder of clips; give that")
    clips = ClipWindows([cfg.data], cfg.frames, cfg.hints if whole.config.hint else None)
    parts = tuple(p for p in PARTS if getattr(whole, p) is not None)

    def draw(size: int, rng: torch.Generator) -> tuple[Windows, Tensor]:
        windows = clips.draw(size, rng)
        return windows, latent_noise(windows.video, whole.config, cfg.noise, rng)

    def planes(net: VAE | WanVAE, batch: tuple[Windows, Tensor]) -> Tensor:
        assert isinstance(net, VAE)
        return net(batch[0].video, batch[1], batch[0].hint)[0]

    @torch.no_grad()
    def taught(batch: tuple[Windows, Tensor]) -> Windows:
        made = planes(whole, batch).float()
        return Windows(made[:, :, :3].clamp(-1, 1), whole.plane_to_depth(made[:, :, 3]), batch[0].hint)

    net = whole if cfg.prune == 0 else pruned(cfg, run, whole, parts, draw, planes)
    assert isinstance(net, VAE)
    return Course(
        *(net, parts, net.out.weight, draw, planes, (lambda b: b[0]) if net is whole else taught, lambda: show(run, net, clips))
    )


def wan_course(cfg: DecoderStage, run: Run, whole: WanVAE) -> Course:
    """Pieces of latents, each from the first frame of its clip on, for the autoencoder of Wan2.2 that made them."""
    if cfg.prune == 0:
        raise ValueError("prune: a decoder of Wan2.2 is not sharpened, but pruned, as by 0.75; say how much of it goes")
    if cfg.data.is_dir():
        raise ValueError(
            f"data: {cfg.data} is a folder, and a decoder of Wan2.2 learns from a file of latents (dreamx data encode)"
        )
    clips = LatentClips(cfg.data, latent_count(cfg.frames))
    clips.refuse_other(whole.config.latent)
    clips.anywhere = False  # the first latent of a piece is one frame, as it is of a clip
    whole.to(run.device)

    def draw(size: int, rng: torch.Generator) -> Tensor:
        z = clips.batch(size, rng)[0].z  # [B, T, C, h, w]
        for dim in (3, 4):
            room = z.shape[dim] - min(cfg.crop, z.shape[dim])
            start = int(torch.randint(room + 1, (1,), generator=rng))
            z = z.narrow(dim, start, min(cfg.crop, z.shape[dim]))
        strength = torch.rand(size, 1, 1, 1, 1, generator=rng) * cfg.noise
        return (z + torch.randn(z.shape, generator=rng) * strength).to(run.device)

    def planes(net: VAE | WanVAE, z: Tensor) -> Tensor:
        assert isinstance(net, WanVAE)
        made, state = list[Tensor](), None
        for latent in z.unbind(1):
            rgb, state = net.planes(latent, state)
            made.append(rgb)
        return torch.cat(made, 1)  # [B, F, 3, H, W]

    @torch.no_grad()
    def taught(z: Tensor) -> Windows:
        video = planes(whole, z).clamp(-1, 1)
        return Windows(video, torch.zeros_like(video[:, :, 0]))

    net = pruned(cfg, run, whole, WAN_PARTS, draw, planes)
    assert isinstance(net, WanVAE)

    @torch.no_grad()
    def sheet() -> None:
        z = draw(min(cfg.batch, 4), run.generator(0))
        with run.ema(net):
            rows = torch.stack([taught(z).video, planes(net, z).clamp(-1, 1)], 1)
        run.sheet("sheet", rows.flatten(0, 2).cpu(), columns=cfg.frames)

    return Course(net, WAN_PARTS, net.decoder.conv_out.weight, draw, planes, taught, sheet)


def pruned(
    cfg: DecoderStage,
    run: Run,
    whole: VAE | WanVAE,
    parts: tuple[str, ...],
    draw: Callable[[int, torch.Generator], Any],
    planes: Callable[[VAE | WanVAE, Any], Tensor],
) -> VAE | WanVAE:
    """The autoencoder with a narrower decoder; ``whole`` keeps its own, without gradients. All processes prune alike."""
    freeze(whole, parts, "vae")
    groups = channel_groups(whole)
    learned = {k: p for k, p in whole.named_parameters() if p.requires_grad}
    worth = [torch.zeros(group.units, dtype=torch.float64) for group in groups]
    for i in range(cfg.probes):
        rng = run.generator(i, _PROBES)
        made = planes(whole, draw(cfg.batch, rng))
        signs = torch.randint(2, made.shape, generator=rng).to(made) * 2 - 1
        found = torch.autograd.grad(made, list(learned.values()), signs, allow_unused=True)
        gradients = {k: g for k, g in zip(learned, found, strict=True) if g is not None}  # pyright: ignore[reportUnnecessaryComparison]
        for group, value in zip(groups, worth, strict=True):
            value += importance(group, [(learned, gradients)])
    whole.requires_grad_(False)
    net = prune(whole, pruned_config(whole.config, cfg.prune), groups, worth).eval()
    counts = [sum(p.numel() for k, p in x.named_parameters() if k in learned) for x in (whole, net)]
    run.say(f"pruned: {counts[1]:,} of {counts[0]:,} numbers of the decoder are left")
    return net


_PROBES = 2**41  # a stream of random numbers that all processes share; their own are numbered from 0
