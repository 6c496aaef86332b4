"""Parallel decoding: each process decodes a slab of rows, and the pictures are those of one process, up to rounding.

Convolutions borrow the rows next to their slab from the neighbours, norms over a whole picture sum over all processes, and the
attention of the Wan decoder, at its coarsest level, sees all rows. Nothing overlaps, and nothing is blended. Source: DreamX-World
1.0, section on acceleration (the decoder is split along the height); the halo is that of ParaVAE.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dreamx.fast.row_slabs import Slabs
from dreamx.fast.shared_copy import shared_copy
from dreamx.geometry.reproject import View
from dreamx.model.vae import VAE, Pixels, State, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig


class HeightDecoder(nn.Module):
    """The decoder of an autoencoder, shared by the processes of ``slabs``; ``vae`` stays as it is.

    Every process calls ``push`` with the same whole latents and has the whole pictures; its state is that of its own rows.
    """

    def __init__(self, vae: VAE | WanVAE, slabs: Slabs) -> None:
        super().__init__()
        self.slabs, self.vae = slabs, shared_copy(vae)
        _spread(self.vae.decoder, slabs)
        if isinstance(self.vae, VAE):
            self.vae.from_latent = WithHalo(self.vae.from_latent, slabs)  # pyright: ignore[reportAttributeAccessIssue]
            self.vae.out = WithHalo(self.vae.out, slabs)  # pyright: ignore[reportAttributeAccessIssue]
            if self.vae.hint is not None:
                _spread(self.vae.hint, slabs)

    @property
    def config(self) -> VAEConfig | WanVAEConfig:
        """Config of the autoencoder."""
        return self.vae.config

    def push(self, z: Tensor, state: State | None, hint: View | None = None) -> tuple[Pixels, State]:
        """As of the autoencoder: the next latent ``[B, C, h, w]`` -> its frames, and the state of this process's rows.

        ValueError where there are fewer rows of latents than processes.
        """
        own, shrink = self.slabs.own(z.shape[-2]), self.config.shrink
        rows = slice(own.start * shrink, own.stop * shrink)
        mine = None if hint is None else View(hint.rgb[..., rows, :], hint.depth[..., rows, :], hint.known[..., rows, :])
        pixels, state = self.vae.push(z[..., own, :], state, mine)
        return Pixels(self.slabs.gather(pixels.rgb), self.slabs.gather(pixels.depth)), state


class WithHalo(nn.Module):
    """A convolution over a slab: of every input ``[..., rows, columns]`` the neighbours' rows that it reads come along."""

    def __init__(self, layer: nn.Module, slabs: Slabs) -> None:
        super().__init__()
        self.layer, self.slabs = layer, slabs
        assert isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d)
        # One row is read beyond the slab; where steps are longer, a whole step keeps rows where they are.
        self.halo = 1 if isinstance(layer, nn.ConvTranspose2d) else int(layer.stride[-2])
        reach = layer.kernel_size[-2]
        if reach > max(3, 2 * int(layer.stride[-2])):
            raise ValueError(f"decoder: a kernel of {reach} rows reads more than the row next to a slab, which is not built")

    def forward(self, x: Tensor, *past: Tensor | None) -> Tensor:
        """``past``: the frames before, as the causal convolutions of the Wan decoder take them."""
        wide = [None if y is None else self.slabs.with_neighbours(y, self.halo) for y in (x, *past)]
        assert wide[0] is not None
        out = self.layer(*wide)
        return self.slabs.trim(out, self.halo * out.shape[-2] // wide[0].shape[-2])


class SlabGroupNorm(nn.Module):
    """``nn.GroupNorm`` over whole pictures ``[N, C, rows, columns]`` of which each process has a slab."""

    def __init__(self, norm: nn.GroupNorm, slabs: Slabs) -> None:
        super().__init__()
        self.norm, self.slabs = norm, slabs

    def forward(self, x: Tensor) -> Tensor:
        wide = x.double().unflatten(1, (self.norm.num_groups, -1))  # [N, groups, C / groups, rows, columns]
        count = torch.full_like(wide[:, :, 0, 0, 0], wide[0, 0].numel())
        # float64: a variance is a small difference of large sums.
        sums = self.slabs.total(torch.stack([wide.sum((2, 3, 4)), wide.square().sum((2, 3, 4)), count]))
        mean, square = (s[:, :, None, None, None] for s in sums[:2] / sums[2])
        even = ((wide - mean) * (square - mean.square() + self.norm.eps).rsqrt()).flatten(1, 2).to(x.dtype)
        return even * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]


class AllRows(nn.Module):
    """A layer that sees all rows of ``[..., rows, columns]``; of what it makes, this process's are kept."""

    def __init__(self, layer: nn.Module, slabs: Slabs) -> None:
        super().__init__()
        self.layer, self.slabs = layer, slabs

    def forward(self, x: Tensor) -> Tensor:
        whole = self.slabs.gather(x)
        return self.layer(whole)[..., self.slabs.own(whole.shape[-2]), :]


def _spread(part: nn.Module, slabs: Slabs) -> None:
    """Replace what reads beyond its own row."""
    for name, layer in part.named_children():
        if isinstance(layer, nn.GroupNorm):
            setattr(part, name, SlabGroupNorm(layer, slabs))
        elif type(layer).__name__ == "WanAttentionBlock":  # of diffusers, an optional package
            setattr(part, name, AllRows(layer, slabs))
        elif isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
            if layer.kernel_size[-2] > layer.stride[-2]:
                setattr(part, name, WithHalo(layer, slabs))
        else:
            _spread(layer, slabs)
