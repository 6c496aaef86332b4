"""Weights of 8 bits as others store them: put back into numbers with their scales, or refused by their name.

A layer ``W`` lies there as ``W / scale`` in float8 or int8. The scale, for the whole of it, a row or a block, is beside it as
``weight_scale`` (diffusers, ComfyUI now), ``scale_weight`` (ComfyUI before) or ``weight_scale_inv`` (blocks of 128; in spite of
its name it is multiplied, too). Plain casts to float8 have none. What belongs to activations (``input_scale``, ``scale_input``)
means nothing once the weights are numbers again. Source: ComfyUI's QUANTIZATION.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import torch
from torch import Tensor

from dreamx.plaintext import parse_json

_SCALES = ("weight_scale", "scale_weight", "weight_scale_inv")
#: Of activations, and marks that say no more than that there are scales.
_LEFT = ("input_scale", "scale_input", "output_scale", "scaled_fp8", "comfy_quant")
#: Tables of words, which those who make files leave without a scale, since they are no linear layers.
_WORDS = ("shared.weight", "token_embedding.weight", "embed_tokens.weight")
#: Formats of ``comfy_quant`` that are a stored value times a scale; int8 may be rotated besides, see ``_convrot``.
_FORMATS = ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "int8_rowwise", "int8_channelwise", "int8_blockwise")
#: Ends of names -> the kind of quantisation that they betray. The first that fits says what it is.
_BETRAYALS = {
    "bitsandbytes__nf4": "bitsandbytes' nf4",
    "bitsandbytes__fp4": "bitsandbytes' fp4",
    ".absmax": "4-bit bitsandbytes (nf4 or fp4)",
    ".quant_map": "4-bit bitsandbytes (nf4 or fp4)",
    ".SCB": "8-bit bitsandbytes (LLM.int8)",
    ".wscales": "4-bit SVDQuant of nunchaku",
    ".smooth_factor": "4-bit SVDQuant of nunchaku",
    ".qzeros": "4-bit GPTQ or AWQ",
    ".g_idx": "4-bit GPTQ or AWQ",
    ".qweight": "packed 4-bit (qweight)",
    ".weight_packed": "packed 4-bit (weight_packed)",
    ".weight_scale_2": "nvfp4",
    ".pre_quant_scale": "smoothed (SmoothQuant or AWQ: pre_quant_scale)",
    ".smooth_scale": "smoothed (SmoothQuant: smooth_scale)",
    ".weight_zero_point": "asymmetric int8 (weight_zero_point)",
    ".weight_codebook": "codebook (weight_codebook)",
    "._data": "optimum-quanto's",
    ".W_q": "HQQ's",
}
_BLOCK = 128  # rows or columns: what all have whose sides may not divide by it
_INSTEAD = "take the bfloat16, float16, fp8 or GGUF file of the same model"


def formats(tensors: Mapping[str, Tensor], notes: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Read ComfyUI's format of each layer, by name without ``prefix``: from the header, and from JSON tensors beside it."""
    layers: dict[str, object] = {}
    try:
        said = parse_json(notes.get("_quantization_metadata", "{}"))
        layers |= said.get("layers", {}) if isinstance(said, dict) else {}
        for name, x in tensors.items():
            if name.endswith(".comfy_quant") and x.numel() < 2**16:  # bytes of JSON as a tensor
                layers[prefix + name.removesuffix(".comfy_quant")] = parse_json(bytes(x.flatten().tolist()))
    except (ValueError, TypeError) as e:
        raise ValueError(f"what the file says of its quantised layers is no JSON ({e}); {_INSTEAD}") from e
    found: dict[str, str] = {}
    for layer, one in layers.items():
        kind = str(one.get("format", "")) if isinstance(one, dict) else ""
        rotated = isinstance(one, dict) and any("convrot" in str(key) and value for key, value in one.items())
        found[layer.removeprefix(prefix)] = f"{kind}, rotated (convrot)" if rotated else kind
    return found


