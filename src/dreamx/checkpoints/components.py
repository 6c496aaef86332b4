"""The autoencoder and the text encoder of the released models on disk: ours, as released, or in the layout of diffusers.

As released they are ``Wan2.2_VAE.pth`` and ``models_t5_umt5-xxl-enc-bf16.pth``; diffusers has them in the folders ``vae`` and
``text_encoder`` (with the word list in ``tokenizer``). Our folder holds ``vae.safetensors`` or ``text.safetensors``, with the
names of diffusers and transformers, and their configs in ``config.json``; ``tokenizer.json`` lies beside the text encoder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dreamx import atomic
from dreamx.checkpoints import contents, native, quantised, umt5_names, wan_vae_names, weight_files
from dreamx.checkpoints.contents import Contents
from dreamx.model import umt5, wan_vae
from dreamx.model.umt5 import UMT5, UMT5Config
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.plaintext import named

C = TypeVar("C")

#: Where a tokenizer lies, seen from the weights: in our folder, in the released one, in that of diffusers.
_TOKENIZERS = ("tokenizer.json", "google/umt5-xxl/tokenizer.json", "../tokenizer/tokenizer.json")


@dataclass(frozen=True)
class CheckpointPart:
    """One of the two networks: its state by our names, memory-mapped; for the text encoder its tokenizer, if it was found.

    others: what lay beside it in the same file, in words.
    """

    tensors: dict[str, Tensor]
    config: WanVAEConfig | UMT5Config
    tokenizer: Path | None = None
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in our folder: ``vae`` or ``text``."""
        return "vae" if isinstance(self.config, WanVAEConfig) else "text"


def read(path: Path, which: str | None = None, dtype: torch.dtype | None = None) -> CheckpointPart | None:
    """An autoencoder of Wan2.2 or an umT5 in any of its layouts; None where ``path`` holds something else.

    ``which``: the one to take of a file that holds more (``part_from``); in a folder of ours there is only one.
    """
    if is_ours(path):
        return ours(path)
    found = contents.read(path, dtype)
    return part_from(found, which if which in found.networks else None, dtype)


def look(path: Path, which: str) -> CheckpointPart | None:
    """``read`` by names and shapes, at the price of the headers: ValueError for what is cut or of other shapes."""
    if is_ours(path):
        return ours(path, look=True)
    found = contents.look(path)
    return part_from(found, which if which in found.networks else None)


def is_ours(path: Path) -> bool:
    """Whether ``path`` is a folder of ours that holds one of the two, and no transformer."""
    said = _said(path)
    return said is not None and bool({"vae", "text"} & said.keys()) and "dit" not in said


def ours(folder: Path, look: bool = False) -> CheckpointPart:
    """The autoencoder or text encoder in a folder of ours. ValueError names the file and the key when it is not whole.

    look: at names and shapes alone.
    """
    return _ours(folder, "vae" if "vae" in (_said(folder) or {}) else "text", look)


def part_from(found: Contents, which: str | None, dtype: torch.dtype | None = None) -> CheckpointPart | None:
    """The autoencoder or text encoder among what a checkpoint holds, where there is one and no transformer, or ``which`` is it.

    ``which``: ``vae`` or ``text_encoder``. ``dtype``: of weights that are quantised (None: bfloat16). ValueError, one sentence
    that names the file and the key, when it is not whole, or not there though it was asked for.
    """
    if which is None:
        which = next((k for k in ("vae", "text_encoder") if k in found.networks and "transformer" not in found.networks), None)
    elif which not in found.networks:
        held = " and ".join(contents.SAID[k] for k in found.networks) or "nothing that is known here"
        raise ValueError(f"{found.file}: holds no {which.replace('_', ' ')} but {held}")
    if which is None:
        return None
    folder, others = found.file.parent, tuple(found.beside(which))
    decoder = sum(k.startswith(umt5_names.DECODER) for k in found.networks[which].tensors) if which == "text_encoder" else 0
    others += (f"{decoder} of its decoder",) if decoder else ()
    tensors = found.restored(which, dtype)
    try:
        with named(found.file, folder):
            part = (_vae if which == "vae" else _text)(tensors, folder)
    except (IndexError, TypeError, ZeroDivisionError) as e:  # of sizes that are read off the shapes
        raise ValueError(f"{found.file}: its tensors have shapes of no {which.replace('_', ' ')}, so it is something else") from e
    return replace(part, others=others)


def write(folder: Path, part: CheckpointPart, dtype: torch.dtype | None) -> None:
    """Write our folder. ValueError when a weight is NaN or infinite."""
    cast = part.tensors if dtype is None else {k: x.to(dtype) for k, x in part.tensors.items()}
    try:
        native.write(folder, {part.name: (cast, part.config)})
    except native.NotFinite as e:
        weight_files.refuse_broken(e.key, cast[e.key], part.tensors[e.key])
        raise
    _copy_tokenizer(part, folder / "tokenizer.json")


