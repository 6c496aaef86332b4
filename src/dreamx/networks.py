"""The networks of a world on disk: read from the folders of trained ones, written to the one folder of a world."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from dreamx.model import weights
from dreamx.model.depth import Depth, DepthConfig
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.text import WordConfig, WordEncoder
from dreamx.model.vae import VAE, VAEConfig
from dreamx.session import WorldConfig

#: What draws a picture from words: a transformer of single frames, and its text encoder.
Painter = tuple[DiT, WordEncoder]


def speaking(folder: Path) -> tuple[DiT, WordEncoder]:
    """A transformer and its text encoder, from the folder of trained ones."""
    dit = DiT(weights.read_config(folder, "dit", DiTConfig))
    text = WordEncoder(weights.read_config(folder, "text", WordConfig))
    weights.load_into(dit, folder / "dit.safetensors")
    weights.load_into(text, folder / "text.safetensors")
    return dit, text


def autoencoder(folder: Path) -> VAE:
    """An autoencoder from its folder."""
    vae = VAE(weights.read_config(folder, "vae", VAEConfig))
    weights.load_into(vae, folder / "vae.safetensors")
    return vae


def deep(folder: Path) -> Depth:
    """The network for the depth of opening pictures, from its folder."""
    depth = Depth(weights.read_config(folder, "depth", DepthConfig))
    weights.load_into(depth, folder / "depth.safetensors")
    return depth


def export(
    folder: Path,
    config: WorldConfig,
    dit: DiT,
    vae: VAE,
    text: WordEncoder,
    depth: Depth | None,
    painter: Painter | None,
) -> None:
    """Write a world to a folder; the painter to one within it."""
    nets = {"dit": (dit, dit.config), "vae": (vae, vae.config), "text": (text, text.config)}
    deep = {} if depth is None else {"depth": (depth, depth.config)}
    weights.save(folder, {**nets, **deep, "world": (nn.Module(), config)})
    if painter is not None:
        weights.save(folder / "painter", {"dit": (painter[0], painter[0].config), "text": (painter[1], painter[1].config)})
