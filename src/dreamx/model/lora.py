"""Low-rank changes to a transformer (LoRA): read from the files of others, kept apart, or added to its weights.

A linear layer ``W`` becomes ``W + strength (alpha / rank) up down``. Source: Hu et al. 2021; the released scripts of
DreamX-World-5B take one of rank 256 and alpha 256 on every linear layer of the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.model import layouts, official, shards
from dreamx.model.dit import DiTConfig

_PART = re.compile(r"(?P<layer>.*)\.(?P<part>lora_A|lora_B|lora_down|lora_up)(\.default)?\.weight$")
_DOWN = ("lora_A", "lora_down")
#: Layers whose rows or columns are in another order in ours.
_MIXED = ("patch_embedding", "head.head")


@dataclass(frozen=True)
class LoraConfig:
    """``rank`` of the factors; ``alpha / rank`` scales their product."""

    rank: int
    alpha: float


@dataclass(frozen=True)
class Lora:
    """``factors``: ``<our layer>.down [rank, in]`` and ``<our layer>.up [out, rank]``."""

    factors: dict[str, Tensor]
    config: LoraConfig


def read(path: Path, config: DiTConfig) -> Lora:
    """A LoRA of a released transformer, as peft or its imitators write it, for our ``DiT(config)``.

    Alpha is taken from ``adapter_config.json`` beside it or from the file, and else is the rank, as in the released yaml.
    ValueError, one sentence that names the file and the key, when a factor is missing, unknown or of another shape.
    """
    tensors, _ = layouts.unwrap(shards.read(path))
    file = shards.find(path)
    names = official.names(config).items()
    layers = {a.removesuffix(".weight"): b.removesuffix(".weight") for a, b in names if a.endswith(".weight")}
    factors: dict[str, Tensor] = {}
    alphas: set[float] = set()
    for name, tensor in tensors.items():
        if name.endswith(".alpha"):
            alphas.add(float(tensor))
            continue
        part = _PART.match(name)
        if part is None:
            raise ValueError(f"{file}: {name!r} is no factor of a LoRA; give whole weights as the checkpoint itself")
        layer = layouts.from_diffusers(part["layer"])
        if layer not in layers or layer in _MIXED:
            raise ValueError(f"{file}: {name!r} changes a layer that the transformer has not, or that a LoRA cannot change here")
        factors[f"{layers[layer]}.{'down' if part['part'] in _DOWN else 'up'}"] = tensor
    ranks = {x.shape[0] if k.endswith(".down") else x.shape[-1] for k, x in factors.items()}
    beside = file.parent / "adapter_config.json"
    said = shards.read_json(beside) if beside.is_file() else {}
    alphas |= {float(said["lora_alpha"])} if "lora_alpha" in said else set()
    if len(ranks) != 1 or len(alphas) > 1:
        raise ValueError(f"{file}: must be of one rank and one alpha, not ranks {sorted(ranks)} and alphas {sorted(alphas)}")
    rank = ranks.pop()
    lora = Lora(factors, LoraConfig(rank, alphas.pop() if alphas else float(rank)))
    try:
        check(lora, config)
    except ValueError as e:
        raise ValueError(f"{file}: {e}") from e
    return lora


def check(lora: Lora, config: DiTConfig) -> None:
    """ValueError, one sentence with the key, when a factor is alone or does not fit the layer that it changes."""
    shapes = official.our_shapes(config)
    for name in lora.factors:
        layer, _, part = name.rpartition(".")
        other = f"{layer}.{'up' if part == 'down' else 'down'}"
        if other not in lora.factors:
            raise ValueError(f"{other!r} is missing: the LoRA was cut, or has only half of its factors")
        down, up = lora.factors[f"{layer}.down"], lora.factors[f"{layer}.up"]
        shape = shapes.get(f"{layer}.weight")
        if shape is None or (up.shape[:1] + down.shape[1:]) != shape or up.shape[1:] != down.shape[:1]:
            made, wanted = f"{tuple(up.shape)} and {tuple(down.shape)}", tuple(shape or ())
            raise ValueError(f"{name!r}: factors {made} do not make {wanted}; the LoRA is of another transformer")


def merge(tensors: Mapping[str, Tensor], lora: Lora, strength: float) -> dict[str, Tensor]:
    """The state with the LoRA added, in float32 and rounded once; only the layers that it changes are copied."""
    merged = dict(tensors)
    scale = strength * lora.config.alpha / lora.config.rank
    for name in lora.factors:
        layer, _, part = name.rpartition(".")
        if part == "down":
            weight = tensors[f"{layer}.weight"]
            change = lora.factors[f"{layer}.up"].float() @ lora.factors[name].float()
            merged[f"{layer}.weight"] = torch.add(weight.float(), change, alpha=scale).to(weight.dtype)
    return merged
