"""A session: what it accepts, what it answers, and that it can be replayed, saved, forked and continued bit for bit."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import micro
from dreamx.geometry import Controls, from_keys
from dreamx.memory import MemoryConfig
from dreamx.model.word_encoder import WordEncoder
from dreamx.session import Action
from dreamx.text_to_image import OpeningConfig
from dreamx.world import World

KEYS = ["w", "wj", "l", "", "sd", "i"]


def go(world: World, keys: list[str]) -> torch.Tensor:
    return torch.cat([world.step(from_keys([k] * world.frames_per_step)) for k in keys])


@pytest.mark.parametrize(("chunk", "first", "later"), [(1, 4, 4), (3, 8, 12)])
def test_frames_of_a_session(chunk: int, first: int, later: int) -> None:
    world = micro.world(chunk)
    opening = world.reset(micro.picture(), "a red room", seed=3)
    assert opening.shape == (1, 3, 32, 32)
    assert opening.dtype == torch.uint8
    assert world.frames_per_step == first
    assert len(world.step(from_keys(["w"] * first))) == first
    assert world.frames_per_step == later
    assert len(world.step(from_keys(["j"] * later))) == later


@pytest.mark.parametrize("chunk", [1, 3])
def test_same_seed_same_frames(chunk: int) -> None:
    a, b, c = micro.world(chunk), micro.world(chunk), micro.world(chunk)
    for w, seed in ((a, 5), (b, 5), (c, 6)):
        w.reset(micro.picture(), "a red room", seed)
    frames = go(a, KEYS)
    go(b, ["k"])
    b.reset(micro.picture(), "a red room", 5)
    assert torch.equal(go(b, KEYS), frames)
    assert not torch.equal(go(c, KEYS), frames)


def test_a_world_of_words_alone() -> None:
    world = micro.world()
    assert world.reset(prompt="a park", seed=1).shape == (1, 3, 32, 32)
    assert len(world.step(from_keys(["w"] * 4))) == 4


def test_a_picture_from_words_is_drawn_as_the_world_says() -> None:
    world, passes = micro.world(), [0]
    world.config = replace(world.config, opening=OpeningConfig(steps=9, guidance=None))
    world.dit.register_forward_hook(lambda *_: passes.append(1))
    plain = world.reset(prompt="a park", seed=1)
    assert sum(passes) == 9 + 1, "and once it is written"
    world.config = replace(world.config, opening=OpeningConfig(steps=9, guidance=3.0))
    assert not torch.equal(world.reset(prompt="a park", seed=1), plain)
    assert sum(passes) == 10 + 2 * 9 + 1


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_opening_draws_noise_0_and_the_first_step_noise_1(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of words alone: a replay made before shows the same opening picture, and no step has its noise."""
    drawn: list[int] = []
    draw = World._rng
    monkeypatch.setattr(World, "_rng", lambda self: (drawn.append(self.chunk), draw(self))[1])
    world = micro.world(chunk)
    world.reset(prompt="a park", seed=1)
    assert drawn == [0]
    world.step(from_keys(["w"] * world.frames_per_step))
    assert drawn[0] == 0 and drawn[1:] and set(drawn[1:]) == {1}


def test_a_painter_draws_pictures_and_nothing_else(tmp_path: Path) -> None:
    world, other = micro.world(), micro.world()
    other.dit.load_state_dict({k: 1.5 * v for k, v in other.dit.state_dict().items()})
    assert isinstance(other.text, WordEncoder)
    both = World(world.config, world.dit, world.vae, world.text, None, (other.dit, other.text))
    assert torch.equal(both.reset(prompt="a park", seed=1), other.reset(prompt="a park", seed=1))
    assert not torch.equal(world.reset(prompt="a park", seed=1), other.reset(prompt="a park", seed=1))
    for w in (both, world):
        w.reset(micro.picture(), "a red room", 5)
    frames = go(world, KEYS)
    assert torch.equal(go(both, KEYS), frames)
    both.export(tmp_path)
    again = World.open(tmp_path)
    assert again.identity == both.identity != world.identity
    assert torch.equal(again.reset(prompt="a park", seed=1), both.reset(prompt="a park", seed=1))


@pytest.mark.parametrize("chunk", [1, 3])
def test_save_and_load_go_on_bit_for_bit(tmp_path: Path, chunk: int) -> None:
    a = micro.world(chunk)
    a.reset(micro.picture(), "a red room", 5)
    a.save(tmp_path / "fresh.session")
    go(a, KEYS)
    a.step(from_keys(["w"] * a.frames_per_step), event="it snows")
    a.save(tmp_path / "late.session")
    want = go(a, KEYS)
    b = micro.world(chunk)
    b.load(tmp_path / "late.session")
    assert (b.prompt, b.event, b.seed, b.chunk, len(b.actions)) == ("a red room", "it snows", 5, 8, 7)
    assert torch.equal(go(b, KEYS), want)
    # and the record inside is enough to walk the whole way again
    c = micro.world(chunk)
    c.reset(micro.picture(), b.prompt, b.seed)
    replay = torch.cat([c.step(x.controls, x.event) for x in b.actions])
    assert torch.equal(replay[-len(want) :], want)
    b.load(tmp_path / "fresh.session")
    go(b, KEYS)
    b.step(from_keys(["w"] * b.frames_per_step), event="it snows")
    assert torch.equal(go(b, KEYS), want)


