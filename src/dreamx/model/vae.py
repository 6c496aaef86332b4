"""The small video autoencoder: 8x down in space, 4x in time, causal, streaming, and it also sees depth.

Video frame 0 is one latent; after it every group of 4 frames is one latent, so ``F = 4 (T - 1) + 1`` (the temporal layout of
Wan2.2-VAE). A group's frames are stacked on the channels and go through an ordinary 2-D network, which is what a CPU does
fast. What makes it *video* are messages: in every block a group leaves one message, a feature map, to the next group, and
reads the one that was left to it (the temporal shift of Lin et al. 2019, with learned contents). Messages only go forward,
so the network is causal; the messages of the last group are the whole state of a stream; and all groups of a clip can be
computed at once, because passing messages on is a shift along time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import MAX_LEVELS, Blocks, Patch, Width
from dreamx.clip import latent_count
from dreamx.geometry.reproject import View
from dreamx.model.memory_hint import GATED, HintEncoder, gated, planes_of
from dreamx.model.precision import lowered
from dreamx.model.thread_spin import adapt

#: Frames that share one latent (after the first frame, which has one of its own).
GROUP = 4

#: The messages of one group to the next, one ``[B, C, h, w]`` for each block, in the order of the blocks.
State = tuple[Tensor, ...]

_MOMENTUM = 0.02  # of the latents' statistics while training; `measure` makes them exact


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; it shrinks by ``patch * 2 ** (levels - 1)`` in space, the same on both sides."""

    group = GROUP  # no fields: as of the config of any autoencoder

    latent: Width = 16
    """Channels of a latent frame."""
    encoder: tuple[Width, ...] = (32, 64, 128)
    """Channels of each level, from fine to coarse."""
    decoder: tuple[Width, ...] = (48, 96, 160)
    """Channels of each level, from fine to coarse."""
    blocks: tuple[Blocks, ...] = (1, 1, 2)
    """Blocks of each level, from fine to coarse."""
    patch: Patch = 2
    """Pixels along the side of one place of the finest level."""
    near: float = 0.2
    """Nearest decoded depth, metres; the scale is logarithmic."""
    far: float = 50.0
    """Farthest decoded depth, metres."""
    hint: bool = False
    """Whether the decoder also reads what memory shows (``model.memory_hint``)."""

    def __post_init__(self) -> None:
        for name in ("encoder", "decoder"):
            if len(getattr(self, name)) != len(self.blocks):
                raise ValueError(f"vae.{name} must have one width for each of the {len(self.blocks)} levels of vae.blocks")
        if not 1 <= len(self.blocks) <= MAX_LEVELS:
            raise ValueError(f"vae.blocks must have 1 to {MAX_LEVELS} levels, not {len(self.blocks)}")
        if not 0 < self.near < self.far:
            raise ValueError(f"vae.near must be above 0 and below vae.far, not {self.near} and {self.far} metres")

    @property
    def shrink(self) -> int:
        """Pixels along the side of one latent place."""
        return self.patch * 2 ** (len(self.blocks) - 1)


@dataclass(frozen=True)
class Pixels:
    """Decoded frames. rgb: ``[B, F, 3, H, W]`` in [-1, 1]; depth: ``[B, F, H, W]`` metres along z."""

    rgb: Tensor
    depth: Tensor


