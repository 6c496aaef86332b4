"""Names and configs of umT5 checkpoints: the released ``.pth`` and transformers' files -> ``model.umt5``, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dreamx.bounds import check_values
from dreamx.checkpoints.rename_tensors import betrayed, renamed
from dreamx.model.umt5 import UMT5Config, shapes, transformers_arguments

_BETRAYALS = {
    "self_attn": "these are transformer weights, not a text encoder",
    "attn1.": "these are transformer weights, not a text encoder",
    "generator": "it is a training checkpoint of a transformer, not a text encoder",
    "decoder.block": "it is the whole umT5, with its decoder; keep what is under `encoder.` and `shared.`",
    "decoder.": "these are autoencoder weights, not a text encoder",
    "encoder.conv": "these are autoencoder weights, not a text encoder",
}


#: Of the whole umT5, of which the encoder is enough.
DECODER = ("decoder.", "lm_head.")


def names(config: UMT5Config) -> dict[str, str]:
    """Every name of the released ``models_t5_umt5-xxl-enc-bf16.pth`` -> ours."""
    found = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
    for i in range(config.layers):
        a, b = f"blocks.{i}", f"encoder.block.{i}.layer"
        for theirs, ours in (
            ("norm1", "0.layer_norm"),
            *((f"attn.{x}", f"0.SelfAttention.{x}") for x in "qkvo"),
            ("pos_embedding.embedding", "0.SelfAttention.relative_attention_bias"),
            ("norm2", "1.layer_norm"),
            ("ffn.gate.0", "1.DenseReluDense.wi_0"),
            ("ffn.fc1", "1.DenseReluDense.wi_1"),
            ("ffn.fc2", "1.DenseReluDense.wo"),
        ):
            found[f"{a}.{theirs}.weight"] = f"{b}.{ours}.weight"
    return found


def from_official(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The released ``.pth`` as the state of our ``UMT5(config)``; nothing is copied.

    ValueError, one sentence that names the key and the likely cause, when one is missing, unknown or of another shape.
    """
    return renamed(tensors, names(config), shapes(config), "the text encoder umT5", _BETRAYALS)


def from_transformers(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The same for the state of a ``UMT5EncoderModel``, whose names are ours.

    Some files hold the word table twice, some the decoder, too; ComfyUI's have a ``logit_scale``, which the network has not.
    """
    left = ("encoder.embed_tokens.weight", "logit_scale")
    own = {k: x for k, x in tensors.items() if k not in left and not k.startswith(DECODER)}
    if "shared.weight" not in own and "encoder.embed_tokens.weight" in tensors:
        own["shared.weight"] = tensors["encoder.embed_tokens.weight"]
    want = shapes(config)
    return renamed(own, {k: k for k in want}, want, "the text encoder umT5", _BETRAYALS)


def to_official(tensors: Mapping[str, Tensor], config: UMT5Config) -> dict[str, Tensor]:
    """The state of our ``UMT5(config)``, which is also that of transformers, under the released names."""
    return {a: tensors[b] for a, b in names(config).items()}


def read_config(transformers: Mapping[str, Any]) -> UMT5Config:
    """Our config for the ``config.json`` of a ``UMT5EncoderModel``. ValueError where it is another network."""
    if transformers.get("model_type") != "umt5":
        raise ValueError(f"model_type: the text encoder of the 5B models is umt5, not {transformers.get('model_type')!r}")
    given = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, **transformers}
    keys = ("vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers", *list(given)[:2])
    for key in keys:
        if not isinstance(given.get(key), int):
            raise ValueError(f"{key}: the config of a text encoder has a whole number there, not {given.get(key)!r}")
    found = UMT5Config(*(given[key] for key in keys))
    check_values(found)
    return found


def write_config(config: UMT5Config) -> dict[str, Any]:
    """The ``config.json`` that transformers and ``read_config`` understand."""
    return {"architectures": ["UMT5EncoderModel"], "model_type": "umt5", **transformers_arguments(config)}


def config_of(official: Mapping[str, Tensor]) -> UMT5Config:
    """The config of a released ``.pth``, which says nothing but its tensors."""
    q, position = "blocks.0.attn.q.weight", "blocks.0.pos_embedding.embedding.weight"
    for key in ("token_embedding.weight", q, position, "blocks.0.ffn.fc1.weight"):
        if key not in official:
            some = betrayed(official, _BETRAYALS, "it is something else")
            raise ValueError(f"has no {key!r}, so it is no text encoder umT5: {some}")
    rows, width = official["token_embedding.weight"].shape
    buckets, heads = official[position].shape
    layers = sum(re.fullmatch(r"blocks\.\d+\.norm1\.weight", k) is not None for k in official)
    return UMT5Config(rows, width, heads, len(official[q]) // heads, len(official["blocks.0.ffn.fc1.weight"]), layers, buckets)


def config_of_transformers(tensors: Mapping[str, Tensor]) -> UMT5Config:
    """The config of a file with the names of transformers (and of ComfyUI), which has no ``config.json`` beside it."""
    first = "encoder.block.0.layer"
    q, bias, up = (
        f"{first}.{x}.weight" for x in ("0.SelfAttention.q", "0.SelfAttention.relative_attention_bias", "1.DenseReluDense.wi_1")
    )
    words = next((x for x in ("shared.weight", "encoder.embed_tokens.weight") if x in tensors), "shared.weight")
    for key in (words, q, bias, up):
        if key not in tensors or tensors[key].ndim != 2:
            some = betrayed(tensors, _BETRAYALS, "it is something else")
            raise ValueError(f"has no matrix {key!r}, so it is no text encoder umT5: {some}")
    layers = sum(re.fullmatch(r"encoder\.block\.\d+\.layer\.0\.layer_norm\.weight", k) is not None for k in tensors)
    if layers > 1 and f"encoder.block.1.{bias.removeprefix('encoder.block.0.')}" not in tensors:
        raise ValueError("it is a T5, with one table of positions for all layers; the text encoder of the 5B models is umT5-XXL")
    (rows, width), (buckets, heads) = tensors[words].shape, tensors[bias].shape
    return UMT5Config(rows, width, heads, len(tensors[q]) // heads, len(tensors[up]), layers, buckets)
