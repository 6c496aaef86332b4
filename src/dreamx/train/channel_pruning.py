"""Take the least important channels out of a decoder, so that a narrower network of the same kind begins from its weights.

Channels that only go together are one ``ChannelGroup``: a residual stream with every layer that writes to it or reads it, with
the shortcut that repeats it a level further on, and with its norms. A group norm's groups go whole, so that what is left is
normed as it was; an RMS norm is over all channels, and its gain is set so that channels that were 0 are not missed.

Importance of a channel: by how much the pictures change, to second order, when all its weights become 0: with J the derivative of
the pictures by the weights and w_c the weights of the channel, |J w_c|^2. That is the saliency of Optimal Brain Damage (LeCun et
al. 1990) for the loss that the narrow decoder then has, the distance to the pictures of the wide one; the curvature
is Gauss-Newton's, and the weights of a channel count together (as gates do in Molchanov et al. 2019), not one by
one. J is not made: for random signs e, the mean of ((J^T e) w_c)^2 is the same, and J^T e is one backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig


@dataclass(frozen=True, eq=False)
class Axis:
    """Places of channels in a tensor: unit u of a group has those of ``at[u]``, a row of ``[U, k]``, along ``dim`` of ``key``.

    power: where units go, places are multiplied by (U / those left) ** power, which makes up for a norm or a scale over fewer.
    """

    key: str
    dim: int
    at: Tensor
    power: float = 0.0


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that are kept or pruned as ``units``, and everywhere that they lie."""

    units: int
    axes: tuple[Axis, ...]


#: The names of an autoencoder's tensors -> the tensors.
Weights = Mapping[str, Tensor]


