"""A saved session with tensors that its world cannot go on from is refused when it is loaded, not in the step after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import micro
import stand_in
from dreamx import session
from dreamx.frames import clean
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import from_keys
from dreamx.memory import MemoryConfig
from dreamx.world import World


def walked(world: World, steps: int) -> World:
    """The world after so many steps from a picture."""
    world.reset(torch.full((3, *world.size), 90, dtype=torch.uint8), "a red house", 3)
    for _ in range(steps):
        world.step(from_keys(["w"] * world.frames_per_step, world.config.speed))
    return world


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in.official(tmp_path_factory.mktemp("official") / "world")


def of_kind(kind: str, folder: Path) -> World:
    return World.open(folder) if kind == "released" else micro.world(memory=MemoryConfig(capacity=4))


def spoiled(name: str, x: Tensor) -> dict[str, Tensor]:
    """The tensor in another shape, in another dtype, without its last row, and with a number that is none."""
    other = torch.int32 if name.startswith("action") else torch.float32 if x.dtype == torch.float64 else torch.float64
    found = {"flat": torch.ones(3), "dtype": x.to(other), "ints": x.to(torch.int8)}
    if x.numel():
        found |= {"cut": x.flatten()[:-1].clone()}
    if x.numel() and x.is_floating_point():
        found |= {"nan": x.clone().index_fill_(x.ndim - 1, torch.tensor([0]), torch.nan)}
    return found


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("kind", ["released", "ours"])
def test_every_odd_tensor_is_refused_with_its_name(kind: str, steps: int, released: Path, tmp_path: Path) -> None:
    world = walked(of_kind(kind, released), steps)
    file = tmp_path / "a.session"
    world.save(file)
    words, tensors = session.read(file)
    assert {"pose", "decoder.0", "known" if steps == 0 and kind == "released" else "cache.0.time.k"} <= tensors.keys()
    before, cases = world.fork(), 0
    for name, whole in tensors.items():
        odd = {**spoiled(name, whole), **({} if name == "words" else {"missing": None})}  # words: read again by the text encoder
        for how, x in odd.items():
            rest = {k: v for k, v in tensors.items() if k != name}
            session.write(file, words, rest if x is None else {**rest, name: x})
            with pytest.raises(ValueError, match="the session is not whole") as caught:
                world.load(file)
            said = str(caught.value)
            # Of a past without its index, and of frames that another tensor counts, another may be named first.
            counted = name.startswith(("cache.index", "memory.pose", "action.", "known"))
            assert counted or name in said, (how, said)
            assert "Error" not in said and "\n" not in said, said
            cases += 1
    assert cases > 40
    for name in ("decoder.99", "cache.9.time.k", "action.7.move", "nonsense"):
        session.write(file, words, {**tensors, name: torch.ones(1, 3)})
        with pytest.raises(ValueError, match=f"not whole .{name} is none of its tensors"):
            world.load(file)
    keys = from_keys(["w"] * world.frames_per_step, world.config.speed)
    assert torch.equal(world.step(keys), before.step(keys)), "what was refused changed nothing"


def test_words_of_another_kind_are_refused(tmp_path: Path) -> None:
    world = walked(micro.world(), 1)
    world.save(tmp_path / "a.session")
    words, tensors = session.read(tmp_path / "a.session")
    for odd, why in (
        ({"events": [3]}, "events are words or null"),
        ({"events": "no"}, "events is 'no'"),
        ({"events": [None, None]}, "action.1.move is missing"),
        ({"config": None}, "config"),
        ({"seed": -1}, "seed and chunk must be 0 or more"),
    ):
        session.write(tmp_path / "b.session", {**words, **odd}, tensors)
        with pytest.raises(ValueError, match=why) as caught:
            world.load(tmp_path / "b.session")
        assert "Error" not in str(caught.value)
    session.write(tmp_path / "b.session", {k: x for k, x in words.items() if k != "prompt"}, tensors)
    with pytest.raises(ValueError, match="not whole .it has no 'prompt'"):
        world.load(tmp_path / "b.session")


def test_a_session_of_a_gpu_goes_on_on_a_cpu(released: Path, tmp_path: Path) -> None:
    """There the decoder and the past are of 16 bits; they are taken in the dtype that this world computes in."""
    world = walked(World.open(released), 2)
    world.save(tmp_path / "a.session")
    words, tensors = session.read(tmp_path / "a.session")
    half = {k: x.bfloat16() if k.startswith("decoder.") or k.endswith((".k", ".v")) else x for k, x in tensors.items()}
    session.write(tmp_path / "b.session", words, half)
    other = World.open(released)
    other.load(tmp_path / "b.session")
    keys = from_keys(["w"] * 12, world.config.speed)
    assert float((other.step(keys).float() - world.step(keys).float()).abs().mean()) < 8


def test_a_world_that_is_not_open_has_no_session(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save: the world is not open yet"):
        micro.world().save(tmp_path / "a.session")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["released", "ours"])
def test_odd_latents_are_refused_in_words_and_change_nothing(kind: str, released: Path) -> None:
    world = walked(of_kind(kind, released), 1)
    keys = from_keys(["w"] * world.frames_per_step, world.config.speed)
    twin = world.fork()
    want = [twin.step(keys), twin.step(keys)]
    dream = world.denoise(keys)
    z = dream.frames.z
    for odd, why in (
        (z[..., 1:], r"latents: float32 \[1, \d, .* given where this world decodes"),
        (z[:, :, 1:], "given where this world decodes"),
        (torch.cat([z, z]), "given where this world decodes"),
        (z.int(), "latents: int32"),
        (torch.full_like(z, torch.nan), "latents: they hold NaN or infinity"),
        (torch.cat([z, z], 1), r"latents: \d are \d+ frames, and their path has \d+ cameras"),
    ):
        b, t = odd.shape[:2]
        frames = clean(
            odd, Camera(*(x[:, -1:].expand(b, t, *x.shape[2:]) for x in (dream.frames.camera.pose, dream.frames.camera.lens)))
        )
        with pytest.raises(ValueError, match=why) as caught:
            world.decode(replace(dream, frames=frames))
        assert "Error" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="frames.z must be .batch, time, channels, height, width."):
        replace(dream.frames, z=z[0])
    assert torch.equal(world.decode(dream), want[0])
    assert torch.equal(world.step(keys), want[1])
