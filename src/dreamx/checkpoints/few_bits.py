"""Weights in 8 or 6 bits: whole numbers, and a float16 scale for each block of them.

In 8 bits ``NAME`` is int8 in its own shape, -127 to 127, and ``NAME.int8_scale`` has a scale for each 1024 of its numbers in
order. In 6 bits ``NAME`` is uint8 ``[3 n / 4]``, four numbers of -31 to 31 in three bytes, ``NAME.int6_scale`` has a scale for
each 64, and the header says the shape. What is small stays float16: matrices of less than 4,096 numbers, and everything else of
less than 32,768, as the last kernels of a decoder, whose planes differ in size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx import plaintext

SCALE, SCALE_6 = ".int8_scale", ".int6_scale"
#: The metadata of the header: ``{"NAME": shape}`` of what is in 6 bits.
SHAPES = "six_bits"
#: Bits that a weight may have at least, where a file is weighed before it is read.
LEAST_BITS = 6
_BLOCK, _BLOCK_6 = 1024, 64
_LEAST, _LEAST_MATRIX = 2**15, 2**12
_AXES = 8


def stored(tensors: Mapping[str, Tensor], bits: Mapping[str, int]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors as they are written, and the metadata of their header. bits: 8 or 6 by the beginning of a name, of which
    the longest counts; small ones, and those without, become float16."""
    found: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, x in tensors.items():
        begins = max((b for b in bits if name.startswith(b)), key=len, default=None)
        small = x.numel() < (_LEAST_MATRIX if x.ndim == 2 else _LEAST)
        if begins is None or not x.is_floating_point() or small or not bool(torch.isfinite(x).all()):
            found[name] = x.half() if x.is_floating_point() else x
        elif bits[begins] == 8:
            codes, found[name + SCALE] = _codes(x, 127, _BLOCK)
            found[name] = codes.view(x.shape)
        else:
            codes, found[name + SCALE_6] = _codes(x, 31, _BLOCK_6)
            found[name], shapes[name] = _packed(codes), list(x.shape)
    return found, {SHAPES: json.dumps(shapes)} if shapes else {}


def restored(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors with their scales multiplied in, float32. ``notes``: the metadata of the header. ValueError names a
    scale or shape that is missing, alone or odd."""
    found = {name: x for name, x in tensors.items() if not name.endswith((SCALE, SCALE_6))}
    for name in (n.removesuffix(SCALE) for n in tensors if n.endswith(SCALE)):
        codes = found.get(name)
        if codes is None or codes.dtype != torch.int8:
            raise ValueError(f"{name + SCALE!r} is the scale of numbers in 8 bits that are not there; save the network again")
        found[name] = _scaled(name, SCALE, codes.flatten(), tensors[name + SCALE], _BLOCK).view(codes.shape)
    shapes = _shapes(notes)
    for name in (n.removesuffix(SCALE_6) for n in tensors if n.endswith(SCALE_6)):
        packed, shape = found.get(name), shapes.pop(name, None)
        if packed is None or packed.dtype != torch.uint8 or shape is None or packed.shape != (-(-prod(shape) // 4) * 3,):
            raise ValueError(f"{name + SCALE_6!r} is the scale of numbers in 6 bits that are not there; save the network again")
        codes = _unpacked(packed)[: prod(shape)]
        found[name] = _scaled(name, SCALE_6, codes, tensors[name + SCALE_6], _BLOCK_6).view(shape)
    lost = next((n for n, x in found.items() if x.dtype == torch.int8 and not n.endswith("weight")), None)
    if lost is not None:
        raise ValueError(f"{lost!r} is in 8 bits, and its scale is not there; copy the file again")
    if shapes:
        raise ValueError(f"{next(iter(shapes))!r} is in 6 bits, and its scale is not there; copy the file again")
    return found


def _shapes(notes: Mapping[str, str]) -> dict[str, list[int]]:
    said = plaintext.parse_json(notes.get(SHAPES, "{}"))
    if isinstance(said, dict) and all(isinstance(s, list) and len(s) <= _AXES and all(map(_side, s)) for s in said.values()):
        return said
    raise ValueError(f"{SHAPES} in its header must be an object of shapes by name; save the network again")


def _side(n: object) -> bool:
    return type(n) is int and 0 <= n < 2**31


def _codes(x: Tensor, most: int, block: int) -> tuple[Tensor, Tensor]:
    """Whole numbers int8 ``[n]`` of at most ``most``, and scales float16."""
    blocks = _blocks(x.detach().float().flatten(), block)
    scale = (blocks.abs().amax(1) / most).clamp(min=2.0**-24).half()  # 2**-24: the smallest float16
    return (blocks / scale.float()[:, None]).round().clamp(-most, most).to(torch.int8).flatten()[: x.numel()], scale


def _scaled(name: str, kind: str, codes: Tensor, scale: Tensor, block: int) -> Tensor:
    needed = -(-codes.numel() // block)
    if scale.shape != (needed,) or not scale.is_floating_point():
        raise ValueError(f"{name + kind!r} is {scale.dtype} {list(scale.shape)} where {name!r} needs {needed} scales in one row")
    return (_blocks(codes.float(), block) * scale.float()[:, None]).flatten()[: codes.numel()]


def _packed(codes: Tensor) -> Tensor:
    """Four numbers of -32 to 31 in three bytes: ``[n]`` -> uint8 ``[3 n / 4]``, zeros at the end."""
    a, b, c, d = (F.pad(codes, (0, -len(codes) % 4)).view(-1, 4).int() + 32).unbind(1)
    return torch.stack([a | (b & 3) << 6, b >> 2 | (c & 15) << 4, c >> 4 | d << 2], 1).to(torch.uint8).flatten()


def _unpacked(packed: Tensor) -> Tensor:
    """Return what was packed, int8 ``[n]``, with the zeros at its end."""
    x, y, z = packed.view(-1, 3).int().unbind(1)
    return (torch.stack([x & 63, x >> 6 | (y & 15) << 2, y >> 4 | (z & 3) << 4, z >> 2], 1).flatten() - 32).to(torch.int8)


def _blocks(flat: Tensor, block: int) -> Tensor:
    """The numbers in order, ``[blocks, block]``, zeros at the end."""
    return F.pad(flat, (0, -len(flat) % block)).view(-1, block)
