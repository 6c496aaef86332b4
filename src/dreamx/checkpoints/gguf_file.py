"""GGUF files: the tensors of a transformer or a text encoder in the quantised blocks of ggml, as torch tensors.

The reader and the arithmetic are those of the package ``gguf`` (extra ``wan``). Transformers of Wan keep their released names in
GGUF; umT5 has those of llama.cpp, which become those of transformers. ggml knows four dimensions and drops leading ones; both are
put back, from ``comfy.gguf.orig_shape`` where the writer noted it.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: The first bytes of every such file.
MAGIC = b"GGUF"
#: Names of an encoder of the T5 kind in llama.cpp -> in transformers.
_T5_TOP = {"token_embd.weight": "shared.weight", "enc.output_norm.weight": "encoder.final_layer_norm.weight"}
_T5_LAYER = {
    **{f"attn_{x}": f"0.SelfAttention.{x}" for x in "qkvo"},
    "attn_rel_b": "0.SelfAttention.relative_attention_bias",
    "attn_norm": "0.layer_norm",
    "ffn_norm": "1.layer_norm",
    "ffn_gate": "1.DenseReluDense.wi_0",
    "ffn_up": "1.DenseReluDense.wi_1",
    "ffn_down": "1.DenseReluDense.wo",
}
_T5_BLOCK = re.compile(r"enc\.blk\.(\d+)\.(\w+)\.weight$")
#: Parameters with a leading dimension of 1, which writers drop.
_LEADING = re.compile(r"(^|\.)(modulation|scale_shift_table)$")
_INSTEAD = "take the .safetensors file of the same model, or a GGUF of the types F16, BF16, Q8_0, Q6_K, Q5_K or Q4_K"


def read(file: Path, dtype: torch.dtype | None = None, look: bool = False) -> dict[str, Tensor]:
    """Every tensor of a GGUF file. F32, F16 and BF16 are views of it; blocks are dequantised to ``dtype`` (None: bfloat16).

    That needs memory for all of them at once; with ``look`` shapes on torch's device ``meta``. ValueError, one sentence,
    when the package is missing, the file is cut short or holds no tensors, or a type is unknown.
    """
    try:
        from gguf import GGUFReader, dequantize
    except ImportError as e:
        raise ValueError(
            f"{file}: is a GGUF file, which needs the package gguf: pip install '.[wan]' in the checkout, or {_INSTEAD}"
        ) from e
    try:
        reader = GGUFReader(file, "c")  # copy on write: torch wants to be allowed to write, and the file stays as it is
    except Exception as e:
        if "GGMLQuantizationType" in str(e):
            number = next(iter(re.findall(r"\d+(?=\)| is)", str(e))), "?")
            raise ValueError(f"{file}: is a GGUF file with blocks of type {number}, which gguf does not know; {_INSTEAD}") from e
        if "version" in str(e):
            raise ValueError(f"{file}: is a GGUF file of another version than 2 or 3; {_INSTEAD}") from e
        raise ValueError(
            f"{file}: not a whole GGUF file ({_first_line(e)}); probably cut short: copy or download it again"
        ) from e
    kind = _text(reader, "general.architecture") or "unknown"
    if not reader.tensors:
        raise ValueError(
            f"{file}: is a GGUF file (architecture {kind}) that lists no tensors, so there is nothing to read; {_INSTEAD}"
        )
    found: dict[str, Tensor] = {}
    for stored in reader.tensors:
        plain = _plain(stored)
        shape = _shape(reader, stored.name, [int(n) for n in reversed(stored.shape)])
        if plain is None and look:
            plain = torch.empty(int(stored.n_elements), dtype=dtype or torch.bfloat16, device="meta")
        if plain is None:
            try:
                values = torch.from_numpy(dequantize(stored.data, stored.tensor_type))
            except Exception as e:
                name = stored.tensor_type.name
                raise ValueError(
                    f"{file}: is a GGUF file whose {stored.name!r} is {name}, which is not read here; {_INSTEAD}"
                ) from e
            plain = values.to(dtype or torch.bfloat16)
        if plain.numel() != prod(shape):
            raise ValueError(
                f"{file}: is a GGUF file whose {stored.name!r} has another size than its original shape {shape}; {_INSTEAD}"
            )
        found[_name(stored.name)] = plain.reshape(shape)
    for name, x in found.items():
        bias = found.get(f"{name.removesuffix('weight')}bias")
        if name.endswith("patch_embedding.weight") and x.ndim == 4 and bias is not None:
            found[name] = x.reshape(len(bias), -1, 1, *x.shape[2:])  # one frame long
    return found


def _plain(stored: Any) -> Tensor | None:
    """A tensor that is not in blocks, as a view of the file; None where it is."""
    match stored.tensor_type.name:
        case "F32" | "F16" | "F64" | "I8" | "I16" | "I32" | "I64":
            return torch.from_numpy(stored.data)
        case "BF16":
            return torch.from_numpy(stored.data).view(torch.bfloat16)
        case _:
            return None


def _shape(reader: Any, name: str, shape: list[int]) -> list[int]:
    """The shape in torch, of dimensions that are already in its order."""
    noted = reader.get_field(f"comfy.gguf.orig_shape.{name}")
    if noted is not None:
        return [int(n) for n in noted.contents()]
    if _LEADING.search(name) and len(shape) == 2:
        return [1, *shape]
    return shape


def _name(name: str) -> str:
    if name in _T5_TOP:
        return _T5_TOP[name]
    block = _T5_BLOCK.match(name)
    if block is None or block[2] not in _T5_LAYER:
        return name
    return f"encoder.block.{block[1]}.layer.{_T5_LAYER[block[2]]}.weight"


def _text(reader: Any, key: str) -> str | None:
    field = reader.get_field(key)
    return None if field is None else str(field.contents())


def _first_line(e: Exception) -> str:
    return (str(e).splitlines() or [type(e).__name__])[0].rstrip(".")