def write_pickled(folder: Path, part: CheckpointPart, dtype: torch.dtype | None) -> None:
    """Write the file that was released."""
    if isinstance(part.config, WanVAEConfig):
        weight_files.write_pickled(folder / "Wan2.2_VAE.pth", wan_vae_names.to_official(part.tensors, part.config), dtype)
    else:
        weight_files.write_pickled(
            folder / "models_t5_umt5-xxl-enc-bf16.pth", umt5_names.to_official(part.tensors, part.config), dtype
        )
        _copy_tokenizer(part, folder / "google" / "umt5-xxl" / "tokenizer.json")


def write_diffusers(folder: Path, part: CheckpointPart, dtype: torch.dtype | None, limit: int) -> None:
    """Write a folder ``vae`` or ``text_encoder`` in shards of at most ``limit`` bytes."""
    vae = isinstance(part.config, WanVAEConfig)
    inside = folder / ("vae" if vae else "text_encoder")
    inside.mkdir()
    weight_files.write(inside, "diffusion_pytorch_model" if vae else "model", part.tensors, dtype, limit)
    if isinstance(part.config, WanVAEConfig):
        atomic.write_json(inside / "config.json", wan_vae_names.write_config(part.config))
    else:
        atomic.write_json(inside / "config.json", umt5_names.write_config(part.config))
        _copy_tokenizer(part, folder / "tokenizer" / "tokenizer.json")


def build(part: CheckpointPart, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> WanVAE | UMT5:
    """The network on ``device`` in ``dtype`` (None: of most of its weights); what stays as it is, is the mapped file itself."""
    dtype = dtype or weight_files.dtype_of(part.tensors)
    state = {k: x.to(device, dtype) for k, x in part.tensors.items()}
    if isinstance(part.config, WanVAEConfig):
        return wan_vae.load(state, part.config)
    return umt5.load(state, part.config, part.tokenizer)


def open_vae(folder: Path) -> VAE | WanVAE:
    """Whichever autoencoder one of our folders holds."""
    if "multiples" in _config(folder, "vae"):
        vae = build(_ours(folder, "vae"))
        assert isinstance(vae, WanVAE)
        return vae
    return native.load(folder, "vae", VAE, VAEConfig)


def open_text(folder: Path) -> WordEncoder | UMT5:
    """Whichever text encoder one of our folders holds."""
    if "buckets" in _config(folder, "text"):
        text = build(_ours(folder, "text"))
        assert isinstance(text, UMT5)
        return text
    return native.load(folder, "text", WordEncoder, WordConfig)


def _ours(folder: Path, name: str, look: bool = False) -> CheckpointPart:
    file = folder / f"{name}.safetensors"
    stored = weight_files.look(file) if look else weight_files.mapped(file)
    with named(file, folder):
        tensors = quantised.restore(stored, {}, None)
        if name == "vae":
            vae = native.read_config(folder, name, WanVAEConfig)
            return CheckpointPart(wan_vae_names.from_diffusers(tensors, vae), vae)
        text = native.read_config(folder, name, UMT5Config)
        return CheckpointPart(umt5_names.from_transformers(tensors, text), text, _tokenizer(folder))


def _vae(tensors: Mapping[str, Tensor], folder: Path) -> CheckpointPart:
    if "encoder.conv1.weight" in tensors:
        config = wan_vae_names.config_of(tensors)
        return CheckpointPart(wan_vae_names.from_official(tensors, config), config)
    config = _beside(folder, wan_vae_names.read_config) or wan_vae_names.config_of_diffusers(tensors)
    return CheckpointPart(wan_vae_names.from_diffusers(tensors, config), config)


def _text(tensors: Mapping[str, Tensor], folder: Path) -> CheckpointPart:
    tokenizer = _tokenizer(folder)
    if "token_embedding.weight" in tensors:
        config = umt5_names.config_of(tensors)
        return CheckpointPart(umt5_names.from_official(tensors, config), config, tokenizer)
    config = _beside(folder, umt5_names.read_config) or umt5_names.config_of_transformers(tensors)
    return CheckpointPart(umt5_names.from_transformers(tensors, config), config, tokenizer)


def _tokenizer(folder: Path) -> Path | None:
    """Find the tokenizer file beside the weights in a folder, or None. ValueError where it is not whole."""
    found = next((f for name in _TOKENIZERS if (f := folder / name).is_file()), None)
    if found is not None:
        weight_files.read_json(found)
    return found


def _beside(folder: Path, read_config: Callable[[Mapping[str, Any]], C]) -> C | None:
    """Read the config.json beside the weights, which the libraries always write; None where there is none.

    That of a transformer (``freq_dim``) beside a file that holds all three networks says nothing of this one.
    """
    said = _said(folder)
    if said is None or "freq_dim" in said:
        return None
    with named(folder / "config.json"):
        return read_config(said)


def _said(folder: Path) -> dict[str, Any] | None:
    """The config.json of a folder; None where there is none. ValueError where it is not whole."""
    file = folder / "config.json"
    return weight_files.read_json(file) if file.is_file() else None


def _config(folder: Path, name: str) -> Mapping[str, Any]:
    found = (_said(folder) or {}).get(name)
    return found if isinstance(found, dict) else {}


def _copy_tokenizer(part: CheckpointPart, to: Path) -> None:
    if part.tokenizer is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part.tokenizer, to)
