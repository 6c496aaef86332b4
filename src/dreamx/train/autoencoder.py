"""Stage: train the small video autoencoder on clips, windows of a few groups at a time.

Loss: L1 of the colours, L1 of their differences between neighbours at three scales (it asks for edges, where plain L1 is
content with blur), and L1 of log-depth where depth is known. A little noise on the latents teaches the decoder to forgive
what the diffusion model will get wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import (
    BatchSize,
    FrameCount,
    InputFolder,
    NonNegativeFloat,
    OutputFolder,
    PositiveFloat,
    PositiveInt,
    Probability,
)
from dreamx.checkpoints import native
from dreamx.clip import Clip, latent_count, refuse_held_out
from dreamx.data.clip_list import clip_files
from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train.hints import draw_sources, render_hint, unknown_view
from dreamx.train.outputs import OptionalStart, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@dataclass(frozen=True)
class AutoencoderStage:
    """Train the video autoencoder."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFolder
    """Folder of clips."""
    out: OutputFolder
    """Folder of the trained network."""
    vae: VAEConfig = field(default_factory=VAEConfig)
    """Its sizes, where ``start`` is not given."""
    start: OptionalStart = None
    """Folder of a network to go on from; None begins anew."""
    batch: BatchSize = 2
    """Windows of clips in a step."""
    frames: FrameCount = 9
    """Video frames of a window: 4 k + 1."""
    lr: PositiveFloat = 1.5e-3
    """Peak learning rate."""
    noise: NonNegativeFloat = 0.1
    """Highest deviation of the noise on the latents, whose own deviation is 1."""
    edges: NonNegativeFloat = 1.0
    """Weight of the loss of neighbour differences, beside 1 of the colours."""
    depth: NonNegativeFloat = 0.3
    """Weight of the loss of log-depth."""
    hints: Probability = 0.5
    """Share of windows whose decoder is shown what memory would show."""
    sheet_every: PositiveInt = 500
    """Steps between contact sheets."""


@dataclass(frozen=True)
class Windows:
    """Pieces of clips. video: ``[B, F, 3, H, W]`` in [-1, 1]; depth: ``[B, F, H, W]`` metres, 0: unknown; hint ``[B, F]``."""

    video: Tensor
    depth: Tensor
    hint: View | None = None


def main(cfg: AutoencoderStage) -> None:
    """Train, measure the latents, write ``cfg.out`` and a contact sheet."""
    claim(cfg, "autoencoder", ["vae"], [cfg.data, cfg.start])
    run = Run(cfg.run)  # first of all: it seeds
    vae = native.load(cfg.start, "vae", VAE, VAEConfig) if cfg.start else VAE(cfg.vae)
    clips = ClipWindows([cfg.data], cfg.frames, cfg.hints if vae.config.hint else None)
    run.own(vae, cfg.lr, name="vae", methods=("encode", "decode", "measure"))

    def batch(step: int) -> tuple[Windows, Tensor]:
        rng = run.generator(step)
        windows = clips.draw(cfg.batch, rng)
        return windows, latent_noise(windows.video, vae.config, cfg.noise, rng)

    for windows, noise in run.steps(batch):
        with run.autocast():
            planes, _ = vae(windows.video, noise, windows.hint)
        loss, parts = reconstruction_loss(planes, windows, vae, cfg.edges, cfg.depth)
        run.update(vae, loss, parts)
        if (run.step + 1) % cfg.sheet_every == 0:
            show(run, vae, clips)
    # Exact statistics in place of running ones, for the averaged weights: 25.4 instead of 23.7 dB.
    with run.ema(vae):
        vae.measure(clips.draw(1, run.generator(i)).video for i in range(_MEASURED))
    show(run, vae, clips)
    run.export(cfg.out, {"vae": (vae, vae.config)})


