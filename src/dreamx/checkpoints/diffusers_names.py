"""The names of diffusers for a released transformer, and back.

Diffusers' ``WanTransformer3DModel`` has the tensors of the released network under other names, in the same shapes. It has no
camera lane; whoever adds one keeps the released names for it, and so do we.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from dreamx.checkpoints import official_names
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.dit import DiTConfig

#: Released names -> those of diffusers, for what is not in a block and for what is.
_TOP = {
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
_BLOCK = {
    "modulation": "scale_shift_table",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    **{f"self_attn.{a}": f"attn1.{b}" for a, b in zip("qkvo", ("to_q", "to_k", "to_v", "to_out.0"), strict=True)},
    **{f"cross_attn.{a}": f"attn2.{b}" for a, b in zip("qkvo", ("to_q", "to_k", "to_v", "to_out.0"), strict=True)},
    **{f"{a}.norm_{x}": f"{b}.norm_{x}" for a, b in (("self_attn", "attn1"), ("cross_attn", "attn2")) for x in "qk"},
}
#: Keys of configs, released -> diffusers; where the value is the same.
_KEYS = {
    "in_dim": "in_channels",
    "out_dim": "out_channels",
    "num_heads": "num_attention_heads",
    "ffn_dim": "ffn_dim",
    "freq_dim": "freq_dim",
    "text_dim": "text_dim",
    "num_layers": "num_layers",
    "eps": "eps",
    "patch_size": "patch_size",
    "cross_attn_norm": "cross_attn_norm",
}
#: Keys that diffusers does not know, but that a camera lane or a causal network needs.
_EXTRA = (
    *("text_len", "local_attn_size", "sink_size", "num_frames_per_block"),
    *("add_control_adapter", "cam_method", "attn_compress", "cam_self_attn_layers"),
)


def is_diffusers(names: Iterable[str]) -> bool:
    return any("condition_embedder." in n or ".attn1." in n or ".attn2." in n for n in names)


def to_diffusers(name: str) -> str:
    """The name in diffusers of a released name."""
    return _renamed(name, _TOP, _BLOCK)


def from_diffusers(name: str) -> str:
    """The released name of a name in diffusers; names that neither has stay as they are."""
    return _renamed(name, {b: a for a, b in _TOP.items()}, {b: a for a, b in _BLOCK.items()})


def config_from_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The released ``config.json`` of one of diffusers'. ValueError where that is of a network that was never released."""
    missing = [b for b in _KEYS.values() if b not in theirs and b not in ("eps", "patch_size", "cross_attn_norm")]
    if missing:
        raise ValueError(f"{missing[0]}: is missing in the config, which is therefore not of diffusers' WanTransformer3DModel")
    for key in ("image_dim", "added_kv_proj_dim", "pos_embed_seq_len"):
        if theirs.get(key) is not None:
            raise ValueError(f"{key}: a model that also reads CLIP features of an image is none of the 5B models")
    if theirs.get("qk_norm", "rms_norm_across_heads") not in ("rms_norm_across_heads", True):
        raise ValueError(f"qk_norm: the released transformers have rms_norm_across_heads, not {theirs['qk_norm']!r}")
    heads, head = theirs["num_attention_heads"], theirs.get("attention_head_dim")
    if not isinstance(heads, int) or not isinstance(head, int):
        raise ValueError(f"attention_head_dim: must be a whole number, not {head!r}, for {heads!r} num_attention_heads")
    ours = {a: theirs[b] for a, b in _KEYS.items() if b in theirs}
    extra = {k: theirs[k] for k in ("_class_name", *_EXTRA) if k in theirs}
    return {**ours, **extra, "dim": heads * head, "qk_norm": True}


def config_to_diffusers(config: DiTConfig, kind: TransformerMeta) -> dict[str, Any]:
    """The ``config.json`` that diffusers reads, and with what a camera lane and a causal network need beside."""
    ours = official_names.write_config(config, kind)
    extra = {k: ours[k] for k in _EXTRA if k in ours and (k != "text_len" or config.view or kind.past)}
    name = "WanTransformer3DModel" if not extra else "DreamXWorld" + ("AR" if kind.past else "") + "Transformer3DModel"
    return {
        "_class_name": name,
        **{b: ours[a] for a, b in _KEYS.items()},
        "attention_head_dim": config.width // config.heads,
        "qk_norm": "rms_norm_across_heads",
        "image_dim": None,
        "added_kv_proj_dim": None,
        "pos_embed_seq_len": None,
        "rope_max_seq_len": 1024,
        **extra,
    }


def from_layout(tensors: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """An unwrapped checkpoint in either layout as the state of our ``DiT(config)``; errors name keys as the file has them."""
    if not is_diffusers(tensors):
        return official_names.from_official(tensors, config)
    official_names.check(tensors, {to_diffusers(k): shape for k, shape in official_names.shapes(config).items()})
    return official_names.from_official({from_diffusers(k): x for k, x in tensors.items()}, config)


def sizes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Shapes by released names, whichever layout the names are in."""
    rename = from_diffusers if is_diffusers(tensors) else str
    return {rename(k): x.shape for k, x in tensors.items()}


def _renamed(name: str, top: Mapping[str, str], block: Mapping[str, str]) -> str:
    inside = re.match(r"blocks\.\d+\.", name)
    head = inside.group() if inside else ""
    rest = name.removeprefix(head)
    for a, b in (block if inside else top).items():
        if rest == a or rest.startswith(f"{a}."):
            return head + b + rest.removeprefix(a)
    return name