def pruned_config(config: VAEConfig | WanVAEConfig, share: float) -> VAEConfig | WanVAEConfig:
    """The config of an autoencoder whose decoder has lost that share of its channels, to the nearest whole unit; at least one."""
    if isinstance(config, WanVAEConfig):
        return replace(config, decoder=_left(config.decoder, share))
    return replace(
        config,
        decoder=tuple(_left(_norms(w), share) * (w // _norms(w)) if _norms(w) > 1 else _left(w, share) for w in config.decoder),
    )


def channel_groups(vae: VAE | WanVAE) -> list[ChannelGroup]:
    """The groups of a decoder: together they are all of its channels but those of latents and pictures."""
    return _small(vae.config) if isinstance(vae, VAE) else _wan(vae)


def importance(group: ChannelGroup, probes: Iterable[tuple[Weights, Weights]]) -> Tensor:
    """Importance of the units of a group, float64 ``[U]``; a probe: weights, and the gradients of the pictures times signs."""
    total = torch.zeros(group.units, dtype=torch.float64)
    for weights, gradients in probes:
        change = torch.zeros_like(total)
        for axis in group.axes:
            if axis.key in gradients:
                each = (weights[axis.key].detach().double() * gradients[axis.key].double()).cpu()
                change += each.movedim(axis.dim, 0).reshape(each.shape[axis.dim], -1).sum(1)[axis.at].sum(1)
        total += change.square()
    return total


def prune(vae: VAE | WanVAE, config: VAEConfig | WanVAEConfig, groups: list[ChannelGroup], worth: list[Tensor]) -> VAE | WanVAE:
    """The narrower autoencoder ``config`` with the most important channels of ``vae``; ``worth``: ``importance`` of each group.

    Of equals the earlier stays. What stays keeps its order; with nothing to prune the weights are the same, bit for bit.
    """
    net = VAE(config) if isinstance(config, VAEConfig) else WanVAE(config)
    wanted, state = net.state_dict(), {k: x.detach().clone() for k, x in vae.state_dict().items()}
    gone: dict[tuple[str, int], Tensor] = {}
    for group, value in zip(groups, worth, strict=True):
        first = group.axes[0]
        left = group.units * wanted[first.key].shape[first.dim] // state[first.key].shape[first.dim]
        lost = value.argsort(descending=True, stable=True)[left:]
        for axis in group.axes:
            places = gone.setdefault((axis.key, axis.dim), torch.zeros(state[axis.key].shape[axis.dim], dtype=torch.bool))
            places[axis.at[lost].flatten()] = True
            if axis.power and len(lost):
                ratio = (group.units / left) ** axis.power
                state[axis.key].movedim(axis.dim, 0)[axis.at.flatten()] *= ratio
    for (key, dim), places in gone.items():
        state[key] = state[key].index_select(dim, (~places).nonzero()[:, 0].to(state[key].device))
    net.load_state_dict(state)
    return net


def _left(units: int, share: float) -> int:
    return max(1, round(units * (1 - share)))


def _norms(width: int) -> int:
    """Groups of a block's norm (``model.vae.VAEBlock``)."""
    return max(1, width // 16)


def _units(units: int, each: int = 1, start: int = 0) -> Tensor:
    """Places ``[units, each]``: neighbours, from ``start`` on."""
    return start + torch.arange(units * each).view(units, each)


def _both(key: str, at: Tensor) -> list[Axis]:
    """The outputs of a layer with a bias."""
    return [Axis(f"{key}.weight", 0, at), Axis(f"{key}.bias", 0, at)]


def _small(config: VAEConfig) -> list[ChannelGroup]:
    """Groups of ``VAE``: a stream a level, the inner channels of each block, and a level of the encoder of hints."""
    found: list[ChannelGroup] = []
    widths, last = config.decoder[::-1], len(config.decoder) - 1  # coarse to fine, as the decoder runs
    for i, width in enumerate(widths):
        norms, one = _norms(width), _units(width)
        at = _units(norms, width // norms) if norms > 1 else one
        # Transposed convolutions have their inputs first.
        stream = (
            _both("from_latent", at)
            if i == 0
            else [Axis(f"decoder.between.{i - 1}.{x}", d, at) for x, d in (("weight", 1), ("bias", 0))]
        )
        stream.append(Axis("out.weight" if i == last else f"decoder.between.{i}.weight", 0, at))
        for j in range(config.blocks[::-1][i]):
            block = f"decoder.levels.{i}.{j}"
            stream += [*_both(f"{block}.norm", at), *_both(f"{block}.second", at)]
            stream += [Axis(f"{block}.{x}.weight", 1, at) for x in ("first", "message")]
            inner = [
                *_both(f"{block}.first", one),
                Axis(f"{block}.message.weight", 0, one),
                Axis(f"{block}.second.weight", 1, one),
            ]
            found.append(ChannelGroup(width, tuple(inner)))
        if config.hint:
            fine = last - i  # hints are encoded fine to coarse
            stream.append(Axis(f"hint.say.{fine}.weight", 0, at))
            made = "hint.into.weight" if fine == 0 else f"hint.down.{fine - 1}.weight"
            read = [f"hint.say.{fine}.weight", *([f"hint.down.{fine}.weight"] if fine < last else [])]
            found.append(ChannelGroup(width, (Axis(made, 0, one), *(Axis(key, 1, one) for key in read))))
        found.append(ChannelGroup(len(at), tuple(stream)))
    return found


def _wan(vae: WanVAE) -> list[ChannelGroup]:
    """Groups of ``WanVAE``: the stream that shortcuts tie across levels, those in blocks that change width, inner channels."""
    config, found = vae.config, list[ChannelGroup]()
    widths = [config.decoder * m for m in (config.multiples[-1], *config.multiples[::-1])]
    last, state = len(config.multiples) - 1, vae.state_dict()
    # A shortcut repeats channels in their order (DupUp3D): the least tied width are the units, several channels elsewhere.
    units = min(widths[: last + 1])
    trunk = _both("decoder.conv_in", _units(units, widths[0] // units))

    def residual(key: str, into: Tensor, out: Tensor) -> tuple[list[Axis], list[Axis]]:
        """A residual block: what it reads of one stream, what it writes to another; its inner channels are a group."""
        one = _units(len(state[f"{key}.conv1.bias"]))
        inner = [*_both(f"{key}.conv1", one), Axis(f"{key}.norm2.gamma", 0, one, 0.5), Axis(f"{key}.conv2.weight", 1, one)]
        found.append(ChannelGroup(len(one), tuple(inner)))
        reads = [Axis(f"{key}.norm1.gamma", 0, into, 0.5), Axis(f"{key}.conv1.weight", 1, into)]
        writes = _both(f"{key}.conv2", out)
        if f"{key}.conv_shortcut.weight" in state:
            reads.append(Axis(f"{key}.conv_shortcut.weight", 1, into))
            writes += _both(f"{key}.conv_shortcut", out)
        return reads, writes

    wide = _units(units, widths[0] // units)
    for j in range(2):
        trunk += [x for part in residual(f"decoder.mid_block.resnets.{j}", wide, wide) for x in part]
    key, width = "decoder.mid_block.attentions.0", widths[0]
    q, k, v = (_units(width, start=n * width) for n in range(3))
    trunk += [Axis(f"{key}.norm.gamma", 0, wide, 0.5), Axis(f"{key}.to_qkv.weight", 1, wide), *_both(f"{key}.proj", wide)]
    # Scores are divided by the root of the width.
    scores = [Axis(f"{key}.to_qkv.{x}", 0, at, power) for x in ("weight", "bias") for at, power in ((q, -0.5), (k, 0.0))]
    found.append(ChannelGroup(width, tuple(scores)))
    found.append(ChannelGroup(width, (*_both(f"{key}.to_qkv", v), Axis(f"{key}.proj.weight", 1, _units(width)))))
    for i in range(last + 1):
        block, n = f"decoder.up_blocks.{i}", widths[i + 1]
        into, apart = _units(units, widths[i] // units), widths[i] != n
        at, stream = (_units(n), list[Axis]()) if apart else (into, trunk)
        for j in range(config.blocks + 1):
            reads, writes = residual(f"{block}.resnets.{j}", at if j else into, at)
            (stream if j else trunk).extend(reads)
            stream += writes
        if f"{block}.upsampler.time_conv.weight" in state:
            twice = torch.cat([at, at + n], 1)  # each channel makes two frames
            stream += [Axis(f"{block}.upsampler.time_conv.weight", 1, at), *_both(f"{block}.upsampler.time_conv", twice)]
        if i < last:
            stream.append(Axis(f"{block}.upsampler.resample.1.weight", 1, at))
            trunk += _both(f"{block}.upsampler.resample.1", _units(units, n // units))
        else:
            stream += [Axis("decoder.norm_out.gamma", 0, at, 0.5), Axis("decoder.conv_out.weight", 1, at)]
        if apart:
            found.append(ChannelGroup(n, tuple(stream)))
    found.append(ChannelGroup(units, tuple(trunk)))
    return found
