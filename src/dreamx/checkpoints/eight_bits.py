"""Large tables in 8 bits: whole numbers of -127 to 127, and a scale for each block of 1024 of them.

``NAME`` is int8 in its own shape, ``NAME.int8_scale`` float16 ``[blocks]`` over its numbers in order. For tables that are read at
random, as those of ``model.place_field``: half of float16, and an error of at most 1 / 254 of the largest number of a block.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

SCALE = ".int8_scale"
_BLOCK = 1024
_LEAST = 2**15  # numbers; what is smaller stays as it is


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are written: large ones in 8 bits, small ones as float16."""
    found: dict[str, Tensor] = {}
    for name, x in tensors.items():
        if not x.is_floating_point() or x.numel() < _LEAST or not bool(torch.isfinite(x).all()):
            found[name] = x.half() if x.is_floating_point() else x
            continue
        blocks = _blocks(x.detach().float())
        scale = (blocks.abs().amax(1) / 127).clamp(min=2.0**-24).half()  # 2**-24: the smallest float16
        codes = (blocks / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        found[name], found[name + SCALE] = codes.flatten()[: x.numel()].view(x.shape), scale
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with their scales multiplied in, float32. ValueError names a scale that is missing, alone or odd."""
    found = {name: x for name, x in tensors.items() if not name.endswith(SCALE)}
    for name in (n.removesuffix(SCALE) for n in tensors if n.endswith(SCALE)):
        codes, scale = found.get(name), tensors[name + SCALE]
        if codes is None or codes.dtype != torch.int8:
            raise ValueError(f"{name + SCALE!r} is the scale of numbers in 8 bits that are not there; save the network again")
        if scale.numel() != -(-codes.numel() // _BLOCK):
            raise ValueError(f"{name + SCALE!r} has {scale.numel()} scales where {name!r} needs {-(-codes.numel() // _BLOCK)}")
        x = _blocks(codes.float()) * scale.float()[:, None]
        found[name] = x.flatten()[: codes.numel()].view(codes.shape)
    lost = next((n for n, x in found.items() if x.dtype == torch.int8 and not n.endswith("weight")), None)
    if lost is not None:
        raise ValueError(f"{lost!r} is in 8 bits, and its scale is not there; copy the file again")
    return found


def _blocks(x: Tensor) -> Tensor:
    """The numbers in order, ``[blocks, 1024]``, zeros at the end."""
    flat = x.flatten()
    return F.pad(flat, (0, -len(flat) % _BLOCK)).view(-1, _BLOCK)