class ClipWindows:
    """The clips of some folders in memory, as bytes; ValueError for clips of evaluation scenes and for those that are too short.

    ``hints``: the share of windows that get one, the first frame its own picture (as at play, where it is given) and the others
    what other frames of their clip show of them; None gives none.
    """

    def __init__(self, folders: Iterable[Path], frames: int, hints: float | None = None) -> None:
        latent_count(frames)
        self.frames, self.hints = frames, hints
        self.videos: list[Tensor] = []
        self.depths: list[Tensor] = []
        self.cameras: list[Camera] = []
        for path in (path for folder in folders for path in clip_files(folder)):
            clip = Clip.load(path)
            refuse_held_out(clip.seed)
            if len(clip.video) < frames:
                raise ValueError(f"{path}: {len(clip.video)} frames are too few for windows of {frames}; lower stage.frames")
            self.videos.append(clip.video)  # uint8: a quarter of float32, and clips stay in memory
            self.depths.append(clip.depth if clip.depth is not None else torch.zeros_like(clip.video[:, 0], dtype=torch.half))
            self.cameras.append(clip.camera)

    def draw(self, size: int, rng: torch.Generator, vary: bool = True) -> Windows:
        """``size`` random windows; with ``vary`` half of them mirrored and half of them backwards."""
        parts: list[list[Tensor]] = []
        for i in torch.randint(len(self.videos), (size,), generator=rng).tolist():
            start = int(torch.randint(len(self.videos[i]) - self.frames + 1, (1,), generator=rng))
            mirror, back = torch.rand(2, generator=rng).lt(0.5).tolist() if vary else (False, False)
            window = torch.arange(start, start + self.frames)
            window = window.flip(0) if back else window  # a walk back is a walk; cameras and hints follow the same indices
            part = [self.videos[i][window] / 127.5 - 1, self.depths[i][window].float()]
            if self.hints is not None:
                hint = self._hint(i, window, part[0], rng)
                part += [hint.rgb, hint.depth, hint.known]
            parts.append([x.flip(-1) if mirror else x for x in part])
        video, depth, *hint = (torch.stack(x) for x in zip(*parts, strict=True))
        return Windows(video, depth, View(*hint) if hint else None)

    def _hint(self, clip: int, window: Tensor, video: Tensor, rng: torch.Generator) -> View:
        """Render memory for the frames ``window [F]`` of a clip, whose pictures are ``video [F, 3, H, W]``."""
        assert self.hints is not None
        # Memory, and a first frame that is given: drawn apart.
        given, opened = (torch.rand(2, generator=rng) < self.hints).tolist()
        count = int(torch.randint(1, _SOURCES + 1, (1,), generator=rng)) if given else 0
        camera = self.cameras[clip]
        at = draw_sources(int(window.min()), self.frames, len(camera), count, rng)
        hint = unknown_view(video)
        if at:
            rgb, depth = self.videos[clip][at] / 127.5 - 1, self.depths[clip][at].float()
            hint = render_hint(rgb, depth, camera[at], camera[window], rng)
        # The picture is known, its depth is not.
        first = View(video[:1], torch.zeros_like(hint.depth[:1]), torch.ones_like(hint.known[:1]))
        first = first if opened else unknown_view(video[:1])
        pairs = ((first.rgb, hint.rgb), (first.depth, hint.depth), (first.known, hint.known))
        return View(*(torch.cat([x, y[1:]]) for x, y in pairs))


def latent_noise(video: Tensor, vae: VAEConfig, most: float, rng: torch.Generator) -> Tensor:
    """Noise for the latents of a batch of videos; every row has its own strength, up to ``most``."""
    b, f, _, h, w = video.shape
    strength = torch.rand(b, 1, 1, 1, 1, generator=rng) * most  # from 0: clean latents are decoded, too
    return torch.randn(b, latent_count(f), vae.latent, h // vae.shrink, w // vae.shrink, generator=rng) * strength


def show(run: Run, vae: VAE, clips: ClipWindows) -> None:
    """Write ``sheet.png``: for a few windows the truth, what the autoencoder makes of it, and the depth, true and decoded."""
    truth = clips.draw(_SHOWN, run.generator(0), vary=False)
    with run.ema(vae), torch.no_grad():
        alone = vae.decode(vae.encode(truth.video))  # without hints: what latents carry by themselves
        made = vae.decode(vae.encode(truth.video), truth.hint)
    depths = [vae.depth_to_plane(d)[:, :, None].expand(-1, -1, 3, -1, -1) for d in (truth.depth, made.depth)]
    hints = [] if truth.hint is None else [truth.hint.rgb, made.rgb]
    rows = torch.stack([truth.video, alone.rgb, *hints, *depths], 1)  # [B, 4 or 6, F, 3, H, W]
    run.sheet("sheet", rows.flatten(0, 2), columns=clips.frames)
    # The depth that memory begins with.
    first = (made.depth[:, 0] / truth.depth[:, 0].clamp(0.2, 50)).log().abs().mean().exp() - 1
    words = [f"{float(psnr(x.rgb, truth.video).mean()):.2f} dB" for x in (alone, made)]
    run.say(f"sheet: {words[0]}, with hints {words[1]}; depth of first frames off by {float(first):.0%}")


def reconstruction_loss(
    planes: Tensor, truth: Windows, vae: VAE | None, edges: float, depth: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Raw planes ``[B, F, 4, H, W]`` against the truth -> the loss, and its parts for the log. vae: whose scale of depth the last
    plane has; None: there is none, and planes are ``[B, F, 3, H, W]``."""
    rgb = planes[:, :, :3]
    colour = (rgb - truth.video).abs().mean()
    edge = edge_loss(rgb.flatten(0, 1), truth.video.flatten(0, 1))
    depths = rgb.new_zeros(())
    if vae is not None:
        known = (truth.depth > 0) & torch.isfinite(truth.depth)  # float16 is infinite beyond 65504 m
        error = (planes[:, :, 3] - vae.depth_to_plane(torch.where(known, truth.depth, 1.0))).abs()
        weight = known.float()
        weight[:, 0] *= _OPENING  # later depths have memory to lean on, and this one is what memory leans on
        depths = (error * weight).sum() / weight.sum().clamp_min(1)
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
    # Halved: colours in [-1, 1] have a range of 2. At most 100 dB.
    return -10 * ((a - b) / 2).square().flatten(1).mean(1).clamp_min(1e-10).log10()


_MEASURED = 256  # windows that the spread of the latents is taken from
_SHOWN = 4
_OPENING = 3.0  # weight of the first frame's depth
_SOURCES = 3  # frames that a window is remembered by, at most