def test_forks_part_ways() -> None:
    a = micro.world()
    a.reset(micro.picture(), seed=5)
    go(a, ["w"])
    b = a.fork()
    moved = go(b, KEYS)
    assert torch.equal(go(a, KEYS), moved)
    assert not torch.equal(go(b, ["w"]), go(a, ["j"]))
    assert [len(a.actions), len(b.actions)] == [8, 8]


def test_dreaming_ahead_of_showing_changes_nothing() -> None:
    a, b = micro.world(), micro.world()
    for w in (a, b):
        w.reset(micro.picture(), seed=5)
    dreams = [b.denoise(from_keys([k] * 4)) for k in KEYS]
    assert torch.equal(torch.cat([b.decode(d) for d in dreams]), go(a, KEYS))


def test_controls_and_words_are_heard() -> None:
    """Random weights, but not deaf: another key, another prompt, another event give another world."""
    outs = []
    for keys, prompt, event in (("w", "red", None), ("l", "red", None), ("w", "blue", None), ("w", "red", "blue")):
        w = micro.world()
        w.reset(micro.picture(), prompt, 5)
        outs.append(torch.cat([w.step(from_keys([keys] * 4), event) for _ in range(3)]))
    assert all(not torch.equal(outs[0], o) for o in outs[1:])


def test_the_window_rolls_for_ever() -> None:
    world = micro.world(window=4, sinks=1)
    world.reset(micro.picture())
    frames = go(world, ["w"] * 12)
    assert len(frames) == 48
    assert len(world._cache) <= 4


def test_worlds_open_from_a_folder(tmp_path: Path) -> None:
    a = micro.world()
    a.export(tmp_path / "micro")
    b = World.open(tmp_path / "micro")
    assert b.config == a.config
    for w in (a, b):
        w.reset(micro.picture(), "red", 5)
    assert torch.equal(go(a, KEYS), go(b, KEYS))


def test_what_is_refused_leaves_the_session_alive(tmp_path: Path) -> None:
    world = micro.world()
    with pytest.raises(ValueError, match="not open yet"):
        world.step(from_keys(["w"] * 4))
    world.reset(micro.picture(), "red", 5)
    go(world, ["w"])
    twin = world.fork()
    with pytest.raises(ValueError, match="controls: 3 frames"):
        world.step(from_keys(["w"] * 3))
    with pytest.raises(ValueError, match="NaN"):
        world.step(Controls(torch.full((4, 3), torch.nan), torch.zeros(4, 2)))
    with pytest.raises(ValueError, match="seed: -1"):
        world.reset(micro.picture(), "very", -1)
    with pytest.raises(ValueError, match="image: must be uint8"):
        world.reset(torch.zeros(3, 8, 8, dtype=torch.uint8))
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a readable session"):
        world.load(tmp_path / "bad")
    other = micro.world()
    torch.nn.init.normal_(other.dit.head.weight)
    other.reset(micro.picture())
    other.save(tmp_path / "other")
    with pytest.raises(ValueError, match="other weights"):
        world.load(tmp_path / "other")
    world.save(tmp_path / "whole")
    with safe_open(tmp_path / "whole", "pt") as f:
        words, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
    del tensors["action.0.turn"]
    save_file(tensors, tmp_path / "part", words)
    with pytest.raises(ValueError, match="the session is not whole"):
        world.load(tmp_path / "part")
    with pytest.raises(ValueError, match="is no world"):
        World.open(tmp_path)
    assert torch.equal(go(world, KEYS), go(twin, KEYS))


def test_play_walks_along_keys_and_cuts_the_last_chunk() -> None:
    a, b = micro.world(), micro.world()
    for w in (a, b):
        w.reset(micro.picture(), seed=5)
    chunks = list(a.play(["w"] * 6 + ["j"] * 3))
    assert [len(c) for c in chunks] == [4, 4, 1]
    want = [b.step(from_keys(keys)) for keys in (["w"] * 4, ["w", "w", "j", "j"], ["j", "", "", ""])]
    assert torch.equal(torch.cat(chunks), torch.cat(want)[:9])


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    world = micro.world()
    world.reset(micro.picture(), seed=5)
    with pytest.raises(ValueError, match="seed"):
        world.reset(micro.picture(), seed=2**70)
    with pytest.raises(ValueError, match="ndarray"):
        world.reset(micro.picture().numpy())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="one string"):
        next(world.play("wj"))
    assert world.seed == 5
    assert len(next(world.play(["w"]))) == 1


def test_a_longer_walk_holds_no_more_tensors() -> None:
    """What stays in memory among what comes and goes keeps malloc from using it again: resident memory creeps."""
    world = micro.world(memory=MemoryConfig(capacity=4))
    world.reset(micro.picture(), seed=5)
    held = []
    for _ in range(3):
        go(world, ["wl"] * 12)
        gc.collect()
        held.append(sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()))
    assert held[1] == held[2]


def test_a_step_is_kept_as_it_was() -> None:
    speed = Controls(torch.rand(4, 3, dtype=torch.float64), torch.rand(4, 2, dtype=torch.float64))
    for controls in (speed, from_keys(["w", "wl", "", "ki"])):
        kept = Action.of(controls, "it snows").controls
        assert torch.equal(kept.move, controls.move)
        assert torch.equal(kept.turn, controls.turn)
        assert (kept.move.dtype, kept.turn.dtype) == (controls.move.dtype, controls.turn.dtype)
