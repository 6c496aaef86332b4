"""Changes to a transformer that lie apart from it (LoRA): low-rank factors, and whole differences. ``lora_file`` reads others'.

A linear layer ``W`` becomes ``W + strength (alpha / rank) up down``, and any parameter ``p`` becomes ``p + strength diff``: those
who distil models keep what is no matrix (biases, norms, modulation) as differences. Source: Hu et al. 2021; the released scripts
of DreamX-World-5B take one of rank 256 and alpha 256 on every linear layer of the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.bounds import Width
from dreamx.checkpoints import official_names
from dreamx.model.dit import DiTConfig


@dataclass(frozen=True)
class LoraConfig:
    """Sizes of a LoRA."""

    rank: Width
    """Of the factors, the highest of all."""
    alpha: float
    """The product counts alpha / rank where a layer says nothing else."""


@dataclass(frozen=True)
class Lora:
    """A LoRA for our ``DiT``.

    factors: by our names. ``<layer>.down [rank, in]`` and ``<layer>.up [out, rank]``; ``<layer>.alpha []`` where the scale of a
    layer is not that of the config, but this by its own rank; ``<parameter>.diff`` in the shape of the parameter.
    left: how many tensors of other networks lay beside it.
    """

    factors: dict[str, Tensor]
    config: LoraConfig
    left: int = 0

    def scale(self, layer: str) -> float:
        """Return the factor on the product of a layer's two matrices: alpha / rank."""
        alpha = self.factors.get(f"{layer}.alpha")
        if alpha is None:
            return self.config.alpha / self.config.rank
        return float(alpha) / len(self.factors[f"{layer}.down"])


def check(lora: Lora, config: DiTConfig) -> None:
    """ValueError, one sentence with the key, when a factor is alone or does not fit the layer that it changes."""
    shapes = official_names.our_shapes(config)
    for name, x in lora.factors.items():
        layer, _, part = name.rpartition(".")
        if part == "diff":
            if shapes.get(layer) != x.shape:
                made, wanted = tuple(x.shape), tuple(shapes.get(layer, ()))
                raise ValueError(f"{name!r} is {made} where the transformer has {wanted}; the LoRA is of another transformer")
            continue
        for other in (f"{layer}.{p}" for p in ("down", "up")):
            if other not in lora.factors:
                raise ValueError(f"{other!r} is missing: the LoRA was cut, or has only half of its factors")
        down, up = lora.factors[f"{layer}.down"], lora.factors[f"{layer}.up"]
        shape = shapes.get(f"{layer}.weight")
        if shape is None or down.ndim != 2 or (up.shape[:1] + down.shape[1:]) != shape or up.shape[1:] != down.shape[:1]:
            made, wanted = f"{tuple(up.shape)} and {tuple(down.shape)}", tuple(shape or ())
            raise ValueError(f"{name!r}: factors {made} do not make {wanted}; the LoRA is of another transformer")


def merge(tensors: Mapping[str, Tensor], lora: Lora, strength: float) -> dict[str, Tensor]:
    """The state with the LoRA added, in float32 and rounded once; only the tensors that it changes are copied."""
    changes: dict[str, Tensor] = {}
    for name, x in lora.factors.items():
        layer, _, part = name.rpartition(".")
        if part == "down":
            product = lora.factors[f"{layer}.up"].float() @ x.float()
            layer, x = f"{layer}.weight", lora.scale(layer) * product
        elif part != "diff":
            continue
        changes[layer] = x.float() + changes[layer] if layer in changes else x.float()
    merged = dict(tensors)
    for name, change in changes.items():
        merged[name] = torch.add(tensors[name].float(), change, alpha=strength).to(tensors[name].dtype)
    return merged
