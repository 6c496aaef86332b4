"""A world of random weights, small enough to build in a test. Same code, same file layout as a trained one."""

from dataclasses import replace

import torch

from dreamx.geometry.camera import lens_from_fov
from dreamx.geometry.controls import Speed
from dreamx.memory import MemoryConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.rollout import Sampler
from dreamx.world import World, WorldConfig

SIZE = 32
DIT = DiTConfig(channels=8, width=48, heads=2, layers=2, mlp=96, text=16, frequencies=32, view=ViewConfig(24, 3))
ENCODER = VAEConfig(latent=8, encoder=(8, 12, 16), decoder=(8, 12, 16), blocks=(1, 1, 1))
WORDS = WordConfig(width=16, heads=2, words=24)


def world(
    chunk: int = 1,
    window: int = 8,
    sinks: int = 1,
    memory: MemoryConfig | None = None,
    places: PlaceFieldConfig | None = None,
) -> World:
    torch.manual_seed(0)
    hint = memory is not None
    dit, vae, text = DiT(replace(DIT, hint=hint)), VAE(replace(ENCODER, hint=hint)), WordEncoder(WORDS)
    for p in dit.parameters():
        torch.nn.init.normal_(p, std=0.05)
    sampler = Sampler(steps=2, chunk=chunk, window=window, sinks=sinks)
    config = WorldConfig(SIZE, SIZE, lens_from_fov(70, SIZE, SIZE), sampler=sampler, memory=memory)
    return World(config, dit, vae, text, places=None if places is None else field(places))


def field(places: PlaceFieldConfig) -> PlaceField:
    """With random densities, features and skies, so that every camera sees something else."""
    net = PlaceField(places)
    for p in (*net.density, *net.features, *net.sky):
        torch.nn.init.normal_(p, std=0.5)
    return net


def picture(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (3, SIZE, SIZE), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def packed(world: World, memory: PackedMemoryConfig) -> World:
    """The same networks in a world that recalls frames; one turns 24 degrees a latent."""
    s = world.config.sampler
    past = CausalConfig(s.chunk, s.window, s.sinks, alone=(), from_before=False, packed=memory)
    config = replace(world.config, past=past, speed=Speed(degrees_per_second=96.0))
    return World(config, world.dit, world.vae, world.text, places=world.places)
