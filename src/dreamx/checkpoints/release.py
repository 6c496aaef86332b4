"""Released transformers as they lie on disk: which of the three a checkpoint is, its config, its weights as ours and back.

What a checkpoint is shows in its ``config.json``, or whoever has it says so: the shapes of a causal and of a bidirectional
transformer are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx import atomic
from dreamx.checkpoints import contents, diffusers_names, official_names, weight_files
from dreamx.checkpoints.contents import Contents
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.dit import DiTConfig
from dreamx.plaintext import sentence

#: Channels of a head in every Wan transformer; needed where there is no config.json.
HEAD = 128
#: Our own config.json of a folder has the names of its networks as keys.
OURS = "dit"


@dataclass(frozen=True)
class Family:
    """One of the released transformers: whether it has a camera lane, and whether it is causal."""

    name: str
    lane: bool
    causal: bool


#: What ``--kind`` may say.
FAMILIES = {
    "wan": Family("Wan2.2-TI2V-5B", lane=False, causal=False),
    "cam": Family("DreamX-World-5B-Cam", lane=True, causal=False),
    "causal": Family("DreamX-World-5B", lane=True, causal=True),
}


@dataclass(frozen=True)
class Released:
    """A released transformer as ours: ``tensors`` is the state of ``DiT(config)``, memory-mapped but for its last layer.

    ``left`` counts the tensors of other networks beside it, and ``others`` says what they are.
    """

    tensors: dict[str, Tensor]
    config: DiTConfig
    kind: TransformerMeta
    family: Family
    left: int = 0
    others: tuple[str, ...] = ()


def read(path: Path, config: Path | None = None, family: Family | None = None, dtype: torch.dtype | None = None) -> Released:
    """A checkpoint in the released or the diffusers layout: a file, an index of shards, or a folder; see ``released_from``."""
    return released_from(contents.read(path, dtype), config, family, dtype)


def released_from(
    found: Contents, config: Path | None = None, family: Family | None = None, dtype: torch.dtype | None = None
) -> Released:
    """The transformer among what a checkpoint holds, in the released or the diffusers layout.

    ``config`` is its ``config.json`` where that does not lie beside it; ``family`` says what it is where no config does.
    ``dtype``: of weights that are quantised (None: bfloat16). ValueError, one sentence that names the file and the key, when it
    is not whole, not a transformer or not of that family.
    """
    file = found.file
    with _naming(file):
        if "transformer" not in found.networks:
            raise ValueError(
                f"{next(iter(found.stored), '')!r} has no place in a transformer: {official_names.cause(list(found.stored))}"
            )
    found.refuse_unread("transformer")
    sizes = diffusers_names.sizes(found.networks["transformer"].tensors)
    beside = file.parent / "config.json" if config is None else config
    said = weight_files.read_json(beside) if config is not None or beside.is_file() else None
    with _naming(file if said is None else beside):
        causal = _causal(said or {})
        if causal is None and family is None:
            raise ValueError(f"{_silent(said)}; give --config, or --kind {' or '.join(FAMILIES)}")
        causal = family.causal if causal is None and family is not None else bool(causal)
        words = _words(said, sizes)
        dit, kind = official_names.read_config(words, causal), official_names.read_kind(words, causal)
    lane = dit.view is not None
    with _naming(file):
        known = next((f for f in FAMILIES.values() if (f.lane, f.causal) == (lane, causal)), FAMILIES["causal"])
        if family is not None and family != known:
            raise ValueError(f"this is {_described(known)}, but --kind says {_described(family)}")
    tensors = found.restored("transformer", dtype)
    with _naming(file):
        state = diffusers_names.from_layout(tensors, dit)
    return Released(state, dit, kind, known, found.left("transformer"), tuple(found.beside("transformer")))


def write(
    folder: Path, tensors: Mapping[str, Tensor], config: DiTConfig, kind: TransformerMeta, dtype: torch.dtype | None, limit: int
) -> None:
    """Write the state of our ``DiT(config)`` as released, with its config.json: ``diffusion_pytorch_model`` in shards of at most
    ``limit`` bytes if bidirectional; if causal one ``model.safetensors``, since the released script reads nothing else."""
    said, theirs = official_names.write_config(config, kind), official_names.to_official(tensors, config)
    if kind.past is None:
        weight_files.write(folder, "diffusion_pytorch_model", theirs, dtype, limit)
    else:
        weight_files.write(folder, "model", theirs, dtype, sum(x.nbytes for x in theirs.values()))
    atomic.write_json(folder / "config.json", said)


def write_pickled(
    folder: Path, tensors: Mapping[str, Tensor], config: DiTConfig, kind: TransformerMeta, dtype: torch.dtype | None
) -> None:
    """The same as torch's own ``diffusion_pytorch_model.pth``."""
    said = official_names.write_config(config, kind)
    weight_files.write_pickled(folder / "diffusion_pytorch_model.pth", official_names.to_official(tensors, config), dtype)
    atomic.write_json(folder / "config.json", said)


