"""Stage: train the small video autoencoder on clips, windows of a few groups at a time.

Loss: L1 of the colours, L1 of their differences between neighbours at three scales (it asks for edges, where plain L1 is
content with blur), and L1 of log-depth where depth is known. A little noise on the latents teaches the decoder to forgive
what the diffusion model will get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip, latent_count, refuse_held_out
from dreamx.data.encode import clip_files
from dreamx.model import weights
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train.run import Run, RunConfig


@dataclass(frozen=True)
class AutoencoderStage:
    """``data`` is a folder of clips, ``out`` the folder of the trained network, ``start`` one to go on from (None begins anew
    with ``vae``). A step sees ``batch`` windows of ``frames`` video frames. ``noise``: the most noise on the latents, whose
    deviation is 1. ``edges`` and ``depth``: weights of those losses beside that of the colours."""

    run: RunConfig
    data: Path
    out: Path
    vae: VAEConfig = field(default_factory=VAEConfig)
    start: Path | None = None
    batch: int = 2
    frames: int = 9
    lr: float = 1.5e-3
    noise: float = 0.1
    edges: float = 1.0
    depth: float = 0.3
    sheet_every: int = 500


@dataclass(frozen=True)
class Windows:
    """Pieces of clips. video: ``[B, F, 3, H, W]`` in [-1, 1]; depth: ``[B, F, H, W]`` metres, 0 where unknown."""

    video: Tensor
    depth: Tensor


def main(cfg: AutoencoderStage) -> None:
    """Train, measure the latents, write ``cfg.out`` and a contact sheet."""
    run, clips = Run(cfg.run), Clips(cfg.data, cfg.frames)
    vae = VAE(weights.read_config(cfg.start, "vae", VAEConfig) if cfg.start else cfg.vae)
    if cfg.start:
        weights.load_into(vae, cfg.start / "vae.safetensors")
    run.own(vae, cfg.lr, name="vae", methods=("encode", "decode", "measure"))

    def batch(step: int) -> tuple[Windows, Tensor]:
        rng = run.generator(step)
        windows = clips.draw(cfg.batch, rng)
        return windows, latent_noise(windows.video, vae.config, cfg.noise, rng)

    for windows, noise in run.steps(batch):
        planes, _ = vae(windows.video, noise)
        loss, parts = reconstruction_loss(planes, windows, vae, cfg.edges, cfg.depth)
        run.update(vae, loss, parts)
        if (run.step + 1) % cfg.sheet_every == 0:
            show(run, vae, clips)
    with run.ema(vae):
        vae.measure(clips.draw(1, run.generator(i)).video for i in range(_MEASURED))
    show(run, vae, clips)
    run.export(cfg.out, {"vae": (vae, vae.config)})


class Clips:
    """The clips of a folder in memory, as bytes; ValueError for clips of evaluation scenes and for those that are too short."""

    def __init__(self, folder: Path, frames: int) -> None:
        latent_count(frames)
        self.frames = frames
        self.videos: list[Tensor] = []
        self.depths: list[Tensor] = []
        for path in clip_files(folder):
            clip = Clip.load(path)
            refuse_held_out(clip.seed)
            if len(clip.video) < frames:
                raise ValueError(f"{path}: {len(clip.video)} frames are too few for windows of {frames}; lower stage.frames")
            self.videos.append(clip.video)
            self.depths.append(clip.depth if clip.depth is not None else torch.zeros_like(clip.video[:, 0], dtype=torch.half))

    def draw(self, size: int, rng: torch.Generator, vary: bool = True) -> Windows:
        """``size`` random windows; with ``vary`` half of them mirrored and half of them backwards."""
        pairs: list[tuple[Tensor, Tensor]] = []
        for i in torch.randint(len(self.videos), (size,), generator=rng).tolist():
            start = int(torch.randint(len(self.videos[i]) - self.frames + 1, (1,), generator=rng))
            pair = [x[start : start + self.frames] for x in (self.videos[i], self.depths[i])]
            mirror, back = torch.rand(2, generator=rng).lt(0.5).tolist() if vary else (False, False)
            axes = [0] * back + [-1] * mirror
            pairs.append((pair[0].flip(axes), pair[1].flip(axes)))
        video, depth = (torch.stack(x).float() for x in zip(*pairs, strict=True))
        return Windows(video / 127.5 - 1, depth)


def latent_noise(video: Tensor, vae: VAEConfig, most: float, rng: torch.Generator) -> Tensor:
    """Noise for the latents of a batch of videos; every row has its own strength, up to ``most``."""
    b, f, _, h, w = video.shape
    strength = torch.rand(b, 1, 1, 1, 1, generator=rng) * most
    return torch.randn(b, latent_count(f), vae.latent, h // vae.shrink, w // vae.shrink, generator=rng) * strength


def show(run: Run, vae: VAE, clips: Clips) -> None:
    """Write ``sheet.png``: for a few windows the truth, what the autoencoder makes of it, and the depth, true and decoded."""
    truth = clips.draw(_SHOWN, run.generator(0), vary=False)
    with run.ema(vae), torch.no_grad():
        made = vae.decode(vae.encode(truth.video))
    depths = [vae.depth_to_plane(d)[:, :, None].expand(-1, -1, 3, -1, -1) for d in (truth.depth, made.depth)]
    rows = torch.stack([truth.video, made.rgb, *depths], 1)  # [B, 4, F, 3, H, W]
    run.sheet("sheet", rows.flatten(0, 2), columns=clips.frames)
    run.say(f"sheet: {float(psnr(made.rgb, truth.video).mean()):.2f} dB")


def reconstruction_loss(planes: Tensor, truth: Windows, vae: VAE, edges: float, depth: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Raw planes ``[B, F, 4, H, W]`` against the truth -> the loss, and its parts for the log."""
    rgb = planes[:, :, :3]
    colour = (rgb - truth.video).abs().mean()
    edge = edge_loss(rgb.flatten(0, 1), truth.video.flatten(0, 1))
    known = (truth.depth > 0) & torch.isfinite(truth.depth)
    error = (planes[:, :, 3] - vae.depth_to_plane(torch.where(known, truth.depth, 1.0))).abs()
    depths = (error * known).sum() / known.sum().clamp_min(1)
    with torch.no_grad():
        parts = {"psnr": psnr(rgb, truth.video).mean(), "colour": colour, "edges": edge, "depth": depths}
    return colour + edges * edge + depth * depths, {k: v.detach() for k, v in parts.items()}


def edge_loss(a: Tensor, b: Tensor, scales: int = 3) -> Tensor:
    """Mean L1 between the neighbour differences of two batches of pictures ``[N, 3, H, W]``, each scale half as large."""
    total = a.new_zeros(())
    delta = a - b  # the difference of differences is the difference of the difference
    for scale in range(scales):
        if scale:
            delta = F.avg_pool2d(delta, 2)
        total = total + (delta[..., 1:] - delta[..., :-1]).abs().mean() + (delta[..., 1:, :] - delta[..., :-1, :]).abs().mean()
    return total / scales


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal to noise in dB of colours in [-1, 1], over everything but the first axis: ``[B]``."""
    return -10 * ((a - b) / 2).square().flatten(1).mean(1).clamp_min(1e-10).log10()


_MEASURED = 256  # windows that the spread of the latents is taken from
_SHOWN = 4
