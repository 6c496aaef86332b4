"""The recipe of lanes: a fresh lane is silent, all begin alike, and only a lane can steer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import latents_of_chance
from dreamx.checkpoints import native
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model.attention import LaneMask, MaskedAttention
from dreamx.model.dit import ViewConfig
from dreamx.model.vae import VAE
from dreamx.recipes import micro, tiny
from dreamx.recipes.ablations import camera_lane
from dreamx.train.trained_networks import Networks, load
from dreamx.world import World

FEW = {"none": None, "pooled": ViewConfig(16, heads=1, pool=(2.0, 2.0)), "wide": ViewConfig(64, heads=2, rope=16)}
LENGTH = 8  # latents of a clip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe at micro size, two updates each, after networks that were never trained."""
    root = tmp_path_factory.mktemp("lanes")
    torch.manual_seed(0)
    native.save(root / "autoencoder" / "model", {"vae": (VAE(micro.VAE), micro.VAE)})
    nets = Networks.new(micro.DIT, micro.TEXT)
    for p in nets.parameters():
        torch.nn.init.normal_(p, std=0.05)
    native.save(root / "lookahead_2" / "model", nets.parts())
    latents_of_chance.save(root / "latents.safetensors", 4, LENGTH, micro.VAE.latent, camera_lane.WORLD.lens)
    for step in camera_lane.lane_steps(root, 1, root / "lookahead_2" / "model", FEW, steps=2):
        step()
    return root


def test_all_begin_as_the_trained_networks_without_their_lane(root: Path) -> None:
    torch.manual_seed(1)
    camera = walk(level(camera_lane.WORLD.lens), from_keys(["wl"] * 3)).map(lambda x: x[None])
    frames = clean(torch.randn(1, len(camera.pose[0]), micro.VAE.latent, 8, 8), camera)
    trained = load(root / "lookahead_2" / "model")
    with torch.no_grad():
        want = trained(frames, ["a"], LaneMask(MaskedAttention(), "view"))
        assert not torch.allclose(want, trained(frames, ["a"], MaskedAttention()), atol=1e-3), (
            "the lane of the trained networks says nothing"
        )
        for name, lane in FEW.items():
            start = load(root / "lanes" / name / "start" / "model")
            assert start.dit.config == replace(micro.DIT, view=lane)
            assert torch.allclose(start(frames, ["a"], MaskedAttention()), want, atol=1e-5)


@pytest.mark.parametrize("name", FEW)
def test_only_a_lane_steers(root: Path, name: str) -> None:
    world = World.open(root / "lanes" / name / "world")
    assert world.config == camera_lane.WORLD
    world.reset(torch.full((3, tiny.SIZE, tiny.SIZE), 100, dtype=torch.uint8))
    left, right = world.fork(), world.fork()
    a, b = (w.denoise(from_keys([keys] * w.frames_per_step)).frames.z for w, keys in ((left, "j"), (right, "l")))
    assert torch.equal(a, b) == (FEW[name] is None)


def test_the_lanes_are_what_their_names_say() -> None:
    wide, narrow = camera_lane.LANES["prope"], camera_lane.LANES["eprope"]
    assert wide is not None
    assert narrow is not None
    assert (wide.width, wide.heads, wide.rope) == (tiny.DIT.width, tiny.DIT.heads, wide.width // wide.heads // 2)
    assert (narrow.width * 4, narrow.rope, narrow.pool, narrow.layers) == (tiny.DIT.width, 0, (1, 1), None)
    names = [step.name for step in camera_lane.curriculum(Path("nowhere"))]
    assert names == [f"{name}-{stage}" for name in camera_lane.LANES for stage in ("start", "causal", "world")]