def restore(tensors: Mapping[str, Tensor], kinds: Mapping[str, str], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors of one network without scales: what has one is multiplied in float32 and rounded once, to ``dtype``.

    ``kinds``: what ``formats`` found. ``dtype``: of what was quantised; None: bfloat16. What is not quantised is not touched.
    ValueError, one sentence that names the kind and a tensor, where it is not read or a scale is missing.
    """
    refuse(tensors, kinds)
    # In such a file a matrix without a scale has lost it.
    scaled = any(_last(name) in (*_SCALES, "scaled_fp8") for name in tensors)
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, stored in tensors.items():
        layer, _, last = name.rpartition(".")
        if last in _LEFT or last in _SCALES:
            continue
        named = next((s for s in (f"{layer}.{x}" for x in _SCALES) if s in tensors), None) if last == "weight" else None
        x = stored
        if x.dtype == torch.uint8 and kinds.get(layer, "").startswith("float8_"):
            # Some writers store float8 as plain bytes and name the format beside it.
            x = x.view(torch.float8_e5m2 if kinds[layer] == "float8_e5m2" else torch.float8_e4m3fn)
        eight = x.dtype == torch.int8 or (x.is_floating_point() and x.itemsize == 1)
        if named is not None:
            used.add(named)
            scale = tensors[named]
            if not eight and bool((scale.float() == 1).all()):
                named = None  # a layer that was left alone
            elif not eight:
                raise ValueError(
                    f"{name!r} is {_name(x)} and has the scale {named!r}, so it is unclear whether that is in it; {_INSTEAD}"
                )
            elif not scale.is_floating_point() or scale.dtype == torch.float8_e8m0fnu:
                raise ValueError(f"{name!r} is quantised as mxfp8 (scales of {_name(scale)}), which is not read; {_INSTEAD}")
        if named is not None:
            # One product in float32, one rounding: bfloat16 times bfloat16 would round twice.
            found[name] = (x.float() * _spread(tensors[named].to(x.device), x.shape, named)).to(dtype or torch.bfloat16)
        elif last == "weight" and not x.is_floating_point():
            raise ValueError(f"{name!r} is stored as {_name(x)} without a scale, a quantised kind that is not read; {_INSTEAD}")
        elif eight and scaled and x.ndim > 1 and not name.endswith(_WORDS):
            raise ValueError(
                f"{name!r} is scaled fp8 like the rest of the file, but its scale is missing; download it again, or {_INSTEAD}"
            )
        else:
            found[name] = x.to(dtype or torch.bfloat16) if eight else x
    lone = next((k for k in tensors if _last(k) in _SCALES and k not in used), None)
    if lone is not None:
        raise ValueError(f"{lone!r} is the scale of a weight that is not there: a shard was forgotten or the file was cut")
    return found


def refuse(tensors: Mapping[str, Tensor], kinds: Mapping[str, str]) -> None:
    """ValueError that names the kind where these tensors are quantised in one that is not read."""
    for end, what in _BETRAYALS.items():
        name = next((k for k in tensors if k.endswith(end)), None)
        if name is not None:
            raise ValueError(f"{name!r}: this is a {what} checkpoint, a quantised kind that is not read; {_INSTEAD}")
    for layer, kind in kinds.items():
        if kind.removesuffix("_rowwise").removesuffix("_blockwise") not in _FORMATS and kind not in _FORMATS:
            raise ValueError(f"{layer!r} is quantised as {kind or 'nothing that is named'}, which is not read; {_INSTEAD}")


def _spread(scale: Tensor, shape: torch.Size, name: str) -> Tensor:
    """A scale as something that multiplies a weight of this shape: one number, one a row, or one a block."""
    s = scale.float()
    if s.numel() == 1:
        return s.reshape(())
    if s.ndim == 1:  # of each output
        s = s.reshape(-1, *[1] * (len(shape) - 1))
    if s.ndim == len(shape) + 1 and s.shape[-1] == 1:  # [out, blocks, 1]
        s = s[..., 0]
    fits = s.ndim == len(shape)
    for dim, size in enumerate(shape):
        n = s.shape[dim] if fits else 0
        if n in (1, size) and fits:
            continue
        # 200 rows with 2 scales are 128 and 72, not 100 and 100.
        cut = 0 < n == ceil(size / _BLOCK)  # blocks of 128, of which the last may be shorter
        fits = fits and 0 < n < size and (size % n == 0 or cut)
        if fits:
            s = s.repeat_interleave(_BLOCK if cut else size // n, dim).narrow(dim, 0, size)
    if not fits:
        raise ValueError(
            f"{name!r} is {tuple(scale.shape)}, which is no scale of a weight {tuple(shape)}, of its rows or blocks; {_INSTEAD}"
        )
    return s


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
