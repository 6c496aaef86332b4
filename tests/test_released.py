"""Released checkpoints as worlds, on the stand-in: opened in every layout, walked, saved, forked, replayed, switched, refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import stand_in
from dreamx import flow, released, session
from dreamx.checkpoints import beside, umt5_names, weight_files
from dreamx.checkpoints.lent_text import LentText
from dreamx.env import Env
from dreamx.frames import clean
from dreamx.geometry.camera import Camera, cat
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.official import autoregressive_latents
from dreamx.model import umt5
from dreamx.model.kv_cache import KVCache
from dreamx.model.wan_vae import WanVAE
from dreamx.recipes import wan_micro
from dreamx.recipes.wan_micro import StandIn, write
from dreamx.replay import Replay, ReplayStep, play
from dreamx.rollout import noise_like
from dreamx.session import Switches
from dreamx.world import World

KEYS = ["w", "wj", "", "l", "si"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in.official(tmp_path_factory.mktemp("official") / "world")


def picture(seed: int = 7) -> Tensor:
    return torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def go(world: World, keys: list[str]) -> Tensor:
    return torch.cat([world.step(from_keys([k] * world.frames_per_step, world.config.speed)) for k in keys])


def test_every_layout_is_the_same_world(folder: Path, tmp_path: Path) -> None:
    found = [folder, stand_in.apart(tmp_path / "two"), stand_in.converted(tmp_path / "three", folder)]
    worlds = [World.open(f) for f in found]
    assert len({w.identity for w in worlds}) == 1
    assert {w.size for w in worlds} == {(64, 96)}
    films: list[Tensor] = []
    for world in worlds:
        world.reset(picture(), "a red house", 3)
        films.append(go(world, KEYS[:2]))
    assert torch.equal(films[0], films[1]) and torch.equal(films[0], films[2])


@torch.inference_mode()
def test_a_walk_is_the_official_sampler(folder: Path) -> None:
    """The rollout written out again, from the formulas, on the same networks: latents to 1e-4."""
    world = World.open(folder)
    vae, dit, past, text = world.vae, world.dit, world.config.past, world.text
    assert isinstance(vae, WanVAE) and isinstance(text, LentText) and past is not None
    opening = world.reset(picture(), "a red house", 3)
    assert len(opening) == 1
    made, path = list[Tensor](), [world.camera.map(lambda x: x[None])]
    for key in KEYS:
        dream = world.denoise(from_keys([key] * world.frames_per_step, world.config.speed))
        world.decode(dream)
        made.append(dream.frames.z)
        path.append(dream.path)
    assert [z.shape[1] for z in made] == [2, 3, 3, 3, 3]
    cameras = autoregressive_latents(cat(path), past.chunk)
    cache, words = past.cache(), text(["a red house"])
    levels = flow.schedule(2, 5.0)
    for n, z in enumerate(made):
        rng = torch.Generator().manual_seed(1_000_003 * 3 + n)
        x = noise_like(torch.empty(1, 3, 48, 4, 6), rng)
        new = torch.ones(1, 3)
        if n == 0:
            x[:, :1], new[:, 0] = released.encoded(vae, picture()), 0.0
        known = x.clone()
        here = cameras[3 * n : 3 * n + 3].map(lambda c: c[None].float())
        for sigma, following in pairwise(levels):
            v = dit(clean(x, here, 3 * n).with_z(x, sigma * new), words, cache)
            x0 = x - (sigma * new)[..., None, None, None] * v
            x = x0 if following == 0 else (1 - following) * x0 + following * noise_like(x, rng)
            x = torch.where(new[..., None, None, None] == 0, known, x)
        torch.testing.assert_close(x[:, 3 - z.shape[1] :], z, atol=1e-4, rtol=0)
        noise_like(x, rng)
        dit(clean(x, here, 3 * n).with_z(x, torch.full((1, 3), 1e-4)), words, cache)
        cache.commit()
    assert isinstance(world._cache, KVCache) and len(world._cache) == len(cache) == 12


def test_of_words_alone_the_first_chunk_is_made_whole(folder: Path) -> None:
    world = World.open(folder)
    frames = world.reset(None, "a red house", 3)
    assert frames.shape == (9, 3, 64, 96)
    assert world.frames_per_step == 12
    other = World.open(folder).reset(None, "the blue sea", 3)
    assert float((frames.float() - other.float()).abs().mean()) > 1, "words are heard"
    still = world.camera.map(lambda x: x[None])
    ahead = walk(world.camera, from_keys(["w"] * 8))
    led = World.open(folder).reset(None, "a red house", 3, path=cat([still, ahead]))
    assert float((frames.float() - led.float()).abs().mean()) > 0.1, "and where it is led is seen"


def test_sessions_go_on_bit_for_bit_from_every_point(folder: Path, tmp_path: Path) -> None:
    a = World.open(folder)
    a.reset(picture(), "a red house", 3)
    for at in range(3):
        a.save(tmp_path / f"{at}.session")
        b = a.fork()
        c = World.open(folder)
        assert isinstance(c.text, LentText)
        c.text.file = tmp_path / "gone"  # the session has the words: nobody opens the text encoder again
        c.load(tmp_path / f"{at}.session")
        want = go(b, KEYS)
        assert torch.equal(go(c, KEYS), want)
        go(a, KEYS[at : at + 1])
    a.step(from_keys(["w"] * 12), event="snow falls")
    a.save(tmp_path / "late.session")
    c = World.open(folder)
    c.load(tmp_path / "late.session")
    assert (c.prompt, c.event, len(c.actions)) == ("a red house", "snow falls", 4)
    assert torch.equal(go(c, KEYS), go(a, KEYS))


def test_a_replay_is_the_same_film(folder: Path) -> None:
    world = World.open(folder)
    world.reset(None, "a red house", 3)
    want = go(world, ["w", "wj"])
    steps = (ReplayStep("w", 12), ReplayStep("wj", 12))
    replay = Replay(1, "test", str(folder), world.identity, 3, "a red house", None, None, steps)
    film = torch.cat(list(play(World.open(folder), replay, None)))
    assert torch.equal(film[9:], want)


def test_switches_events_and_cameras_change_what_comes(folder: Path) -> None:
    world = World.open(folder)
    world.reset(picture(), "a red house", 3)
    go(world, ["w"])
    plain = go(world.fork(), ["w"])
    off, told, turned = world.fork(), world.fork(), world.fork()
    off.switches = Switches(camera=False)
    assert not torch.equal(go(off, ["w"]), plain)
    assert not torch.equal(told.step(from_keys(["w"] * 12), event="snow"), plain)
    assert not torch.equal(go(turned, ["j"]), plain)


def test_a_world_that_is_led_goes_where_it_is_led(folder: Path) -> None:
    world = World.open(folder)
    world.reset(picture(), "", 3)
    path = walk(world.camera, from_keys(["wk"] * 8))
    climbed = Camera(path.pose.double(), path.lens.double())
    dream = world.follow(climbed)
    assert torch.equal(dream.path.pose, climbed.pose)
    assert world.actions == []
    with pytest.raises(ValueError, match="path: 8 frames given where this step makes 12"):
        world.follow(climbed)


def test_it_is_an_environment(folder: Path) -> None:
    env = Env(str(folder), every_frame=True)
    first, _ = env.reset(seed=1, options={"prompt": "a red house"})
    assert first.shape == (12, 64, 96, 3)
    seen, reward, ended, cut, info = env.step(np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int8))
    assert seen.shape == (12, 64, 96, 3) and (reward, ended, cut) == (0.0, False, False)
    assert info["pose"][2, 3] > 0 and not np.array_equal(seen[-1], first[-1])


def test_what_cannot_be_opened_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        shutil.copytree(folder, tmp_path / name)
        return tmp_path / name

    alone = broken("alone")
    (alone / beside.VAE_FILE).unlink()
    with pytest.raises(ValueError, match="a transformer without its vae; put Wan2.2_VAE.pth of Wan2.2-TI2V-5B into the folder"):
        World.open(alone)
    mute = broken("mute")
    (mute / beside.TEXT_FILE).unlink()
    with pytest.raises(ValueError, match="a transformer without its text encoder; put models_t5"):
        World.open(mute)
    bare = broken("bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no weights of a transformer"):
        World.open(bare)
    write(StandIn(tmp_path / "cam", "cam"))
    with pytest.raises(ValueError, match="bidirectional: it makes a whole clip at once .*; use dreamx generate"):
        World.open(tmp_path / "cam")
    for said, why in (
        ({"height": 60}, "size: 60 rows and 96 columns are not both multiples of 32; the nearest that are: --size 64 96"),
        ({"hight": 64}, "world.json: 'hight' cannot be set there"),
        ({"sampler": {"chunk": 2}}, "'sampler.chunk' cannot be set there, the checkpoint was trained with its own"),
        ({"past": None}, "'past' cannot be set there"),
        ({"past": {"window": 9}}, "'past.window' cannot be set there"),
        ({"past": {"packed": {"frames": 2}}}, "the key .least. is missing"),
        ({"memory": {}}, "'memory' cannot be set there"),
    ):
        odd = broken(f"odd{len(list(tmp_path.iterdir()))}")
        (odd / "world.json").write_text(json.dumps({**stand_in.SMALL, **said}))
        with pytest.raises(ValueError, match=why):
            World.open(odd)
    with pytest.raises(ValueError, match="size: tiny is a world of ours"):
        World.open("tiny", released.Choice(size=(64, 64)))
    with pytest.raises(ValueError, match="device: 'abacus' is no device"):
        World.open(folder, released.Choice(device="abacus"))
    world = World.open(folder)
    with pytest.raises(ValueError, match="export: this world is of a released checkpoint"):
        world.export(tmp_path / "out")


def test_a_damaged_text_encoder_is_said_when_the_world_is_opened(folder: Path, tmp_path: Path) -> None:
    """Not at the first prompt: its headers are looked at, no weights."""
    whole = weight_files.read(folder / beside.TEXT_FILE)

    def damaged(name: str) -> Path:
        shutil.copytree(folder, tmp_path / name)
        return tmp_path / name

    cases: list[tuple[str, str]] = []
    for name, tensors, why in (
        ("shape", {**whole, "blocks.1.attn.k.weight": torch.zeros(3, 32)}, "attn.k.weight"),
        ("missing", {k: x for k, x in whole.items() if k != "blocks.1.ffn.fc2.weight"}, "blocks.1.ffn.fc2.weight"),
        ("other", {"patch_embedding.weight": torch.zeros(2, 2, 1, 2, 2)}, "holds no umT5 text encoder"),
        ("narrow", official_text(16), "its text encoder has 16 channels, and its transformer reads 32"),
    ):
        torch.save(tensors, damaged(name) / beside.TEXT_FILE)
        cases.append((name, why))
    for name, share in (("half", 2), ("empty", 10**9)):
        file = damaged(name) / beside.TEXT_FILE
        file.write_bytes(file.read_bytes()[: file.stat().st_size // share])
        cases.append((name, "cut short"))
    (damaged("mute") / "google/umt5-xxl/tokenizer.json").unlink()
    cases.append(("mute", "has no tokenizer; copy the tokenizer.json of google/umt5-xxl beside it"))
    file = damaged("torn") / "google/umt5-xxl/tokenizer.json"
    file.write_bytes(file.read_bytes()[:100])
    cases.append(("torn", "tokenizer.json"))
    ours = stand_in.converted(tmp_path / "ours", folder)
    weights = next((ours / "text_encoder").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    cases.append(("ours", "not a whole safetensors file"))
    for name, why in cases:
        with pytest.raises(ValueError, match=why) as caught:
            World.open(tmp_path / name)
        assert "Error" not in str(caught.value) and "\n" not in str(caught.value)


def official_text(width: int) -> dict[str, Tensor]:
    """A whole text encoder of so many channels under its released names."""
    config = replace(wan_micro.TEXT, width=width)
    return umt5_names.to_official(wan_micro.drawn(umt5.shapes(config), 2), config)


def test_size_and_steps_can_be_chosen(folder: Path) -> None:
    world = World.open(folder, released.Choice(size=(32, 64), steps=1, device="cpu"))
    assert world.size == (32, 64) and world.config.sampler.steps == 1
    assert world.reset(None, "a", 0).shape == (9, 3, 32, 64)


@torch.inference_mode()
def test_what_is_refused_changes_nothing(folder: Path, tmp_path: Path) -> None:
    world = World.open(folder)
    world.reset(picture(), "a red house", 3)
    go(world, ["w"])
    want = go(world.fork(), ["w", "j"])
    weight = next(world.dit.parameters())
    whole = weight.clone()
    weight.fill_(float("nan"))
    for refused in (lambda: go(world, ["w"]), lambda: world.reset(None, "the sea", 4)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            refused()
    weight.copy_(whole)
    with pytest.raises(ValueError, match="path: 5 cameras given where a first chunk has 9"):
        world.reset(None, "the sea", 4, path=walk(world.camera, from_keys(["w"] * 5)))
    assert (world.prompt, world.seed, len(world.actions)) == ("a red house", 3, 1)
    assert torch.equal(go(world.fork(), ["w", "j"]), want)
    world.save(tmp_path / "a.session")
    words, tensors = session.read(tmp_path / "a.session")
    for name, x in (("words", -3 * tensors["words"][:, :7]), ("words", tensors["words"].fill_(7.0)), ("before", torch.zeros(3))):
        session.write(tmp_path / "bad.session", words, {**tensors, "before": torch.zeros(3), name: x})
        with pytest.raises(ValueError, match="is not whole"):
            world.load(tmp_path / "bad.session")
    again = World.open(folder)
    again.reset(picture(), "a red house", 3)
    world.reset(picture(), "a red house", 3)
    assert torch.equal(go(world, ["w"]), go(again, ["w"])), "what was refused did not become the prompt's tokens"
