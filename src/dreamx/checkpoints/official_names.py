"""Released transformers by their own names: Wan2.2-TI2V-5B, DreamX-World-5B-Cam and DreamX-World-5B <-> our ``DiT``.

The networks are the same, so every tensor of one has its place in the other, bit for bit; only names, three shapes and the
order of the channels of the last layer differ. What a checkpoint does not say is in its config: how many heads there are. The
camera lane has ``num_heads / attn_compress`` heads in the bidirectional model and ``num_heads`` in the causal one, in tensors of
the same shapes, so whoever reads a checkpoint must know which of the two it is. Source: the released configs and code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamx.bounds import check_values
from dreamx.checkpoints.rename_tensors import betrayed, layer_names, more
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.plaintext import brief

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
    "lora_": "these are LoRA factors, not the weights that they change; give the weights, and these with --lora",
    "k_img": "it is a model that also reads CLIP features of an image, which none of the 5B models does",
    "add_k_proj": "it is a model that also reads CLIP features of an image, which none of the 5B models does",
    "SelfAttention": "these are text encoder weights, not a transformer",
    "attn1.": "it is in the diffusers layout",
    "condition_embedder": "it is in the diffusers layout",
    "generator": "it is a training checkpoint; take what is under `generator_ema` or `generator`",
    "model.": "it is wrapped in a module; strip `model.` from the names",
    "blk.": "these are the weights of a language model in GGUF, not a transformer of video",
    "_scale": "these are scales of a quantised kind that is not read; take the bfloat16, fp8 or GGUF file of the model",
    "decoder.3.conv.": "it is a small autoencoder such as taew2_2; give it with --decoder to play, and Wan2.2_VAE.pth here",
    "encoder.conv": "these are autoencoder weights, not a transformer",
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
        raise ValueError(f"config: must be a JSON object, not {brief(official)}")

    def number(key: str) -> int:
        value = official.get(key)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{key}: the config of a released transformer has a positive whole number there, not {brief(value)}")
        return value

    for key in ("qk_norm", "cross_attn_norm"):
        if official.get(key, True) is not True:
            raise ValueError(f"{key}: the released transformers have these norms, but the config says {brief(official[key])}")
    patch = official.get("patch_size", [1, 2, 2])
    if not isinstance(patch, list | tuple) or len(patch) != 3 or list(patch) != [1, patch[-1], patch[-1]]:
        raise ValueError(f"patch_size: must be square and one frame long, [1, 2, 2], not {brief(patch)}")
    if number("in_dim") != number("out_dim"):
        raise ValueError(
            f"out_dim: the velocity has as many channels as the latent, {official['in_dim']}, not {official['out_dim']}"
        )
    width, heads = number("dim"), number("num_heads")
    eps = official.get("eps", 1e-6)
    if not isinstance(eps, int | float) or not 0 < eps < 1:
        raise ValueError(f"eps: must be a small number above 0, not {brief(eps)}")
    view = None
    if official.get("add_control_adapter") and official.get("cam_method") == "prope":
        compress = number("attn_compress") if "attn_compress" in official else 1  # as the released code has it
        layers = official.get("cam_self_attn_layers")
        if layers is not None and not (isinstance(layers, list | tuple) and all(isinstance(x, int) for x in layers)):
            raise ValueError(f"cam_self_attn_layers: must be a list of whole numbers, not {brief(layers)}")
        view_heads = heads if causal else heads // compress  # 24 heads of 32 channels, or 6 of 128
        # A camera acts on groups of four channels.
        if width % compress or not view_heads or (width // compress) % (4 * view_heads):
            raise ValueError(f"attn_compress: {compress} leaves no heads of 4 k channels of width {width} and {heads} heads")
        view = ViewConfig(width // compress, view_heads, layers=None if layers is None else tuple(layers))
    found = DiTConfig(
        channels=number("in_dim"),
        width=width,
        heads=heads,
        layers=number("num_layers"),
        mlp=number("ffn_dim"),
        text=number("text_dim"),
        patch=patch[-1],
        frequencies=number("freq_dim"),
        eps=eps,
        view=view,
    )
    check_values(found)
    return found


def read_kind(official: Mapping[str, Any], causal: bool) -> TransformerMeta:
    """Read all but the sizes from the ``config.json`` of a released transformer. The yaml beside it has chunks of 3."""
    given = {"text_len": 512, "num_frames_per_block": 3, "local_attn_size": 12, "sink_size": 3, **official}
    for key in ("text_len", "num_frames_per_block", "local_attn_size", "sink_size"):
        if not isinstance(given[key], int):
            raise ValueError(f"{key}: must be a whole number, not {brief(given[key])}")
    window = given["local_attn_size"] if given["local_attn_size"] > 0 else None  # -1: no limit
    past = CausalConfig(given["num_frames_per_block"], window, given["sink_size"]) if causal else None
    found = TransformerMeta(given["text_len"], past)
    check_values(found)
    return found


def write_config(config: DiTConfig, kind: TransformerMeta) -> dict[str, Any]:
    """The ``config.json`` that ``read_config`` and ``read_kind`` understand. ValueError when theirs lacks a setting of ours."""
    c, view, past = config, config.view, kind.past
    if c.hint or (view is not None and (view.pool != (1.0, 1.0) or view.rope)):
        raise ValueError("config: hints, a pooled camera lane and rows and columns in it have no place in a released transformer")
    said: dict[str, Any] = {
        "_class_name": "WanModel" if past is None else "CausalWanModel",
        "model_type": "ti2v",
        "patch_size": [1, c.patch, c.patch],
        "text_len": kind.words,
        "text_dim": c.text,
        "in_dim": c.channels,
        "dim": c.width,
        "ffn_dim": c.mlp,
        "freq_dim": c.frequencies,
        "out_dim": c.channels,
        "num_heads": c.heads,
        "num_layers": c.layers,
        "qk_norm": True,
        "cross_attn_norm": True,
        "eps": c.eps,
    }
    if past is not None:
        window = -1 if past.window is None else past.window
        said |= {"local_attn_size": window, "sink_size": past.sinks, "num_frames_per_block": past.chunk}
    if view is not None:
        layers = None if view.layers is None else list(view.layers)
        said |= {"add_control_adapter": True, "cam_method": "prope", "attn_compress": c.width // view.width}
        said |= {"cam_self_attn_layers": layers}
    # Read back at once: a config that does not say all of ours would load as another network.
    if read_config(said, past is not None) != c or read_kind(said, past is not None) != kind:
        raise ValueError(
            "config: this is no network of the released kinds, whose camera lane has as many heads as the rest (causal, and it "
            "sees its chunk alone, in relative time) or as many fewer as it is narrower (bidirectional)"
        )
    return said


def names(config: DiTConfig) -> dict[str, str]:
    """Every name of a released checkpoint -> ours."""
    found = {"head.modulation": "modulation"}
    for theirs, ours in _TOP.items():
        found |= layer_names(theirs, ours)
    for i in range(config.layers):
        a = f"blocks.{i}"
        found[f"{a}.modulation"] = f"{a}.modulation"
        for theirs, ours in _BLOCK.items():
            found |= layer_names(f"{a}.{theirs}", f"{a}.{ours}")
        for lane, (module, parts) in _LANES.items():
            view = config.view
            if lane == "view" and (view is None or (view.layers is not None and i not in view.layers)):
                continue
            for theirs, ours in parts.items():
                found |= layer_names(f"{a}.{module}.{theirs}", f"{a}.{lane}.{ours}")
            for norm in ("norm_q.weight", "norm_k.weight"):
                found[f"{a}.{module}.{norm}"] = f"{a}.{lane}.{norm}"
    return found


def our_shapes(config: DiTConfig) -> dict[str, torch.Size]:
    """Names and shapes of our ``DiT(config)``; nothing is allocated."""
    with torch.device("meta"):
        return {name: x.shape for name, x in DiT(config).state_dict().items()}


def shapes(config: DiTConfig) -> dict[str, torch.Size]:
    """Names and shapes of a released checkpoint of this config; nothing is allocated."""
    with torch.device("meta"):
        ours = DiT(config).state_dict()
    return {name: x.shape for name, x in to_official(ours, config).items()}


def check(tensors: Mapping[str, Tensor], want: Mapping[str, torch.Size]) -> None:
    """ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape."""
    unknown = [k for k in tensors if k not in want]
    missing = [k for k in want if k not in tensors]
    if unknown:
        raise ValueError(f"{unknown[0]!r}{more(unknown)} has no place in the transformer: {cause(unknown)}")
    if missing:
        raise ValueError(f"{missing[0]!r}{more(missing)} is missing: {_absence(missing[0], tensors)}")
    for name, shape in want.items():
        if tensors[name].shape != shape:
            raise ValueError(
                f"{name!r} is {tuple(tensors[name].shape)} where the config makes it {tuple(shape)}: "
                "the config.json is of another checkpoint"
            )


def from_official(tensors: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """A released checkpoint as the state of our ``DiT(config)``; only the last layer is copied, all else are views.

    ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape.
    """
    check(tensors, shapes(config))
    return {b: laid(b, tensors[a], config) for a, b in names(config).items()}


def laid(ours: str, x: Tensor, config: DiTConfig) -> Tensor:
    """A released parameter (or rows like its own) in the shape and order of our parameter of the name ``ours``."""
    if ours == "patch.weight":
        return x.flatten(1)  # the patch's convolution [width, C, 1, p, p] as a matrix
    if ours in ("head.weight", "head.bias"):  # theirs: row, column, channel; ours, like the patch: channel, row, column
        p = config.patch
        return x.unflatten(0, (p, p, config.channels)).movedim(2, 0).flatten(0, 2)
    return x[0] if ours.endswith("modulation") else x  # theirs has a leading axis of 1 for the batch


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
    dit.load_state_dict(state, assign=True)  # the tensors themselves, memory-mapped if so loaded: no second 10 GB
    return dit


def cause(unknown: Sequence[str]) -> str:
    """Why a file has names that a transformer has not."""
    # The first that fits: the table is ordered from particular to general.
    return betrayed(unknown, _BETRAYALS, "it is a checkpoint of something else")


def _absence(name: str, tensors: Iterable[str]) -> str:
    if "cam_self_attn" not in name:
        return "a shard was forgotten, the file was cut, or the config.json is of another checkpoint"
    if any("cam_self_attn" in other for other in tensors):
        return "the config.json has a camera lane in layers where the weights have none, so it is of another checkpoint"
    return "a checkpoint without camera lane, such as Wan2.2-TI2V-5B, needs a config without add_control_adapter"
