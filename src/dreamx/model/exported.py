"""Networks that a user brings as a file of ``torch.export`` (``.pt2``) or TorchScript: backbones of scores."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def network(file: Path) -> Callable[..., Tensor]:
    """A network from its file, fed with pictures uint8 or float in 0 to 1. ValueError where the file is neither kind."""
    try:
        if file.suffix == ".pt2":
            net: Callable[..., Tensor] = torch.export.load(file).module()
        else:
            net = torch.jit.load(file, map_location="cpu").eval()
    except Exception as e:  # broken files break in many ways
        raise ValueError(f"{file} is neither an exported program (.pt2) nor TorchScript ({type(e).__name__})") from e

    def run(*pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            return net(*(p.float() / 255 if p.dtype == torch.uint8 else p for p in pictures))

    return run
