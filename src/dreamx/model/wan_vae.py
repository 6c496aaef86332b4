"""The video autoencoder of Wan2.2 (``Wan2.2_VAE.pth``): 16x down in space, 4x in time, causal, 48 channels.

The network is the one of diffusers, whose names ours are, behind the interface of ``model.vae.VAE``: ``encode`` whole
clips, ``push`` a stream, one latent frame after another. Both go group by group, so that memory does not grow with the length of
a video. Needs the extra ``wan``. It sees no depth. In place of its decoder it may have the small one of ``tiny_wan_decoder``.
Source: Wan2.2 (its vae2_2.py), and diffusers' AutoencoderKLWan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dreamx.bounds import MAX_LEVELS, Blocks, Heads, Patch, Width
from dreamx.config import LATER
from dreamx.geometry.reproject import View
from dreamx.model.tiny_wan_decoder import TinyDecoderConfig, TinyWanDecoder
from dreamx.model.vae import Pixels, State

#: Mean and deviation of the latent channels of the released autoencoder.
MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip


@dataclass(frozen=True)
class WanVAEConfig:
    """Sizes; the defaults are those of the released autoencoder."""

    latent: Width = 48
    """Channels of a latent frame."""
    encoder: Width = 160
    """Channels of the encoder's finest level."""
    decoder: Width = 256
    """Channels of the decoder's finest level."""
    multiples: tuple[Heads, ...] = (1, 2, 4, 4)
    """Channels of each level, in those of the finest."""
    blocks: Blocks = 2
    """Residual blocks a level of the encoder; the decoder has one more."""
    time: tuple[bool, ...] = (False, True, True)
    """Steps from a level of the encoder to the next that also halve the frame rate."""
    patch: Patch = 2
    """Pixels along the side of one place of the finest level."""
    mean: tuple[float, ...] = MEAN
    """Mean of each latent channel."""
    std: tuple[float, ...] = STD
    """Standard deviation of each latent channel."""
    small: TinyDecoderConfig | None = field(default=None, metadata=LATER)
    """Small decoder in place of that of these sizes; None: there is none."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.multiples) <= MAX_LEVELS:
            raise ValueError(f"vae.multiples must have 1 to {MAX_LEVELS} levels, not {len(self.multiples)}")
        if len(self.time) != len(self.multiples) - 1:
            raise ValueError(f"vae.time: must say of each of the {len(self.multiples) - 1} steps between levels, not {self.time}")
        if len(self.mean) != self.latent or len(self.std) != self.latent:
            raise ValueError(f"vae.mean and vae.std must have one number for each of the {self.latent} latent channels")

    @property
    def shrink(self) -> int:
        """Pixels along the side of one latent place."""
        return self.patch * 2 ** (len(self.multiples) - 1)

    @property
    def group(self) -> int:
        """Video frames of one latent frame, after the first, which has one of its own."""
        return 2 ** sum(self.time)


class WanVAE(nn.Module):
    """The autoencoder; parameters have the names of diffusers' ``AutoencoderKLWan``."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        net = _network(config)
        self.encoder, self.quant_conv = net.encoder, net.quant_conv
        self.small = None if config.small is None else TinyWanDecoder(config.small)
        if self.small is None:
            self.decoder, self.post_quant_conv = net.decoder, net.post_quant_conv

    def encode(self, video: Tensor) -> Tensor:
        """Video ``[B, F, 3, H, W]`` in [-1, 1] -> latents ``[B, T, C, h, w]``: the encoder's mean, normalised."""
        f, _, h, w = video.shape[1:]
        s, g = self.config.shrink, self.config.group
        if h % s or w % s:
            raise ValueError(f"video of {w}x{h} pixels: width and height must be multiples of {s} for this autoencoder")
        if f < 1 or (f - 1) % g:
            raise ValueError(f"a video of {f} frames has no whole number of latents; use {g} k + 1 frames")
        weight, made, seen = self.quant_conv.weight, [], _blank(self.encoder)  # the cache is changed in place from group to group
        for start in (0, *range(1, f, g)):
            frames = video[:, start : start + (g if start else 1)].transpose(1, 2).to(weight.device, weight.dtype)
            x = self.quant_conv(self.encoder(_patched(frames, self.config.patch), feat_cache=seen, feat_idx=[0]))
            # The mean; the other half is the log-variance, unused in Wan2.2.
            made.append(x[:, : self.config.latent].transpose(1, 2))
        mean, std = self._spread(weight.device)
        # [B, T, C, h, w], in float32 whatever the weights are.
        return (torch.cat(made, 1).float() - mean) / std

    def decode(self, z: Tensor) -> Pixels:
        """Latents ``[B, T, C, h, w]`` of a clip from its start -> all its frames; ``push`` does the same with less memory."""
        shown: list[Pixels] = []
        state: State | None = None
        for latent in z.unbind(1):
            pixels, state = self.push(latent, state)
            shown.append(pixels)
        return Pixels(torch.cat([p.rgb for p in shown], 1), torch.cat([p.depth for p in shown], 1))

    def push(self, z: Tensor, state: State | None, hint: View | None = None) -> tuple[Pixels, State]:
        """The next latent ``[B, C, h, w]`` of a stream -> its frames (1 for the first, where state is None, then 4), state.

        Depth is 0 everywhere, which means unknown; this decoder reads no hints. A state is never changed in place.
        """
        if hint is not None:
            raise ValueError("hint: the autoencoder of Wan2.2 reads none; open the world without memory")
        rgb, state = self.planes(z, state)
        rgb = rgb.clamp(-1, 1)
        # Depth [B, F, H, W] of zeros, expanded from one number: no memory.
        return Pixels(rgb, rgb.new_zeros(()).expand(*rgb.shape[:2], *rgb.shape[3:])), state

    def planes(self, z: Tensor, state: State | None) -> tuple[Tensor, State]:
        """``push`` before clamping: ``[B, 1 or 4, 3, H, W]``, here and there beyond [-1, 1]."""
        if self.small is not None:
            return self.small.push(z.to(self.quant_conv.weight.device), state)
        weight = self.post_quant_conv.weight
        seen = _blank(self.decoder)
        for i, x in enumerate(state or ()):
            # diffusers' mark of a temporal upsampling that has seen the first frame alone; an empty tensor here.
            seen[i] = x.to(weight) if x.numel() else "Rep"  # a session may go on on another device
        mean, std = self._spread(weight.device)
        # [B, C, 1, h, w]
        x = self.post_quant_conv((z.to(weight.device).float() * std + mean)[:, :, None].to(weight.dtype))
        x = self.decoder(x, feat_cache=seen, feat_idx=[0], first_chunk=state is None)
        rgb = _unpatched(x, self.config.patch).transpose(1, 2).float()
        return rgb, tuple(rgb.new_empty(0) if isinstance(x, str) else x for x in seen if x is not None)

    def _spread(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[C, 1, 1]``; always float32, whatever the weights are."""
        mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (self.config.mean, self.config.std))
        return mean, std


def shapes(config: WanVAEConfig) -> dict[str, torch.Size]:
    """Our names and shapes; nothing is allocated."""
    with torch.device("meta"):
        return {k: x.shape for k, x in WanVAE(config).state_dict().items()}


def load(state: Mapping[str, Tensor], config: WanVAEConfig) -> WanVAE:
    """Build the network around these tensors, without a copy: they keep their dtype and device."""
    with torch.device("meta"):
        vae = WanVAE(config)
    vae.load_state_dict(state, assign=True)
    return vae.requires_grad_(False).eval()


def _network(config: WanVAEConfig) -> Any:
    try:
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
    except ImportError as e:
        raise ValueError("the autoencoder of Wan2.2 needs diffusers: pip install '.[wan]' in the checkout") from e
    return AutoencoderKLWan(**arguments(config))


def arguments(config: WanVAEConfig) -> dict[str, Any]:
    """Return the arguments of ``AutoencoderKLWan``; all of them are also in its config.json."""
    planes = 3 * config.patch**2
    return {
        "base_dim": config.encoder,
        "decoder_base_dim": config.decoder,
        "z_dim": config.latent,
        "dim_mult": list(config.multiples),
        "num_res_blocks": config.blocks,
        "attn_scales": [],  # attention in the middle block alone
        "temperal_downsample": list(config.time),
        "latents_mean": list(config.mean),
        "latents_std": list(config.std),
        "is_residual": True,
        "in_channels": planes,  # a patch of 2 x 2 pixels is 12 channels
        "out_channels": planes,
        "patch_size": config.patch,
        "scale_factor_temporal": config.group,
        "scale_factor_spatial": config.shrink,
    }


def _blank(side: nn.Module) -> list[Any]:
    """Room for what each convolution over time remembers of the frames before."""
    return [None] * sum(isinstance(m, nn.Conv3d) for m in side.modules())


def _patched(x: Tensor, p: int) -> Tensor:
    """``[B, C, F, H, W] -> [B, C p p, F, H/p, W/p]``, columns before rows."""
    return x.unflatten(4, (-1, p)).unflatten(3, (-1, p)).permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def _unpatched(x: Tensor, p: int) -> Tensor:
    """The inverse of ``_patched``."""
    return x.unflatten(1, (-1, p, p)).permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)