class VAEBlock(nn.Module):
    """Residual block of two convolutions, with the message of the group before added between them.

    The norm is over the channels and places of one group alone, so that a stream and a whole clip are the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(max(1, width // 16), width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.message = nn.Conv2d(width, width, 3, padding=1, bias=False)  # no bias: no group before is a message of 0
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # starts as the identity, so that depth costs nothing at first
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, groups: int, inbox: Tensor | None) -> tuple[Tensor, Tensor]:
        """x ``[B*groups, C, h, w]``, inbox ``[B, C, h, w]`` (None: no group before) -> the same, and the last message."""
        y = self.norm(x)
        h, message = self.first(y).unflatten(0, (-1, groups)), self.message(y).unflatten(0, (-1, groups))
        h[:, 1:] += message[:, :-1]  # a shift along time, so that all groups of a clip run at once
        if inbox is not None:
            if inbox.shape != h[:, 0].shape:
                raise ValueError(f"state: a message is {list(inbox.shape)} where this stream has {list(h[:, 0].shape)}")
            h[:, 0] += inbox
        return x + self.second(F.silu(h.flatten(0, 1))), message[:, -1]


class Stack(nn.Module):
    """Blocks at several levels, joined by resampling layers."""

    def __init__(self, widths: list[int], blocks: list[int], between: list[nn.Module]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.ModuleList(VAEBlock(width) for _ in range(n)) for width, n in zip(widths, blocks, strict=True)
        )
        self.between = nn.ModuleList(between)

    def forward(self, x: Tensor, groups: int, state: State | None, beside: list[Tensor] | None = None) -> tuple[Tensor, State]:
        """``beside``: what is added before the blocks of each level."""
        if state is not None and len(state) != (count := sum(map(len, self.levels))):  # pyright: ignore[reportArgumentType]
            raise ValueError(f"state: there are {len(state)} messages, and {count} blocks that read one each")
        inbox = iter(state) if state is not None else None
        outbox: list[Tensor] = []
        for i, level in enumerate(self.levels):
            if i:
                x = self.between[i - 1](x)
            x = x if beside is None else x + beside[i]
            for block in level:  # pyright: ignore[reportGeneralTypeIssues]
                x, message = block(x, groups, next(inbox) if inbox else None)
                outbox.append(message)
        return x, tuple(outbox)


class VAE(nn.Module):
    """The autoencoder. ``encode`` and ``decode`` take whole clips from their first frame; ``push`` decodes a stream."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config, self.compute = config, torch.float32  # what convolutions compute in when no gradients are wanted
        down, up, p, n = list(config.encoder), list(config.decoder), config.patch, config.blocks
        self.into = nn.Conv2d(3 * GROUP, down[0], 2 * p, p, p // 2)  # 4 frames of 3 colours as channels
        self.encoder = Stack(down, list(n), [nn.Conv2d(a, b, 2, 2) for a, b in pairwise(down)])
        self.to_latent = nn.Conv2d(down[-1], config.latent, 3, padding=1)
        self.from_latent = nn.Conv2d(config.latent, up[-1], 3, padding=1)
        up = up[::-1]
        between: list[nn.Module] = [nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairwise(up)]
        self.decoder = Stack(up, list(n)[::-1], between)
        self.out = nn.ConvTranspose2d(up[-1], (GATED if config.hint else 4) * GROUP, 2 * p, p, p // 2)
        self.hint = HintEncoder(GROUP, up[::-1], p) if config.hint else None
        # Of the latents, so that noise of deviation 1 means the same in every channel.
        self.register_buffer("mean", torch.zeros(config.latent))
        self.register_buffer("std", torch.ones(config.latent))
        for layer in (self.into, self.to_latent, self.from_latent, self.out, *self.encoder.between, *self.decoder.between):
            _preserve(layer)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, video: Tensor) -> Tensor:
        """Video ``[B, F, 3, H, W]`` in [-1, 1] -> latents ``[B, T, C, h, w]`` of unit variance (once measured)."""
        return (self._latent(video) - _channels(self.mean)) / _channels(self.std)

    def decode(self, z: Tensor, hint: View | None = None) -> Pixels:
        """Latents ``[B, T, C, h, w]`` of a clip from its start -> its 4 (T - 1) + 1 frames; the same as pushing one by one.

        ``hint [B, F]``: what memory shows of each frame, with colours in [-1, 1]; None where there is no memory.
        """
        planes, _ = self._planes(z, None, hint)
        return self._pixels(planes)

    def push(self, z: Tensor, state: State | None, hint: View | None = None) -> tuple[Pixels, State]:
        """The next latent ``[B, C, h, w]`` of a stream -> its frames (1 for the first, where state is None, then 4), state.

        ``hint [B, 1 or 4]`` is of those frames.
        """
        planes, state = self._planes(z[:, None], state, hint)
        return self._pixels(planes), state

    def forward(self, video: Tensor, noise: Tensor | None = None, hint: View | None = None) -> tuple[Tensor, Tensor]:
        """The training pass: video -> raw planes ``[B, F, 4, H, W]`` (rgb, log-depth plane), latents ``[B, T, C, h, w]``.

        The statistics of the latents are kept up as it goes, so that ``noise`` of a given size (shape of the latents) means
        the same all through training and the encoder cannot drown it by growing. Not the batch's own statistics: a batch of
        few clips, freed of its own mean, no longer knows whether its rooms are bright or dark.
        """
        z = self._latent(video)
        if self.training:
            std, mean = torch.std_mean(z.detach(), (0, 1, 3, 4))
            self.mean.lerp_(mean, _MOMENTUM)
            self.std.lerp_(std, _MOMENTUM)  # over some 50 batches
        z = (z - _channels(self.mean)) / _channels(self.std)
        planes, _ = self._planes(z if noise is None else z + noise, None, hint)
        return planes, z

    @torch.no_grad()
    def measure(self, videos: Iterable[Tensor]) -> None:
        """Set the mean and the deviation of the latents' channels from videos ``[B, F, 3, H, W]``, all of them together.

        While training the statistics wander with every batch; the decoder learned to read their average, which this finds.
        """
        total, squares, count = 0.0, 0.0, 0
        for video in videos:
            z = self._latent(video).double()
            total, squares = total + z.sum((0, 1, 3, 4)), squares + z.square().sum((0, 1, 3, 4))
            count += z.numel() // z.shape[2]
        if not isinstance(total, Tensor) or not isinstance(squares, Tensor):
            raise ValueError("measure: no videos were given; it needs at least one to know the spread of the latents")
        mean = total / count  # float64 above: a variance is a small difference of large sums
        self.mean.copy_(mean)
        self.std.copy_((squares / count - mean.square()).clamp_min(1e-10).sqrt())

    def depth_to_plane(self, depth: Tensor) -> Tensor:
        """Metres -> the plane that the decoder makes: -1 at ``near``, 1 at ``far``, logarithmic between."""
        near, far = log(self.config.near), log(self.config.far)
        return (depth.clamp(self.config.near, self.config.far).log() - near) * (2 / (far - near)) - 1

    def plane_to_depth(self, plane: Tensor) -> Tensor:
        """The inverse of ``depth_to_plane``; the result lies between ``near`` and ``far`` metres."""
        near, far = log(self.config.near), log(self.config.far)
        return ((plane.clamp(-1, 1) + 1) * ((far - near) / 2) + near).exp()

    def _latent(self, video: Tensor) -> Tensor:
        """Latents before they are normalised."""
        adapt()
        b, f, _, h, w = video.shape
        t, s = latent_count(f), self.config.shrink
        if h % s or w % s:
            raise ValueError(f"video of {w}x{h} pixels: width and height must be multiples of {s} for this autoencoder")
        start = video[:, :1].expand(-1, GROUP - 1, -1, -1, -1)  # the first frame alone is a group that stands still
        x = torch.cat([start, video], 1).reshape(b * t, GROUP * 3, h, w)  # [B T, 12, H, W]
        with lowered(self.compute):
            x, _ = self.encoder(self.into(x.contiguous(memory_format=torch.channels_last)), t, None)
            x = self.to_latent(x)
        return x.to(self.mean.dtype).unflatten(0, (b, t))  # under autocast the convolution gives bfloat16

    def _planes(self, z: Tensor, state: State | None, hint: View | None) -> tuple[Tensor, State]:
        adapt()
        b, t = z.shape[:2]
        x = z.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        shown = None if hint is None or self.hint is None else self._shown(hint, state is None).unflatten(0, (b * t, GROUP))
        grouped = None if shown is None else shown.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        with lowered(self.compute):
            beside = None if grouped is None or self.hint is None else self.hint(grouped)[::-1]
            x, after = self.decoder(self.from_latent(x), t, state, beside)
            x = self.out(x)
        planes = x.to(z.dtype).unflatten(1, (GROUP, -1))  # [B T, GROUP, planes, H, W]
        if shown is None:
            planes = planes[:, :, :4]  # without a hint the two gates choose nothing
        else:
            planes = gated(planes.flatten(0, 1), shown.flatten(0, 1)).unflatten(0, (b * t, GROUP))
        planes = planes.unflatten(0, (b, t)).flatten(1, 2)
        # The first latent is one frame, the last of its group.
        return (planes if state is not None else planes[:, GROUP - 1 :]), after

    def _shown(self, hint: View, start: bool) -> Tensor:
        """A hint ``[B, F]`` as planes ``[B T GROUP, PLANES, H, W]``; the frame that opens a clip stands for a whole group."""
        if start:
            hint = View(*(torch.cat([x[:, :1]] * (GROUP - 1) + [x], 1) for x in (hint.rgb, hint.depth, hint.known)))
        rgb, depth, known = hint.rgb.flatten(0, 1), hint.depth.flatten(0, 1), hint.known.flatten(0, 1)
        return planes_of(rgb, self.depth_to_plane(depth), (depth > 0).to(rgb.dtype), known)

    def _pixels(self, planes: Tensor) -> Pixels:
        return Pixels(planes[:, :, :3].clamp(-1, 1), self.plane_to_depth(planes[:, :, 3]))


def to_bytes(rgb: Tensor) -> Tensor:
    """Colours in [-1, 1] -> uint8. ValueError for NaN or infinity: as bytes they would be black, with no trace of the cause."""
    if not bool(torch.isfinite(rgb).all()):
        raise ValueError(
            "the world makes NaN or infinity instead of pictures: its weights are broken, so copy or train them again"
        )
    return ((rgb + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def fingerprint(module: nn.Module) -> str:
    """Return a short name of these weights (sha256), by which latents name the autoencoder that they belong to."""
    digest = hashlib.sha256()
    for name, x in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bf16
    return digest.hexdigest()[:16]


def _preserve(layer: nn.Module) -> None:
    """Initialise so that deviation 1 in is deviation 1 out: torch's default loses 40 % a layer, and learning starts late."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    # A transposed one: each output pixel reads kernel^2 / stride^2 places.
    reads = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.weight[:, 0].numel() // layer.stride[0] ** 2
    nn.init.normal_(layer.weight, std=reads**-0.5)
    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]


def _channels(x: Tensor) -> Tensor:
    """``[C]`` against latents ``[B, T, C, h, w]``."""
    return x[:, None, None]  # [C, 1, 1]
