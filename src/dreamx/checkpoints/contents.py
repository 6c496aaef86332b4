"""Find the networks in a file of tensors: transformer, autoencoder, text encoder, alone or together, under any prefix.

A network is found by a tensor that each of its kind has. What stands before that name is its prefix, so it does not matter who
wrapped it: ``model.diffusion_model.``, ``generator_ema.model._fsdp_wrapped_module.``, ``text_encoders.umt5xxl.transformer.``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.checkpoints import quantised, weight_files
from dreamx.plaintext import named

#: Left by wrappers, wherever they stand in a name.
WRAPPED = re.compile(r"(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
#: By what a network is known: as released, and in the libraries.
_MARKS = {
    "transformer": ("patch_embedding.weight",),
    "vae": ("encoder.conv1.weight", "encoder.conv_in.weight"),
    "text_encoder": ("token_embedding.weight", "shared.weight", "encoder.embed_tokens.weight"),
}
#: What they are called in sentences.
SAID = {"transformer": "a transformer", "vae": "an autoencoder", "text_encoder": "a text encoder"}
#: Of several transformers in a training checkpoint the first of these is the one to use; ``_NEVER`` where there is a choice.
_BEST = (re.compile(r"(^|[._])ema([._]|$)"), re.compile(r"(^|\.)generator([._]|$)"))
_NEVER = re.compile(r"critic|discriminator|fake|real_score|teacher|optim")
#: First words of names that are never a transformer's, where that has no prefix of its own.
_OTHERS = (
    *("vae", "first_stage_model", "text_encoder", "text_encoders", "cond_stage_model", "conditioner", "clip", "clip_vision"),
    *(
        "critic",
        "discriminator",
        "fake_score",
        "real_score",
        "model_ema",
        "optimizer",
        "optimizer_state_dict",
        "scheduler",
        "spiece_model",
    ),
)


@dataclass(frozen=True)
class Network:
    """One network as it is stored, under its bare names; ``prefix`` stood before them."""

    prefix: str
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Contents:
    """The networks of a checkpoint by kind (the keys of ``SAID``), and all that belongs to none of them.

    ``stored`` has every tensor by its name in the file, ``notes`` what its header says.
    """

    file: Path
    stored: dict[str, Tensor]
    notes: dict[str, str]
    networks: dict[str, Network]

    def refuse_unread(self, kind: str) -> None:
        """ValueError that names the file and the kind where a network is quantised in one that is not read."""
        with named(self.file):
            quantised.refuse(self.networks[kind].tensors, self._formats(kind))

    def restored(self, kind: str, dtype: torch.dtype | None) -> dict[str, Tensor]:
        """The tensors of a network, dequantised to ``dtype`` (``quantised.restore``). ValueError names the file."""
        with named(self.file):
            return quantised.restore(self.networks[kind].tensors, self._formats(kind), dtype)

    def _formats(self, kind: str) -> dict[str, str]:
        net = self.networks[kind]
        found = quantised.formats(net.tensors, self.notes, net.prefix)
        return {layer: how for layer, how in found.items() if f"{layer}.weight" in net.tensors}

    def left(self, kind: str) -> int:
        """Return the number of tensors that belong to other networks than this one."""
        return len(self.stored) - len(self.networks[kind].tensors)

    def beside(self, kind: str) -> list[str]:
        """List the rest of the file beside a network, as ``3 tensors under 'vae.' (an autoencoder)``."""
        prefixes = {net.prefix: name for name, net in self.networks.items() if name != kind}
        chosen = self.networks[kind]
        counts: Counter[str] = Counter()
        for name in self.stored:
            plain = WRAPPED.sub("", name)
            if not (plain.startswith(chosen.prefix) and plain.removeprefix(chosen.prefix) in chosen.tensors):
                known = max((p for p in prefixes if plain.startswith(p)), key=len, default=None)
                counts[plain.split(".")[0] + "." * ("." in plain) if known is None else known] += 1
        return [f"{n} under {p!r}" + (f" ({SAID[prefixes[p]]})" if p in prefixes else "") for p, n in counts.items()]


def read(path: Path, dtype: torch.dtype | None = None) -> Contents:
    """Read the networks of a file, shards or a folder. ``dtype``: of blocks of GGUF. ValueError names what is not whole."""
    return split(weight_files.find(path), weight_files.read(path, dtype), weight_files.notes(path))


def look(path: Path) -> Contents:
    """The same by names and shapes alone (``weight_files.look``), at the price of the headers."""
    return split(weight_files.find(path), weight_files.look(path), weight_files.notes(path))


def split(file: Path, stored: dict[str, Tensor], notes: dict[str, str]) -> Contents:
    """The networks among tensors. ValueError where there are several transformers, and none is the one to use."""
    plain = {WRAPPED.sub("", k): x for k, x in stored.items()}
    marked = {(m.removesuffix(mark), kind) for kind, marks in _MARKS.items() for mark in marks for m in _ends(plain, mark)}
    prefixes = sorted({p for p, _ in marked}, key=len, reverse=True)
    groups: dict[str, dict[str, Tensor]] = {p: {} for p in prefixes}
    for name, x in plain.items():
        prefix = next((p for p in prefixes if name.startswith(p)), None)
        if prefix is not None and (prefix or name.split(".")[0] not in _OTHERS):
            groups[prefix][name.removeprefix(prefix)] = x
    networks: dict[str, Network] = {}
    for kind in _MARKS:
        found = sorted(p for p, k in marked if k == kind)
        if kind == "transformer":
            found = [p for p in found if groups[p]["patch_embedding.weight"].ndim == 5]
        elif found:
            found = [max(found, key=lambda p: len(groups[p]))]
        if found:
            networks[kind] = Network(prefix := _best(file, found, kind), groups[prefix])
    return Contents(file, stored, notes, networks)


def _ends(names: Mapping[str, Tensor], mark: str) -> list[str]:
    return [k for k in names if k == mark or k.endswith(f".{mark}")]


def _best(file: Path, prefixes: list[str], kind: str) -> str:
    """The prefix of the network to use among several of a kind."""
    able = [p for p in prefixes if not _NEVER.search(p)] or prefixes
    for pattern in _BEST:
        chosen = [p for p in able if pattern.search(p)]
        able = chosen or able
    if len(able) > 1:
        raise ValueError(
            f"{file}: holds {SAID[kind]} several times, under {', '.join(map(repr, able))}; save the one that you mean alone"
        )
    return able[0]
