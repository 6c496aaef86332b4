"""Assemble a world from networks that were trained one by one; what does not fit together is said before anything is written."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from dreamx import manifest
from dreamx.bounds import FieldOfView, Pixels
from dreamx.checkpoints import native
from dreamx.data.scene.homes.home import HOMES
from dreamx.geometry.camera import lens_from_fov
from dreamx.memory import MemoryConfig
from dreamx.model.depth_net import DepthConfig
from dreamx.model.dit import DiTConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.taught_event import TaughtEvent
from dreamx.model.vae import VAEConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.networks import load_vocabulary, refuse_unseen_places
from dreamx.recipes.overrides import override
from dreamx.recipes.step import WorldParts, read_taught, write_world
from dreamx.session import WorldConfig, find

FOV = 70.0  # degrees, as the clips of the simulator have it


@dataclass(frozen=True)
class Assembly(WorldParts):
    """Make a world that ``dreamx play --world`` opens from separately trained networks."""

    size: tuple[Pixels, Pixels] | None = None
    """Rows and columns of a picture; None: those of LIKE."""
    like: str | None = None
    """A world, shipped or in a folder, whose settings are taken (sampler, memory, speed, lens), and its happenings, if no file
    of those is given; None: those of a new world."""
    fov: FieldOfView | None = None
    """Vertical field of view, degrees; None: that of LIKE where the picture has its shape, else 70."""
    views: Annotated[int, Ge(0), Le(64)] | None = None
    """Most views that memory shows for a chunk; 0: no memory. None: as LIKE has it, else 3 where the transformer reads them."""
    packed: Annotated[int, Ge(0), Le(64)] | None = None
    """Most latent frames that packed memory recalls for a chunk, for a transformer that was taught it; 0: none. None: as LIKE has
    it."""
    decoder_depth: bool = False
    """Begin memory with the depth that the autoencoder guesses, where there is no network for it."""
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set"), tyro.conf.UseAppendAction] = ()
    """Another setting of the world: FIELD=VALUE, as sampler.steps=8; may be given several times."""


def main(cfg: Assembly) -> None:
    """Check, and write ``cfg.out``."""
    world = world_config(cfg)
    refuse_misfits(cfg, world)
    taught = read_taught(cfg, like_happenings(cfg))
    reads = (cfg.vae, cfg.dit, cfg.depth, cfg.painter, cfg.places, cfg.seen, cfg.drawn, cfg.told, cfg.happenings)
    manifest.refuse_input(cfg.out, reads, "out")
    files = (r"config\.json", r"(dit|vae|text|depth|places)\.safetensors", "painter", "starts")
    manifest.claim(cfg.out, "a world of dreamx world assemble", files)
    write_world(cfg, world, taught)
    out, homes = shlex.quote(str(cfg.out)), ""
    if cfg.places is not None:
        names = native.read_config(cfg.places, "places", PlaceFieldConfig).names
        homes = " --homes " + " ".join(names) if set(names) <= set(HOMES) else " --clips CLIPS"  # those of a place of one's own
    sys.stdout.write(
        f"wrote {cfg.out}; dreamx play --world {out} opens it\n"
        f"pictures to begin from: dreamx data starts --out {out}/starts --width {world.width} --height {world.height}{homes}\n"
    )


def like_happenings(cfg: Assembly) -> tuple[TaughtEvent, ...]:
    """Return the events that LIKE was taught by name; none where there is no LIKE."""
    known = None if cfg.like is None else load_vocabulary(find(cfg.like))
    return () if known is None else known.happenings


def world_config(cfg: Assembly) -> WorldConfig:
    """Settings of the world that is asked for. ValueError, one sentence, where they cannot be."""
    like = None if cfg.like is None else native.read_config(find(cfg.like), "world", WorldConfig)
    if like is None and cfg.size is None:
        raise ValueError("size is missing; give rows and columns, as --size 64 64, or a world --like")
    height, width = cfg.size or (0, 0) if like is None else cfg.size or (like.height, like.width)
    lens = lens_from_fov(cfg.fov or FOV, width, height)
    if like is None:
        made = WorldConfig(height, width, lens)
    else:
        same = cfg.fov is None and like.height * width == like.width * height  # a lens is in shares of both sides
        made = replace(like, height=height, width=width, lens=like.lens if same else lens)
    if cfg.views == 0:
        made = replace(made, memory=None, foresight=None)  # to look ahead is to remember
    elif cfg.views is not None:
        made = replace(made, memory=replace(made.memory or MemoryConfig(), views=cfg.views))
    elif like is None and native.read_config(cfg.dit, "dit", DiTConfig).hint:
        made = replace(made, memory=MemoryConfig())
    made = override(made, cfg.overrides)
    if cfg.packed is None:
        return made
    packed = replace(made.causal.packed or PackedMemoryConfig(), frames=cfg.packed) if cfg.packed else None
    return replace(made, past=replace(made.causal, packed=packed))


def refuse_misfits(cfg: Assembly, world: WorldConfig) -> None:
    """ValueError, one sentence, for networks that do not go together, or not with these settings. Only configs are read."""
    vae, dit = native.read_config(cfg.vae, "vae", VAEConfig), _transformer(cfg.dit, "dit")
    refuse_size(world, vae, dit, "dit")
    if vae.latent != dit.channels:
        raise ValueError(
            f"dit: {cfg.dit} reads latents of {dit.channels} channels, and the autoencoder in {cfg.vae} makes {vae.latent}; "
            "give networks that were trained together"
        )
    if world.memory is not None and not dit.hint:
        raise ValueError(
            f"views: memory is wanted, and the transformer in {cfg.dit} was not taught to read it (its hint is off); "
            "give --views 0, or one that was"
        )
    if world.memory is None and world.foresight is not None:
        raise ValueError("foresight needs memory, which keeps what was looked ahead at; give --views 3, or --set foresight=none")
    if world.memory is not None and cfg.depth is None and not cfg.decoder_depth:
        raise ValueError(
            "depth is missing: memory begins with the depth of the first picture; give its network, --decoder-depth to take what "
            "the autoencoder guesses, or --views 0 for a world without memory"
        )
    if cfg.depth is not None:
        native.read_config(cfg.depth, "depth", DepthConfig)
    if cfg.places is not None:
        native.read_config(cfg.places, "places", PlaceFieldConfig)
        refuse_unseen_places(world, cfg.places)
    if cfg.painter is not None:
        painter = _transformer(cfg.painter, "painter")
        refuse_size(world, vae, painter, "painter")
        if painter.channels != vae.latent:
            raise ValueError(
                f"painter: {cfg.painter} makes latents of {painter.channels} channels, and the autoencoder in {cfg.vae} reads "
                f"{vae.latent}; give networks that were trained together"
            )
    if cfg.told is not None and cfg.seen is None:
        raise ValueError("told goes with seen and drawn: the words of all are kept; give all three, or leave it out")
    if (cfg.seen is None) != (cfg.drawn is None):
        raise ValueError("seen and drawn go together: the words of both are kept; give both, or neither")


def _transformer(folder: Path, flag: str) -> DiTConfig:
    """The config of a transformer whose text encoder fits it."""
    dit, text = native.read_config(folder, "dit", DiTConfig), native.read_config(folder, "text", WordConfig)
    if dit.text != text.width:
        raise ValueError(
            f"{flag}: the transformer in {folder} reads words of {dit.text} channels, and its text encoder makes {text.width}; "
            "give a folder that a training stage wrote"
        )
    return dit


def refuse_size(world: WorldConfig, vae: VAEConfig, dit: DiTConfig, flag: str) -> None:
    """ValueError where pictures of the world are no whole number of tokens."""
    side = vae.shrink * dit.patch
    if world.height % side or world.width % side:
        raise ValueError(
            f"size: rows and columns must be multiples of {side} for the autoencoder and the {flag} ({vae.shrink} pixels a "
            f"place, {dit.patch} places a token), not {world.height} and {world.width}"
        )