def write_diffusers(
    folder: Path, tensors: Mapping[str, Tensor], config: DiTConfig, kind: TransformerMeta, dtype: torch.dtype | None, limit: int
) -> None:
    """The same as diffusers has it, in a folder ``transformer``."""
    said = diffusers_names.config_to_diffusers(config, kind)
    theirs = {diffusers_names.to_diffusers(k): x for k, x in official_names.to_official(tensors, config).items()}
    (folder / "transformer").mkdir()
    weight_files.write(folder / "transformer", "diffusion_pytorch_model", theirs, dtype, limit)
    atomic.write_json(folder / "transformer" / "config.json", said)


def _words(said: Mapping[str, Any] | None, sizes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """The released config; from the shapes alone where there is none, and the camera lane where it says nothing of it.

    The released scripts add ``add_control_adapter`` to the config themselves, so that it may not be there.
    """
    if said is not None and OURS in said:
        raise ValueError("is of a folder that dreamx wrote; give that folder")
    words = _inferred(sizes) if said is None else dict(said)
    if "num_attention_heads" in words:
        words = diffusers_names.config_from_diffusers(words)
    lanes = {k: s for k, s in sizes.items() if k.endswith(".cam_self_attn.q_proj.weight")}
    if lanes and "add_control_adapter" not in words:
        narrow, width = next(iter(lanes.values()))
        layers = sorted(int(k.split(".")[1]) for k in lanes)
        words = {"attn_compress": width // narrow, "cam_self_attn_layers": layers, **words}
        words |= {"add_control_adapter": True, "cam_method": "prope"}
    return words


def _inferred(sizes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Infer the official config from the shapes of the tensors; heads are of ``HEAD`` channels."""
    try:
        width, channels, _, patch, _ = sizes["patch_embedding.weight"]
        found = {
            "in_dim": channels,
            "out_dim": sizes["head.head.weight"][0] // patch**2,
            "dim": width,
            "patch_size": [1, patch, patch],
            "ffn_dim": sizes["blocks.0.ffn.0.weight"][0],
            "text_dim": sizes["text_embedding.0.weight"][1],
            "freq_dim": sizes["time_embedding.0.weight"][1],
        }
    except KeyError as e:
        raise ValueError(f"{e} is missing: a shard was forgotten or the file was cut") from e
    if width % HEAD:
        raise ValueError(f"a width of {width} does not divide into heads of {HEAD}; give its config.json with --config")
    layers = 1 + max(int(m[1]) for k in sizes if (m := re.match(r"blocks\.(\d+)\.", k)))
    return {**found, "num_heads": width // HEAD, "num_layers": layers}


def _causal(words: Mapping[str, Any]) -> bool | None:
    """Whether a config is of a causal network; None where it does not say, or says both."""
    name, windowed = str(words.get("_class_name", "")), "local_attn_size" in words
    if "Causal" in name or "WorldAR" in name or (windowed and not name):
        return True
    return False if name and (not windowed or words["local_attn_size"] == -1) else None


def _silent(said: Mapping[str, Any] | None) -> str:
    """Why ``_causal`` does not know."""
    if said is None:
        return "there is no config.json beside it that says whether it is causal"
    if "_class_name" not in said:
        return "it has no _class_name that says whether it is causal"
    return f"_class_name: {said['_class_name']!r} is bidirectional, but local_attn_size is of a causal one"


def _described(family: Family) -> str:
    lane = "with" if family.lane else "without"
    return f"{'causal' if family.causal else 'bidirectional'}, {lane} camera lane ({family.name})"


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the name of this file before any ValueError raised inside."""
    try:
        yield
    except ValueError as e:
        raise ValueError(f"{file}: {sentence(e, 600)}") from e
