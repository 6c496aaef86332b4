"""Released transformers by their own names: Wan2.2-TI2V-5B, DreamX-World-5B-Cam and DreamX-World-5B <-> our ``DiT``.

The networks are the same, so every tensor of one has its place in the other, bit for bit; only names, three shapes and the
order of the channels of the last layer differ. What a checkpoint does not say is in its config: how many heads there are. The
camera lane has ``num_heads / attn_compress`` heads in the bidirectional model and ``num_heads`` in the causal one, in tensors of
the same shapes, so whoever reads a checkpoint must know which of the two it is. Source: the released configs and code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamx.model.dit import DiT, DiTConfig, ViewConfig

_TOP = {
    "patch_embedding": "patch",
    "text_embedding.0": "text.0",
    "text_embedding.2": "text.2",
    "time_embedding.0": "time.0",
    "time_embedding.2": "time.2",
    "time_projection.1": "time_blocks.1",
    "head.head": "head",
}
_BLOCK = {"norm3": "norm_text", "ffn.0": "mlp.0", "ffn.2": "mlp.2"}
_LANES = {
    "time": ("self_attn", {"q": "q", "k": "k", "v": "v", "o": "o"}),
    "text": ("cross_attn", {"q": "q", "k": "k", "v": "v", "o": "o"}),
    "view": ("cam_self_attn", {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o"}),
}

#: Parts of names that betray what a file is when it is not what was asked for.
_BETRAYALS = {
    "lora_": "it holds LoRA factors, not the weights that they change",
    "k_img": "it is a model that also reads CLIP features of an image, which none of the 5B models does",
    "attn1.": "it is in the diffusers layout",
    "condition_embedder": "it is in the diffusers layout",
    "generator": "it is a training checkpoint; take what is under `generator_ema` or `generator`",
    "model.": "it is wrapped in a module; strip `model.` from the names",
    "encoder.conv1": "these are autoencoder weights, not a transformer",
    "decoder.": "these are autoencoder weights, not a transformer",
    "token_embedding": "these are text encoder weights, not a transformer",
    "shared.": "these are text encoder weights, not a transformer",
    "cam_self_attn": "it has a camera lane that the config does not; see cam_self_attn_layers and add_control_adapter",
    "blocks.": "it is a deeper network than the config says",
}


def read_config(official: Mapping[str, Any], causal: bool) -> DiTConfig:
    """Our config for the ``config.json`` of a released transformer. ``causal``: whether it is the autoregressive one.

    ValueError, one sentence that names the key, where it is missing or says something that these networks never do.
    """

    if not isinstance(official, Mapping):
        raise ValueError(f"config: must be a JSON object, not {official!r}")

    def number(key: str) -> int:
        value = official.get(key)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{key}: the config of a released transformer has a positive whole number there, not {value!r}")
        return value

    for key in ("qk_norm", "cross_attn_norm"):
        if official.get(key, True) is not True:
            raise ValueError(f"{key}: the released transformers have these norms, but the config says {official[key]!r}")
    patch = official.get("patch_size", [1, 2, 2])
    if list(patch) != [1, patch[-1], patch[-1]]:
        raise ValueError(f"patch_size: must be square and one frame long, [1, 2, 2], not {patch}")
    if number("in_dim") != number("out_dim"):
        raise ValueError(
            f"out_dim: the velocity has as many channels as the latent, {official['in_dim']}, not {official['out_dim']}"
        )
    width, heads = number("dim"), number("num_heads")
    view = None
    if official.get("add_control_adapter") and official.get("cam_method") == "prope":
        compress, layers = number("attn_compress"), official.get("cam_self_attn_layers")
        view_heads = heads if causal else heads // compress
        if width % compress or not view_heads or (width // compress) % (4 * view_heads):
            raise ValueError(f"attn_compress: {compress} leaves no heads of 4 k channels of width {width} and {heads} heads")
        view = ViewConfig(width // compress, view_heads, layers=None if layers is None else tuple(layers))
    return DiTConfig(
        channels=number("in_dim"),
        width=width,
        heads=heads,
        layers=number("num_layers"),
        mlp=number("ffn_dim"),
        text=number("text_dim"),
        patch=patch[-1],
        frequencies=number("freq_dim"),
        eps=float(official.get("eps", 1e-6)),
        view=view,
    )


def names(config: DiTConfig) -> dict[str, str]:
    """Every name of a released checkpoint -> ours."""
    found = {"head.modulation": "modulation"}
    for theirs, ours in _TOP.items():
        found |= _linear(theirs, ours)
    for i in range(config.layers):
        a = f"blocks.{i}"
        found[f"{a}.modulation"] = f"{a}.modulation"
        for theirs, ours in _BLOCK.items():
            found |= _linear(f"{a}.{theirs}", f"{a}.{ours}")
        for lane, (module, parts) in _LANES.items():
            view = config.view
            if lane == "view" and (view is None or (view.layers is not None and i not in view.layers)):
                continue
            for theirs, ours in parts.items():
                found |= _linear(f"{a}.{module}.{theirs}", f"{a}.{lane}.{ours}")
            for norm in ("norm_q.weight", "norm_k.weight"):
                found[f"{a}.{module}.{norm}"] = f"{a}.{lane}.{norm}"
    return found


def shapes(config: DiTConfig) -> dict[str, torch.Size]:
    """Names and shapes of a released checkpoint of this config; nothing is allocated."""
    with torch.device("meta"):
        ours = DiT(config).state_dict()
    return {name: x.shape for name, x in to_official(ours, config).items()}


def from_official(tensors: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """A released checkpoint as the state of our ``DiT(config)``; only the last layer is copied, all else are views.

    ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape.
    """
    want = shapes(config)
    unknown = [k for k in tensors if k not in want]
    missing = [k for k in want if k not in tensors]
    if unknown:
        raise ValueError(f"{unknown[0]!r}{_more(unknown)} has no place in the transformer: {_cause(unknown)}")
    if missing:
        raise ValueError(f"{missing[0]!r}{_more(missing)} is missing: {_absence(missing[0])}")
    for name, shape in want.items():
        if tensors[name].shape != shape:
            raise ValueError(
                f"{name!r} is {tuple(tensors[name].shape)} where the config makes it {tuple(shape)}: "
                "the config.json is of another checkpoint"
            )
    c, p = config.channels, config.patch
    ours = {b: tensors[a] for a, b in names(config).items()}
    ours["patch.weight"] = ours["patch.weight"].flatten(1)
    for name in ("head.weight", "head.bias"):  # theirs: row, column, channel; ours, like the patch: channel, row, column
        ours[name] = ours[name].unflatten(0, (p, p, c)).movedim(2, 0).flatten(0, 2)
    return {k: x[0] if k.endswith("modulation") else x for k, x in ours.items()}


def to_official(tensors: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """The state of our ``DiT(config)`` under the released names; ``from_official`` of it is the same again, bit for bit."""
    c, p = config.channels, config.patch
    theirs = {a: tensors[b] for a, b in names(config).items()}
    theirs["patch_embedding.weight"] = theirs["patch_embedding.weight"].unflatten(1, (c, 1, p, p))
    for name in ("head.head.weight", "head.head.bias"):
        theirs[name] = theirs[name].unflatten(0, (c, p, p)).movedim(0, 2).flatten(0, 2)
    return {k: x[None] if k.endswith("modulation") else x for k, x in theirs.items()}


def load(tensors: Mapping[str, Tensor], config: DiTConfig) -> DiT:
    """Our network with the weights of a released checkpoint, without a second copy of them."""
    state = from_official(tensors, config)
    with torch.device("meta"):
        dit = DiT(config)
    dit.load_state_dict(state, assign=True)
    return dit


def _linear(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{x}": f"{ours}.{x}" for x in ("weight", "bias")}


def _cause(unknown: Sequence[str]) -> str:
    causes = (why for part, why in _BETRAYALS.items() if any(part in name for name in unknown))
    return next(causes, "it is a checkpoint of something else")


def _absence(name: str) -> str:
    if "cam_self_attn" in name:
        return "a checkpoint without camera lane, such as Wan2.2-TI2V-5B, needs a config without add_control_adapter"
    return "a shard was forgotten, the file was cut, or the config.json is of another checkpoint"


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
