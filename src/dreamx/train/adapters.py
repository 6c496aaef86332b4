"""LoRA in training: beside a frozen linear layer two small matrices, of which the upper one starts at zero (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import PositiveFloat, Width
from dreamx.checkpoints import official_names
from dreamx.checkpoints.lora import Lora, LoraConfig
from dreamx.model.cpu_ops import linear
from dreamx.model.dit import DiT, DiTConfig


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes, layers and file names of the LoRA to train."""

    rank: Width = 16
    """Rows of the lower, columns of the upper matrix of each layer."""
    alpha: PositiveFloat | None = None
    """The product of both counts alpha / rank; None: the rank, so that it counts once."""
    layers: tuple[str, ...] = ("blocks",)
    """Linear layers that get one, by a part of their name, at any depth (``time.q``, ``mlp``, ``view``, ``blocks.3``)."""
    names: Literal["peft", "official", "diffusers", "comfyui"] = "peft"
    """Whose names the file has: peft's, those of the release, of diffusers or of ComfyUI."""

    @property
    def sizes(self) -> LoraConfig:
        """Rank and alpha as a file has them."""
        return LoraConfig(self.rank, float(self.rank if self.alpha is None else self.alpha))


class AdaptedLinear(nn.Module):
    """``base(x) + alpha / rank up down x``. down: ``[rank, in]``; up: ``[out, rank]``, zeros at first."""

    def __init__(self, base: nn.Linear, sizes: LoraConfig) -> None:
        super().__init__()
        self.base, self.scale = base, sizes.alpha / sizes.rank
        self.down = nn.Parameter(torch.randn(sizes.rank, base.in_features) * base.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, sizes.rank))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in] -> [..., out]``."""
        return linear(self.base, x) + self.scale * F.linear(F.linear(x, self.down), self.up)


def layers_to_adapt(config: DiTConfig, wanted: tuple[str, ...]) -> list[str]:
    """The linear layers of ``DiT(config)`` with one of the ``wanted`` parts in their name. ValueError where a part fits none."""
    shapes = official_names.our_shapes(config)
    named = set(official_names.names(config).values())  # what no file can name, gets no LoRA
    every = [k.removesuffix(".weight") for k, x in shapes.items() if k in named and k.endswith(".weight") and len(x) == 2]
    for part in wanted:
        if not any(f".{part}." in f".{layer}." for layer in every):
            known = ", ".join(dict.fromkeys(layer.split(".", 2)[2] for layer in every if layer.startswith("blocks.")))
            raise ValueError(f"lora.layers: no linear layer is called {part!r}; those of a block are {known}")
    return [layer for layer in every if any(f".{part}." in f".{layer}." for part in wanted)]


def add_adapters(dit: DiT, config: AdapterConfig) -> list[str]:
    """Put a LoRA beside layers of ``dit``, in place; the names of these layers. The network answers as before at first."""
    found = layers_to_adapt(dit.config, config.layers)
    for layer in found:
        above, _, name = layer.rpartition(".")
        parent = dit.get_submodule(above)
        base = dit.get_submodule(layer)
        assert isinstance(base, nn.Linear)
        setattr(parent, name, AdaptedLinear(base, config.sizes))
    return found


def lora_of(state: Mapping[str, Tensor], config: AdapterConfig) -> Lora:
    """The factors among the gathered weights of a network that ``add_adapters`` changed."""
    ends = (".down", ".up")
    return Lora({k: x.detach().float().cpu() for k, x in state.items() if k.endswith(ends)}, config.sizes)
