"""Small transformers of the three released kinds, and their files as others would write them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx.checkpoints import official_names
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiT, DiTConfig, ViewConfig

SIZE = DiTConfig(4, 48, 2, 3, 96, 16, frequencies=32)
CAUSAL = (DiTConfig(4, 48, 2, 3, 96, 16, frequencies=32, view=ViewConfig(24, 2)), TransformerMeta(12, CausalConfig(3, 6, 1)))
CAM = (DiTConfig(4, 48, 2, 3, 96, 16, frequencies=32, view=ViewConfig(24, 1, layers=(0, 2))), TransformerMeta(12))
WAN = (SIZE, TransformerMeta())
KINDS = {"wan": WAN, "cam": CAM, "causal": CAUSAL}
TINY = 40_000  # bytes a shard: a dozen of them


def found(kind: str, seed: int = 0) -> Checkpoint:
    """A checkpoint of random weights, none of them zero."""
    config, meaning = KINDS[kind]
    rng = torch.Generator().manual_seed(seed)
    tensors = {k: torch.randn(x.shape, generator=rng) for k, x in DiT(config).state_dict().items()}
    return Checkpoint(tensors, config, meaning)


def theirs(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """The same under the released names."""
    return official_names.to_official(found(kind, seed).tensors, KINDS[kind][0])


def save(file: Path, tensors: dict[str, Tensor]) -> Path:
    """A safetensors file without a config beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: x.contiguous() for k, x in tensors.items()}, file)
    return file


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """The same names with the same bits."""
    return a.keys() == b.keys() and all(x.dtype == b[k].dtype and torch.equal(x, b[k]) for k, x in a.items())
