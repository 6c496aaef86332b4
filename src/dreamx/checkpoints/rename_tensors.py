"""Tensors from names to names, every key accounted for; or one sentence about the key that is not, with the likely cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor


def renamed(
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    shapes: Mapping[str, torch.Size],
    network: str,
    betrayals: Mapping[str, str],
) -> dict[str, Tensor]:
    """``tensors`` under the names that ``names`` gives them; nothing is copied.

    ``shapes`` are by the new names. ``network`` is what the tensors should be (for messages), ``betrayals`` parts of names ->
    what they say of a file that holds something else.
    ValueError for a key that is unknown, missing or of another shape.
    """
    unknown, missing = [k for k in tensors if k not in names], [k for k in names if k not in tensors]
    if unknown:
        why = betrayed(unknown, betrayals, "it is a checkpoint of something else, or of a larger network than the config says")
        raise ValueError(f"{unknown[0]!r}{more(unknown)} has no place in {network}: {why}")
    if missing:
        why = "a shard was forgotten, the file was cut, or the config is of another checkpoint"
        raise ValueError(f"{missing[0]!r}{more(missing)} is missing, which {network} needs: {why}")
    for theirs, ours in names.items():
        got, want = tuple(tensors[theirs].shape), tuple(shapes[ours])
        if got != want:
            raise ValueError(f"{theirs!r} is {got} where the config makes it {want}: the config is of another checkpoint")
    return {ours: tensors[theirs] for theirs, ours in names.items()}


def betrayed(keys: Collection[str], betrayals: Mapping[str, str], otherwise: str) -> str:
    """Return what the names say of a file that holds something else: the first of ``betrayals`` that fits, or ``otherwise``."""
    return next((why for part, why in betrayals.items() if any(part in k for k in keys)), otherwise)


def layer_names(theirs: str, ours: str) -> dict[str, str]:
    """Names of the weight and the bias of a layer -> ours."""
    return {f"{theirs}.{x}": f"{ours}.{x}" for x in ("weight", "bias")}


def more(keys: list[str]) -> str:
    """Return the number of keys beside the first, in brackets; empty for one."""
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
