"""Find and open the autoencoder and the text encoder that lie beside a released transformer, or where somebody says they are."""

from __future__ import annotations

from pathlib import Path

import torch

from dreamx.checkpoints import components, native
from dreamx.model.umt5 import UMT5
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE
from dreamx.plaintext import read_json

#: Names of the files as they were released, and of the model that they belong to.
VAE_FILE, TEXT_FILE, BASE = "Wan2.2_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.2-TI2V-5B"
#: Where they lie in a folder with several networks: in ours and that of diffusers, and as released.
VAE_NAMES, TEXT_NAMES = ("vae", VAE_FILE), ("text_encoder", TEXT_FILE)
_OURS = {"vae", "text", "dit"}


def find(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find a network by one of the ``names`` in a folder, beside a folder that is called ``transformer``, or in the folder of
    the base model beside it; else None."""
    places = [folder, *([folder.parent] if folder.name == "transformer" or folder.is_file() else []), folder.parent / BASE]
    return next((p / name for p in places for name in names if (p / name).exists()), None)


def open_autoencoder(place: Path) -> VAE | WanVAE:
    """An autoencoder in float32 on the CPU: ours, or that of Wan2.2 in any layout. ValueError, one sentence, where it is none.

    ``place``: its file or folder, or a folder in which it lies by one of its usual names.
    """
    inner = find(place, VAE_NAMES) if place.is_dir() and not native.holds(place, "vae") else None
    place = inner or place
    if place.is_dir() and native.holds(place, "vae") and not components.is_ours(place):
        return native.load(place, "vae", VAE, VAEConfig)  # a world: its folder holds a transformer, too
    if place.is_dir() and native.holds(place, "vae") and "multiples" not in read_json(place / "config.json")["vae"]:
        return native.load(place, "vae", VAE, VAEConfig)
    if place.is_dir() and not _may_be_released(place):
        return native.load(place, "vae", VAE, VAEConfig)  # which says what is missing
    part = components.read(place, "vae")
    vae = None if part is None else components.build(part, "cpu", torch.float32)
    if not isinstance(vae, WanVAE):
        raise ValueError(f"vae: {place} holds no autoencoder; give that of a training stage, or Wan2.2_VAE.pth")
    return vae.requires_grad_(False)


def open_text_encoder(place: Path) -> UMT5:
    """An umT5 as it is stored, on the CPU. ValueError, one sentence, where there is none, or no tokenizer beside it."""
    place = (find(place, TEXT_NAMES) if place.is_dir() else None) or place
    part = components.read(place, "text_encoder")
    if part is not None and part.name == "text" and part.tokenizer is None:
        raise ValueError(f"text: {place} has no tokenizer; copy the tokenizer.json of google/umt5-xxl beside it")
    text = None if part is None else components.build(part)
    if not isinstance(text, UMT5):
        raise ValueError(f"text: {place} holds no text encoder; give models_t5_umt5-xxl-enc-bf16.pth, or a folder with it")
    return text


def _may_be_released(folder: Path) -> bool:
    """Whether a folder holds weights, and no config.json of ours."""
    try:
        said = read_json(folder / "config.json")
    except FileNotFoundError:
        return any(folder.glob("*.pth")) or any(folder.glob("*.safetensors"))
    except ValueError:
        return False
    if isinstance(said, dict) and said and all(isinstance(x, dict) for x in said.values()):
        return bool(_OURS & said.keys()) and "multiples" in said.get("vae", {})
    return True
