"""The autoencoder of Wan2.2 on disk: the released ``Wan2.2_VAE.pth`` and the diffusers folder <-> ``WanVAE``.

Our names are those of diffusers. The released file has others, for the same tensors in the same shapes, and no config: it is
read off the shapes. (The converter inside diffusers does not know this file's nesting ``downsamples.i.downsamples.j``.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dreamx.bounds import check_values
from dreamx.checkpoints.rename_tensors import betrayed, layer_names, renamed
from dreamx.model.wan_vae import MEAN, STD, WanVAEConfig, arguments, shapes

_BETRAYALS = {
    "self_attn": "these are transformer weights, not an autoencoder",
    "attn1.": "these are transformer weights, not an autoencoder",
    "token_embedding": "these are text encoder weights, not an autoencoder",
    "SelfAttention": "these are text encoder weights, not an autoencoder",
    "generator": "it is a training checkpoint of a transformer, not an autoencoder",
    "encoder.downsamples.0.residual": "it is the autoencoder of Wan2.1, whose latents no 5B model reads",
    "encoder.down_blocks.0.norm1": "it is the autoencoder of Wan2.1, whose latents no 5B model reads",
}


def names(config: WanVAEConfig) -> dict[str, str]:
    """Every name of the released ``.pth`` -> ours."""
    found = layer_names("conv1", "quant_conv") | layer_names("conv2", "post_quant_conv")
    m, last = config.multiples, len(config.multiples) - 1
    for side, steps, block, resampler, count, widths, timed in (
        ("encoder", "downsamples", "down_blocks", "downsampler", config.blocks, (1, *m), config.time),
        ("decoder", "upsamples", "up_blocks", "upsampler", config.blocks + 1, (m[-1], *m[::-1]), config.time[::-1]),
    ):
        found |= layer_names(f"{side}.conv1", f"{side}.conv_in") | layer_names(f"{side}.head.2", f"{side}.conv_out")
        found[f"{side}.head.0.gamma"] = f"{side}.norm_out.gamma"
        for theirs, ours in (("0", "resnets.0"), ("2", "resnets.1")):
            found |= _residual(f"{side}.middle.{theirs}", f"{side}.mid_block.{ours}", False)
        a, b = f"{side}.middle.1", f"{side}.mid_block.attentions.0"
        found |= (
            {f"{a}.norm.gamma": f"{b}.norm.gamma"}
            | layer_names(f"{a}.to_qkv", f"{b}.to_qkv")
            | layer_names(f"{a}.proj", f"{b}.proj")
        )
        for i in range(last + 1):
            a, b = f"{side}.{steps}.{i}.{steps}", f"{side}.{block}.{i}"
            for j in range(count):
                found |= _residual(f"{a}.{j}", f"{b}.resnets.{j}", j == 0 and widths[i] != widths[i + 1])
            if i < last:
                found |= layer_names(f"{a}.{count}.resample.1", f"{b}.{resampler}.resample.1")
            if i < last and timed[i]:
                found |= layer_names(f"{a}.{count}.time_conv", f"{b}.{resampler}.time_conv")
    return found


def from_official(tensors: Mapping[str, Tensor], config: WanVAEConfig) -> dict[str, Tensor]:
    """The released ``.pth`` as the state of our ``WanVAE(config)``; all are views.

    ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape.
    """
    return renamed(tensors, names(config), shapes(config), "the autoencoder of Wan2.2", _BETRAYALS)


def from_diffusers(tensors: Mapping[str, Tensor], config: WanVAEConfig) -> dict[str, Tensor]:
    """The same for the state of an ``AutoencoderKLWan``, whose names are ours."""
    want = shapes(config)
    return renamed(tensors, {k: k for k in want}, want, "the autoencoder of Wan2.2", _BETRAYALS)


def to_official(tensors: Mapping[str, Tensor], config: WanVAEConfig) -> dict[str, Tensor]:
    """The state of our ``WanVAE(config)``, which is also that of diffusers, under the released names."""
    return {a: tensors[b] for a, b in names(config).items()}


def read_config(diffusers: Mapping[str, Any]) -> WanVAEConfig:
    """Our config for the ``config.json`` of an ``AutoencoderKLWan``. ValueError where it is no autoencoder of Wan2.2."""
    if "z_dim" not in diffusers:
        raise ValueError("z_dim: is missing, so this is no config of an AutoencoderKLWan")
    if diffusers.get("is_residual") is not True:
        raise ValueError("is_residual: not true, so this is the autoencoder of Wan2.1, whose latents no 5B model reads")
    if diffusers.get("attn_scales"):
        raise ValueError(f"attn_scales: no released autoencoder has attention between levels, not {diffusers['attn_scales']}")
    try:
        found = WanVAEConfig(
            latent=int(diffusers["z_dim"]),
            encoder=int(diffusers["base_dim"]),
            decoder=int(diffusers.get("decoder_base_dim") or diffusers["base_dim"]),
            multiples=tuple(diffusers["dim_mult"]),
            blocks=int(diffusers["num_res_blocks"]),
            time=tuple(diffusers["temperal_downsample"]),
            patch=int(diffusers.get("patch_size") or 1),
            mean=tuple(map(float, diffusers["latents_mean"])),
            std=tuple(map(float, diffusers["latents_std"])),
        )
    except (KeyError, TypeError, OverflowError) as e:
        raise ValueError(f"the config.json of the autoencoder has no usable {e}; copy it again") from e
    check_values(found)
    return found


def write_config(config: WanVAEConfig) -> dict[str, Any]:
    """The ``config.json`` that diffusers and ``read_config`` understand."""
    return {"_class_name": "AutoencoderKLWan", "dropout": 0.0, **arguments(config)}


def config_of(official: Mapping[str, Tensor]) -> WanVAEConfig:
    """The config of a released ``.pth``, which says nothing but its tensors.

    Mean and deviation of the latents are those of the release, or 0 and 1 where the number of channels is another.
    """
    first = "encoder.downsamples.0.downsamples.0.residual.2.weight"
    for key in ("conv2.weight", "encoder.conv1.weight", "decoder.head.0.gamma", first):
        if key not in official:
            some = betrayed(official, _BETRAYALS, "it is something else")
            raise ValueError(f"has no {key!r}, so it is no autoencoder of Wan2.2: {some}")
    width, latent = len(official["encoder.conv1.weight"]), len(official["conv2.weight"])
    levels = _count(official, "encoder.downsamples.{}.downsamples.0.residual.2.weight")
    blocks = _count(official, "encoder.downsamples.0.downsamples.{}.residual.2.weight")
    wide = [len(official[f"encoder.downsamples.{i}.downsamples.0.residual.2.weight"]) for i in range(levels)]
    multiples = tuple(w // width for w in wide)
    known = latent == len(MEAN)
    return WanVAEConfig(
        latent=latent,
        encoder=width,
        decoder=len(official["decoder.head.0.gamma"]) // multiples[0],
        multiples=multiples,
        blocks=blocks,
        time=tuple(f"encoder.downsamples.{i}.downsamples.{blocks}.time_conv.weight" in official for i in range(levels - 1)),
        patch=round((official["encoder.conv1.weight"].shape[1] / 3) ** 0.5),
        mean=MEAN if known else (0.0,) * latent,
        std=STD if known else (1.0,) * latent,
    )


def config_of_diffusers(tensors: Mapping[str, Tensor]) -> WanVAEConfig:
    """The same for the names of diffusers, where no ``config.json`` lies beside them."""
    told = (
        ("encoder.conv_in.", "encoder.conv1."),
        ("post_quant_conv.", "conv2."),
        ("decoder.norm_out.", "decoder.head.0."),
        (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.", r"encoder.downsamples.\1.downsamples.\2.residual.2."),
    )
    renamed: dict[str, Tensor] = {}
    blocks = _count(tensors, "encoder.down_blocks.0.resnets.{}.conv1.weight")
    for name, x in tensors.items():
        for theirs, ours in (
            *told,
            (
                r"encoder\.down_blocks\.(\d+)\.downsampler\.time_conv\.",
                rf"encoder.downsamples.\1.downsamples.{blocks}.time_conv.",
            ),
        ):
            name = re.sub(f"^{theirs}", ours, name)
        renamed[name] = x
    return config_of(renamed)


def _residual(theirs: str, ours: str, shortcut: bool) -> dict[str, str]:
    found = {f"{theirs}.residual.{i}.gamma": f"{ours}.norm{n}.gamma" for i, n in ((0, 1), (3, 2))}
    for i, n in ((2, 1), (6, 2)):
        found |= layer_names(f"{theirs}.residual.{i}", f"{ours}.conv{n}")
    return found | (layer_names(f"{theirs}.shortcut", f"{ours}.conv_shortcut") if shortcut else {})


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Count consecutive names of ``pattern``, from 0 on."""
    n = 0
    while pattern.format(n) in tensors:
        n += 1
    return n
