"""Stage: train the small video autoencoder on clips, windows of a few groups at a time.

Loss: L1 of the colours, L1 of their differences between neighbours at three scales (it asks for edges, where plain L1 is
content with blur), and L1 of log-depth where depth is known. A little noise on the latents teaches the decoder to forgive
what the diffusion model will get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip, latent_count, refuse_held_out
from dreamx.model.vae import VAE, Pixels, VAEConfig


@dataclass(frozen=True)
class Batch:
    """Windows of clips. video: ``[B, F, 3, H, W]`` in [-1, 1]; depth: ``[B, F, H, W]`` metres, 0 where unknown."""

    video: Tensor
    depth: Tensor
    noise: Tensor


class Windows:
    """Random windows from a folder of clips, held in memory as bytes; the batch is a pure function of (seed, step)."""

    def __init__(self, folder: Path, frames: int, batch: int, seed: int, latent: tuple[int, int], noise: float) -> None:
        self.frames, self.batch, self.seed, self.latent, self.noise = frames, batch, seed, latent, noise
        latent_count(frames)
        self.videos: list[Tensor] = []
        self.depths: list[Tensor] = []
        for path in clip_files(folder):
            clip = Clip.load(path)
            refuse_held_out(clip.seed)
            if len(clip.video) < frames:
                raise ValueError(f"{path}: {len(clip.video)} frames are too few for windows of {frames}; lower stage.frames")
            self.videos.append(clip.video)
            self.depths.append(clip.depth if clip.depth is not None else torch.zeros_like(clip.video[:, 0]).half())

    def __call__(self, step: int) -> Batch:
        """The batch of one step, with left-right flips and time reversals."""
        g = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        videos: list[Tensor] = []
        depths: list[Tensor] = []
        for i in torch.randint(len(self.videos), (self.batch,), generator=g).tolist():
            start = int(torch.randint(len(self.videos[i]) - self.frames + 1, (1,), generator=g))
            video = self.videos[i][start : start + self.frames]
            depth = self.depths[i][start : start + self.frames]
            mirror, reverse = torch.rand(2, generator=g).lt(0.5).tolist()
            if mirror:
                video, depth = video.flip(-1), depth.flip(-1)
            if reverse:
                video, depth = video.flip(0), depth.flip(0)
            videos.append(video)
            depths.append(depth)
        video = torch.stack(videos).float().div_(127.5).sub_(1)
        depth = torch.stack(depths).float()
        channels, shrink = self.latent
        shape = (self.batch, latent_count(self.frames), channels, video.shape[-2] // shrink, video.shape[-1] // shrink)
        level = torch.rand(self.batch, 1, 1, 1, 1, generator=g) * self.noise
        return Batch(video, depth, torch.randn(shape, generator=g) * level)


def clip_files(folder: Path) -> list[Path]:
    """The clips of a folder in order of name; ValueError where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"data: no clips (*.safetensors) in {folder}; render some with `dreamx data`")
    return files


def reconstruction_loss(vae: VAE, planes: Tensor, batch: Batch, edges: float, depth: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Raw planes ``[B, F, 4, H, W]`` against the truth -> the loss, and its parts for the log."""
    rgb = planes[:, :, :3]
    colour = (rgb - batch.video).abs().mean()
    edge = edge_loss(rgb.flatten(0, 1), batch.video.flatten(0, 1))
    known = (batch.depth > 0) & torch.isfinite(batch.depth)
    error = (planes[:, :, 3] - vae.depth_to_plane(torch.where(known, batch.depth, 1.0))).abs()
    depths = (error * known).sum() / known.sum().clamp_min(1)
    parts = {"colour": colour.detach(), "edges": edge.detach(), "depth": depths.detach()}
    return colour + edges * edge + depth * depths, parts


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
