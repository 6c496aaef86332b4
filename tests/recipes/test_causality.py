"""The recipe of ways: both begin alike and learn alike; what is made at once may know what comes, and nothing else may."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import latents_of_chance
from dreamx.checkpoints import native
from dreamx.geometry.controls import from_keys
from dreamx.model.vae import VAE
from dreamx.recipes import tiny
from dreamx.recipes.ablations import causality
from dreamx.train.trained_networks import load
from dreamx.world import World

LENGTH = 11  # latents of a clip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, one update each, on latents of chance."""
    root = tmp_path_factory.mktemp("ways")
    torch.manual_seed(0)
    native.save(root / "autoencoder" / "model", {"vae": (VAE(tiny.VAE), tiny.VAE)})
    latents_of_chance.save(root / "latents.safetensors", 2, LENGTH, tiny.VAE.latent, causality.WORLD.lens)
    for step in causality.curriculum(root, 1, steps=1):
        step()
    return root


@pytest.mark.parametrize("name", causality.CHUNKS)
def test_only_a_chunk_knows_what_comes(root: Path, name: str) -> None:
    """Two walks that differ in the last quarter of two seconds: the beginning differs where all of it is made at once."""
    world = World.open(root / "ways" / name / "world")
    for p in world.dit.parameters():  # what has hardly learned says the same of everything
        torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(p.numel()))
    world.reset(torch.full((3, tiny.SIZE, tiny.SIZE), 100, dtype=torch.uint8))
    frames = 4 * (causality.STRETCH - 1)
    same = ["w"] * (frames - 8)
    beginnings: list[torch.Tensor] = []
    for keys in ([*same, *["j"] * 8], [*same, *["l"] * 8]):
        future, latents, done = world.fork(), [], 0
        while done < frames:
            due = future.frames_per_step
            dream = future.denoise(from_keys((keys + [""] * due)[done : done + due]))
            future.decode(dream)
            latents.append(dream.frames.z)
            done += due
        beginnings.append(torch.cat(latents, 1)[:, :2])
    assert torch.equal(*beginnings) == (name != "both-ways")


def test_only_the_length_of_a_chunk_differs(root: Path) -> None:
    start = load(root / "ways" / "start")
    assert start.dit.config == tiny.DIT
    chunks = {name: World.open(root / "ways" / name / "world").config.sampler.chunk for name in causality.CHUNKS}
    assert chunks == causality.CHUNKS == {"both-ways": causality.STRETCH, "one-by-one": 1}
    logs = [(root / "ways" / name / "causal" / "log.jsonl").read_text().splitlines() for name in causality.CHUNKS]
    assert {len(log) for log in logs} == {1}
    assert [step.name for step in causality.curriculum(Path("nowhere"))] == [
        "start",
        *(f"{name}-{stage}" for name in causality.CHUNKS for stage in ("causal", "world")),
    ]
