"""A transformer on disk as ours, and any transformer on disk as a network.

Our folder holds ``dit.safetensors``, ``config.json`` with what nobody should have to guess (sizes, heads of the camera lane, how
the past is seen), a LoRA apart where there is one, and a card to read. ``weights`` says how it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx import atomic, plaintext
from dreamx.checkpoints import contents, native, official_names, quantised, release, weight_files
from dreamx.checkpoints import lora as loras
from dreamx.checkpoints.contents import Contents
from dreamx.checkpoints.lora import Lora, LoraConfig
from dreamx.checkpoints.release import Family
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.dit import DiT, DiTConfig


@dataclass(frozen=True)
class Checkpoint:
    """A transformer's weights, memory-mapped, and what they mean.

    left: how many tensors of other networks lay beside it; others: what they are, in words.
    """

    tensors: dict[str, Tensor]
    config: DiTConfig
    kind: TransformerMeta
    lora: Lora | None = None
    left: int = 0
    others: tuple[str, ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """That of most of the numbers."""
        return weight_files.dtype_of(self.tensors)


def is_ours(path: Path) -> bool:
    """Whether ``path`` is a folder that ``write`` (or a training stage) made."""
    try:
        found = plaintext.read_json(path / "config.json")
        return isinstance(found, dict) and "dit" in found
    except (OSError, ValueError):
        return (path / "dit.safetensors").is_file()  # ours, and broken: let its reader say so


def read(path: Path, config: Path | None = None, family: Family | None = None, dtype: torch.dtype | None = None) -> Checkpoint:
    """Any transformer on disk: our folder, or a released one in its own layout or that of diffusers (``release.released_from``).

    ValueError, one sentence that names the file and the key, when it is not whole or not a transformer.
    """
    if not is_ours(path):
        return checkpoint_from(contents.read(path, dtype), config, family, dtype)
    dit = native.read_config(path, "dit", DiTConfig)
    if "kind" not in weight_files.read_json(path / "config.json"):
        raise ValueError(f"{path}: does not say what kind its transformer is; it is of a training stage, not of `dreamx convert`")
    kind = native.read_config(path, "kind", TransformerMeta)
    with plaintext.named(path / "dit.safetensors"):
        tensors = quantised.restore(weight_files.mapped(path / "dit.safetensors"), {}, dtype)
        official_names.check(tensors, official_names.our_shapes(dit))
    if not (path / "lora.safetensors").exists():
        return Checkpoint(tensors, dit, kind)
    lora = Lora(weight_files.mapped(path / "lora.safetensors"), native.read_config(path, "lora", LoraConfig))
    with plaintext.named(path / "lora.safetensors"):
        loras.check(lora, dit)
    return Checkpoint(tensors, dit, kind, lora)


def checkpoint_from(
    found: Contents, config: Path | None = None, family: Family | None = None, dtype: torch.dtype | None = None
) -> Checkpoint:
    """The transformer of another's file that is open already (``release.released_from``)."""
    net = release.released_from(found, config, family, dtype)
    return Checkpoint(net.tensors, net.config, net.kind, None, net.left, net.others)


def build(
    found: Checkpoint, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, strength: float | None = 1.0
) -> DiT:
    """The network of a checkpoint on ``device`` in ``dtype``, its LoRA added at ``strength`` (None: without).

    ``dtype``: None is that of most of the weights, since a network computes in one. There is no second copy: weights that stay
    on the CPU as they are stored are the mapped file itself, others are moved one by one.
    """
    return _assigned(found, strength, device, dtype or found.dtype)


def as_stored(found: Checkpoint) -> DiT:
    """The same on the CPU with each weight in its own dtype, for one that casts them when they are used (``fast.offload``)."""
    return _assigned(found, 1.0, "cpu", None)


def _assigned(found: Checkpoint, strength: float | None, device: torch.device | str, dtype: torch.dtype | None) -> DiT:
    tensors = found.tensors if found.lora is None or strength is None else loras.merge(found.tensors, found.lora, strength)
    with torch.device("meta"):
        dit = DiT(found.config)
    dit.load_state_dict({k: x.to(device, dtype) for k, x in tensors.items()}, assign=True)
    return dit


def write(folder: Path, found: Checkpoint, card: str, dtype: torch.dtype | None = None) -> None:
    """Write our folder. ``card``: text in Markdown about where the weights come from.

    ValueError when a weight is NaN or infinite. A cast needs memory for the weights in their new dtype.
    """
    cast = {k: x.to(dtype) for k, x in found.tensors.items()} if dtype else found.tensors
    parts: dict[str, tuple[dict[str, Tensor], object]] = {"dit": (cast, found.config), "kind": ({}, found.kind)}
    if found.lora is not None:
        parts["lora"] = (found.lora.factors, found.lora.config)
    try:
        native.write(folder, parts)
    except native.NotFinite as e:
        if e.name == "dit":  # by the name that it was released with: ours is known to nobody yet
            theirs = next((a for a, b in official_names.names(found.config).items() if b == e.key), e.key)
            weight_files.refuse_broken(theirs, cast[e.key], found.tensors[e.key])
        raise
    atomic.write_text(folder / "README.md", card)
