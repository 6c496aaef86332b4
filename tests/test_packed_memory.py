"""Packed memory at play: what is recalled, switched off, kept, forked and walked again, in our world and in the stand-in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import micro
import stand_in
from dreamx.config import from_json, to_json
from dreamx.frames import clean
from dreamx.geometry import from_keys
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.memory import MemoryConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.packed_memory import PackedMemory
from dreamx.replay import ReplayStep, controls
from dreamx.session import Dream, Switches, WorldConfig
from dreamx.world import World

MEMORY = PackedMemoryConfig(frames=2)
ROUND = [*["j"] * 6, *["l"] * 6]  # out of sight of the beginning, and back


def world(chunk: int = 1, hints: bool = False, memory: PackedMemoryConfig = MEMORY) -> World:
    made = micro.packed(micro.world(chunk, window=2 + chunk, sinks=1, memory=MemoryConfig(2) if hints else None), memory)
    made.reset(micro.picture(), "a red room", 5)
    return made


def go(world: World, keys: list[str]) -> tuple[list[Dream], Tensor]:
    dreams, frames = list[Dream](), list[Tensor]()
    for key in keys:
        dreams.append(world.denoise(from_keys([key] * world.frames_per_step, world.config.speed)))
        frames.append(world.decode(dreams[-1]))
    return dreams, torch.cat(frames)


def test_turning_back_recalls_the_chunks_that_saw_it() -> None:
    dreams, _ = go(world(), ROUND)
    # The opening is a sink and chunk n looks 24 n degrees to the left; the window holds the last one beside it.
    chunks = [tuple(frame.chunk for frame in dream.packed) for dream in dreams]
    assert chunks[:3] == [(), (), (1,)], "what is in the window is not recalled"
    assert chunks[-1] == (1, 2), "back at the beginning: the frames beside it"
    there = dreams[-1].packed_from
    assert there is not None
    yaw = torch.rad2deg(torch.atan2(there.pose[:, 0, 2], there.pose[:, 2, 2]))
    assert yaw.tolist() == pytest.approx([-24.0, -48.0], abs=0.1)
    for i, dream in enumerate(dreams):
        index = int(dream.frames.index[0, 0])
        assert index == i + 1
        assert not {frame.index for frame in dream.packed} & {0, index - 1}, "neither a sink nor the window"


@pytest.mark.parametrize("chunk", [1, 3])
def test_recalled_frames_are_seen_and_can_be_switched_off(chunk: int) -> None:
    keys = ROUND if chunk == 1 else ROUND[::2]
    on, off = world(chunk), world(chunk)
    plain = micro.world(chunk, window=2 + chunk, sinks=1)
    plain = World(replace(on.config, past=None), plain.dit, plain.vae, plain.text)
    plain.reset(micro.picture(), "a red room", 5)
    off.switches = Switches(packed=False)
    seen, frames = go(on, keys)
    dark, without = go(off, keys)
    assert any(dream.packed for dream in seen) and not any(dream.packed for dream in dark)
    assert torch.equal(without, go(plain, keys)[1]), "off is a world without it"
    assert not torch.equal(frames, without)
    assert off._packed is not None and on._packed is not None
    assert [f.index for f in off._packed.kept] == [f.index for f in on._packed.kept], "and all of it is there when it is on again"


@pytest.mark.parametrize(("chunk", "hints"), [(1, False), (1, True), (3, False)])
def test_saved_forked_and_walked_again_it_goes_on_bit_for_bit(tmp_path: Path, chunk: int, hints: bool) -> None:
    a = world(chunk, hints)
    go(a, ROUND[:8])
    a.step(from_keys(["l"] * a.frames_per_step, a.config.speed), event="it snows")
    a.save(tmp_path / "late.session")
    b, c = a.fork(), world(chunk, hints)
    dreams, want = go(a, ROUND)
    assert any(dream.packed for dream in dreams)
    assert torch.equal(go(b, ROUND)[1], want)
    c.load(tmp_path / "late.session")
    again, got = go(c, ROUND)
    assert torch.equal(got, want)
    assert [[f.chunk for f in d.packed] for d in again] == [[f.chunk for f in d.packed] for d in dreams]
    d = world(chunk, hints)
    replay = torch.cat([d.step(x.controls, x.event) for x in a.actions])
    assert torch.equal(replay[-len(want) :], want)


def test_without_the_camera_lane_frames_are_read_anew() -> None:
    a = world()
    go(a, ROUND)
    b = a.fork()
    b.switches = Switches(camera=False)
    c = a.fork()
    assert c._packed is not None
    c._packed._read, c._packed._under = {}, None
    c.switches = Switches(camera=False)
    assert torch.equal(go(b, ["l", "j"])[1], go(c, ["l", "j"])[1])


def test_a_damaged_session_is_refused(tmp_path: Path) -> None:
    a = world()
    go(a, ROUND[:4])
    state = a._packed.state() if a._packed else {}
    assert set(state) == {"z", "pose", "lens", "index", "chunk"}
    a._packed.state = lambda: {**state, "chunk": state["chunk"][:-1]}  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    a.save(tmp_path / "bad.session")
    with pytest.raises(ValueError, match=r"packed\.chunk is int64 \[\d\] where it must be int64 \[\d\]"):
        world().load(tmp_path / "bad.session")


def test_an_environment_says_what_was_recalled() -> None:
    pytest.importorskip("gymnasium")
    from dreamx.env import Env

    env = Env(world())
    _, info = env.reset(seed=1, options={"image": micro.picture().permute(1, 2, 0).numpy(), "prompt": "a red room"})
    assert info["packed"] == []
    left, right = (np.array([key == held for key in "wasdijkl"], dtype=np.int8) for held in "jl")
    for keys in [left] * 6 + [right] * 6:
        info = env.step(keys)[4]
    assert [chunk for _, chunk in info["packed"]] == [1, 2]
    assert all(pose.shape == (4, 4) for pose, _ in info["packed"])


def test_a_replay_with_switches_is_the_same_film() -> None:
    steps = tuple(ReplayStep(key, 4, switches=Switches(packed=i != 8)) for i, key in enumerate(ROUND))
    a, b = world(), world()
    films = [torch.cat(walked(each, steps)) for each in (a, b)]
    assert torch.equal(films[0], films[1])
    assert [x.switches.packed for x in a.actions] == [i != 8 for i in range(12)]
    said = json.loads(json.dumps(to_json(steps[0])))
    del said["switches"]["packed"]
    assert from_json(ReplayStep, said).switches.packed, "replays of before say nothing of it"


def walked(world: World, steps: tuple[ReplayStep, ...]) -> list[Tensor]:
    frames: list[Tensor] = []
    for step in steps:
        world.switches = step.switches
        frames.append(world.step(controls(step, world.config.speed), step.event))
    return frames


def looking(yaw: float, x: float = 0.0) -> Camera:
    pose = rigid(rotation("y", torch.tensor([[yaw]])), torch.tensor([[[x, 0.0, 0.0]]]))
    return Camera(pose, level().lens.expand(1, 1, 4))


def test_frames_are_kept_where_they_show_something_new_and_thinned_when_there_are_too_many() -> None:
    memory = PackedMemory(replace(MEMORY, capacity=8))
    for i, yaw in enumerate([0.0, 2.0, 10.0, 10.0, 20.0]):
        memory.remember(clean(torch.full((1, 1, 2, 4, 4), float(i)), looking(yaw), i), None, i)
    assert [(f.index, float(f.z[0, 0, 0])) for f in memory.kept] == [(0, 0.0), (2, 2.0), (4, 4.0)]
    for i in range(5, 30):
        memory.remember(clean(torch.zeros(1, 1, 2, 4, 4), looking(0.0, float(i)), i), None, i)
    kept = [f.index for f in memory.kept]
    assert len(kept) == len(memory.camera) == 8
    assert kept[0] == 0 and kept[-2:] == [28, 29]


def test_configs_of_before_have_none_and_a_window_is_needed() -> None:
    said = to_json(CausalConfig())
    del said["packed"]
    assert from_json(CausalConfig, said) == CausalConfig() and CausalConfig().packed is None
    config = micro.world().config
    with pytest.raises(ValueError, match=r"world\.past\.packed recalls what a window has given up"):
        replace(config, past=CausalConfig(1, None, 0, alone=(), packed=MEMORY))
    assert from_json(WorldConfig, to_json(micro.packed(micro.world(), MEMORY).config)).causal.packed == MEMORY


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in.official(tmp_path_factory.mktemp("official") / "world")


def with_memory(folder: Path, there: Path) -> World:
    """The stand-in for DreamX-World-5B, with packed memory by its ``world.json``: a choice of who opens it."""
    there.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if file.name != "world.json" and not (there / file.name).exists():
            (there / file.name).symlink_to(file)
    speed = {"degrees_per_second": 96.0}
    (there / "world.json").write_text(json.dumps({**stand_in.SMALL, "speed": speed, "past": {"packed": to_json(MEMORY)}}))
    return World.open(there)


def test_the_stand_in_of_the_released_model_recalls_frames_too(released: Path, tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(7)).to(torch.uint8)
    on = with_memory(released, tmp_path / "packed")
    off = on.fork()
    for each in (on, off):
        each.reset(picture, "a red house", 3)
    off.switches = Switches(packed=False)
    keys = ["j", "j", "l", "", "", "l"]
    dreams, frames = go(on, keys)
    assert any(dream.packed for dream in dreams)
    late = next(dream for dream in dreams if dream.packed)
    held = set(range(3)) | set(range(int(late.frames.index[0, 0]) - 6, int(late.frames.index[0, -1]) + 1))
    assert not {frame.index for frame in late.packed} & held
    assert {frame.chunk for frame in late.packed} <= set(range(len(dreams)))
    _, without = go(off, keys)
    assert not torch.equal(frames, without)
    on.save(tmp_path / "a.session")
    again = with_memory(released, tmp_path / "packed")
    again.load(tmp_path / "a.session")
    assert torch.equal(go(again, ["l"])[1], go(on, ["l"])[1])
