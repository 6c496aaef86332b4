"""The small decoder taew2_2 on disk: its published names <-> ``TinyWanDecoder``; and another decoder in place of a released one.

The file holds a list of layers, numbered; those without weights count, too. An encoder in it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dreamx.bounds import check_values
from dreamx.checkpoints import beside, weight_files
from dreamx.checkpoints.rename_tensors import layer_names, renamed
from dreamx.model.tiny_wan_decoder import TinyDecoderConfig, TinyWanDecoder
from dreamx.model.wan_vae import WanVAE, WanVAEConfig, load
from dreamx.plaintext import named

_BETRAYALS = {
    "conv1.weight": "it is the autoencoder of Wan itself",
    "conv_in": "it is the autoencoder of Wan itself",
    "blocks.": "these are transformer weights, not a decoder",
    "shared.": "these are text encoder weights, not a decoder",
    "decoder.": "it is a small decoder of another architecture, such as taehv or taecvx",
}


def names(config: TinyDecoderConfig) -> dict[str, str]:
    """Every published name of the decoder -> ours."""
    found = layer_names("decoder.1", "into")
    each, levels = config.blocks + 3, len(config.time)  # blocks, an enlargement, a layer that grows time, one that narrows
    for i in range(levels):
        start = 3 + i * each
        for j in range(config.blocks):
            for theirs, ours in (("0", "first"), ("2", "second"), ("4", "third")):
                found |= layer_names(f"decoder.{start + j}.conv.{theirs}", f"levels.{i}.{j}.{ours}")
        found[f"decoder.{start + config.blocks + 1}.conv.weight"] = f"grow.{i}.weight"
        found[f"decoder.{start + config.blocks + 2}.weight"] = f"narrow.{i}.weight"
    return found | layer_names(f"decoder.{4 + levels * each}", "out")


def read(file: Path) -> tuple[TinyDecoderConfig, dict[str, Tensor]]:
    """Read ``taew2_2.pth`` or its safetensors: config and tensors by our names. ValueError names the file and what it is."""
    with named(file, file):
        return from_published(weight_files.read(file))


def from_published(tensors: Mapping[str, Tensor]) -> tuple[TinyDecoderConfig, dict[str, Tensor]]:
    """Config and tensors by our names. ValueError, one sentence, for anything but taew2_2, in whatever widths."""
    held = {k: x for k, x in tensors.items() if not k.startswith("encoder.") or "conv1" in k or "conv_in" in k}
    if "decoder.0.weight" in held and "decoder.1.conv.0.weight" in held:
        raise ValueError("it is a small decoder of the kind super, such as taew2_2_super, which is not read; give taew2_2")
    base = TinyDecoderConfig()
    table, each = names(base), base.blocks + 3
    want = [f"decoder.{k}.weight" for k in (1, *(3 + i * each + base.blocks + 2 for i in range(len(base.time))))]
    if any(k not in held or held[k].ndim != 4 for k in want):
        renamed(held, table, {}, "the small decoder taew2_2", _BETRAYALS)  # which says what is unknown, or missing
        raise ValueError("its layers are no convolutions of pictures, so it is no small decoder")
    latent, widths = held["decoder.1.weight"].shape[1], tuple(len(held[k]) for k in want)
    last = held.get(f"decoder.{4 + len(base.time) * each}.weight")
    patch = 0 if last is None else round((len(last) / 3) ** 0.5)
    if latent != base.latent or patch != base.patch:
        raise ValueError(
            f"it decodes latents of {latent} channels to patches of {patch} x {patch} pixels, as taehv and taew2_1 do of 16 to 1 "
            f"x 1; those of Wan2.2 have {base.latent} and {base.patch} x {base.patch}: give taew2_2"
        )
    config = TinyDecoderConfig(latent, widths)
    check_values(config)
    with torch.device("meta"):
        shapes = {k: x.shape for k, x in TinyWanDecoder(config).state_dict().items()}
    # A layer that does not grow time may have been published with more frames, of which the last are those that count.
    for theirs, ours in names(config).items():
        if ours.startswith("grow.") and theirs in held and held[theirs].shape[0] in (2 * shapes[ours][0], 4 * shapes[ours][0]):
            held[theirs] = held[theirs][-shapes[ours][0] :]
    return config, renamed(held, names(config), shapes, "the small decoder taew2_2", _BETRAYALS)


def decoder_config(config: WanVAEConfig, place: Path) -> WanVAEConfig:
    """The config of an autoencoder with the decoder at ``place`` in place of its own; see ``with_decoder``."""
    return _replaced(config, place)[0]


def with_decoder(vae: WanVAE, place: Path) -> WanVAE:
    """The autoencoder with another decoder: taew2_2 (a file), or what ``dreamx train decoder`` wrote (a folder).

    ValueError, one sentence, where ``place`` holds neither, or a decoder of other latents. Its numbers are those of ``vae``.
    """
    config, decoding = _replaced(vae.config, place)
    like = vae.quant_conv.weight
    state = {k: x for k, x in vae.state_dict().items() if k.startswith(("encoder.", "quant_conv."))}
    state |= {k: x.to(like.device, like.dtype) for k, x in decoding.items()}
    return load(state, config)


def _replaced(config: WanVAEConfig, place: Path) -> tuple[WanVAEConfig, dict[str, Tensor]]:
    if not place.is_dir():
        small, tensors = read(place)
        frames, shrink = 2 ** sum(small.time), small.patch * 2 ** len(small.time)
        _refuse_other(place, config, (small.latent, frames, shrink))
        return replace(config, small=small), {f"small.{k}": x for k, x in tensors.items()}
    other = beside.open_autoencoder(place)
    if not isinstance(other, WanVAE):
        raise ValueError(f"decoder: {place} holds an autoencoder of ours, whose latents are others; give one of Wan2.2's")
    c = other.config
    _refuse_other(place, config, (c.latent, c.group, c.shrink))
    if (c.mean, c.std) != (config.mean, config.std):
        raise ValueError(f"decoder: {place} was trained for latents of another mean and deviation than those of this model")
    decoding = {k: x for k, x in other.state_dict().items() if not k.startswith(("encoder.", "quant_conv."))}
    return replace(c, encoder=config.encoder), decoding


def _refuse_other(place: Path, config: WanVAEConfig, found: tuple[int, int, int]) -> None:
    want = (config.latent, config.group, config.shrink)
    if found != want:
        kinds = ("{} channels, {} frames and {} x {} pixels".format(*x, x[2]) for x in (found, want))
        raise ValueError("decoder: {} makes of a latent {}, and this model's has {}".format(place, *kinds))
