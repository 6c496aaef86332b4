"""The replay file: strict to read, and the very frames again."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import micro
from dreamx import replay as replays
from dreamx.config import to_json
from dreamx.geometry import Speed, from_keys
from dreamx.memory import MemoryConfig
from dreamx.play.client_messages import Command, Restore
from dreamx.play.pipeline import Pipeline
from dreamx.play.replay_conversion import replay_text
from dreamx.play.server_messages import ChunkReady, FrameKind, Picture
from dreamx.play.session_spec import Session, SessionStart, Sinks
from dreamx.replay import FORMAT, Replay, ReplayStep, controls, parse, picture, play, read, warning, write
from dreamx.session import Switches
from dreamx.world import World

STEPS = (
    ReplayStep("w", 4),
    ReplayStep("wj", 4, (10.0, -3.0)),
    ReplayStep("", 4, None, "it snows", Switches(memory=False)),
    ReplayStep("l", 4, switches=Switches(camera=False)),
    ReplayStep("s", 4, (-90.0, 0.0)),
)


def png(image: Tensor) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(image.permute(1, 2, 0))).save(out, "PNG")
    return out.getvalue()


def sample(world: World, image: Tensor | None = None, start: str | None = None, name: str = "tiny") -> Replay:
    data = None if image is None else base64.b64encode(png(image)).decode()
    return Replay(FORMAT, "0.1", name, world.identity, 7, "a room", start, data, STEPS)


@pytest.mark.parametrize("memory", [None, MemoryConfig()])
def test_the_very_frames_again(tmp_path: Path, memory: MemoryConfig | None) -> None:
    """Walked live with events, a mouse and both switches; exported; replayed in a world that was walked in before."""
    live = micro.world(memory=memory)
    frames = [live.reset(micro.picture(), "a room", 7)]
    for step in STEPS:
        live.switches = step.switches
        frames.append(live.step(controls(step, live.config.speed), step.event))
    write(tmp_path / "walk.json", sample(live, micro.picture()))
    other = micro.world(memory=memory)
    other.reset(micro.picture(1), seed=1)
    other.step(from_keys(["a"] * 4))
    again = list(play(other, read(tmp_path / "walk.json")))
    assert [len(x) for x in again] == [1, 4, 4, 4, 4, 4]
    assert torch.equal(torch.cat(again), torch.cat(frames))
    plain = micro.world(memory=memory)
    deaf = replace(sample(plain, micro.picture()), steps=tuple(replace(s, switches=Switches()) for s in STEPS))
    assert not torch.equal(torch.cat(list(play(plain, deaf))), torch.cat(frames)), "the switches are not heard"


def test_what_a_player_walked_and_a_branch_of_it() -> None:
    """The live server's pipeline with a real world, keys, mouse, stick, event, switch, a moment gone back to; then its replay."""
    speed = Speed(metres_per_second=30.0, degrees_per_second=600.0, fps=400)  # the same a frame as at 16 fps, and no waiting
    live, other = (micro.world(memory=MemoryConfig()) for _ in range(2))
    for world in (live, other):
        world.config = replace(world.config, speed=speed)
    seen: list[list[Tensor]] = []  # frames since the beginning, and since each jump

    def encode(image: Tensor, fresh: bool) -> tuple[FrameKind, bytes]:
        if fresh:
            seen.append([])
        seen[-1].append(image.clone())
        return FrameKind.JPEG, b""

    heard: Queue[object] = Queue()
    opening = SessionStart(micro.picture(), "a room", 7)
    pipeline = Pipeline(live, Session("one", opening), Sinks(heard.put, encode))

    def chunks(count: int) -> None:
        while count:
            said = heard.get(timeout=30)
            count -= isinstance(said, ChunkReady)
            if isinstance(said, Picture):
                pipeline.inputs.shown(said.frame, None)

    pipeline.begin()
    try:
        chunks(1)
        pipeline.inputs.hold("wj", 1, (7.0, -2.0), (0.5, 0.1))
        chunks(3)
        pipeline.inputs.event("it snows")
        pipeline.inputs.submit(Command("save"))
        chunks(3)
        pipeline.switch(Switches(memory=False))
        pipeline.inputs.hold("s", 2)
        chunks(3)
        pipeline.inputs.submit(Restore("restore"))
        pipeline.switch(Switches())
        chunks(2)
        pipeline.inputs.hold("d", 3, (-300.0, 0.0))
        chunks(8)
    finally:
        pipeline.close()
    walk = parse(json.loads(replay_text(opening, tuple(pipeline.history.spans), "micro", live.identity)))
    assert len(seen) == 2
    again = torch.cat(list(play(other, walk)))
    branch = torch.stack(seen[1])
    assert len(branch) >= 13
    assert sum(torch.equal(again[i : i + len(branch)], branch) for i in range(len(again) - len(branch) + 1)) == 1
    assert torch.equal(again[:9], torch.stack(seen[0][:9]))
    assert {s.keys for s in walk.steps} >= {"wj", "d"}
    assert any(s.look and s.look[0] < -200 for s in walk.steps)
    assert [s.event for s in walk.steps if s.event] in ([], ["it snows"])  # whichever of event and moment came first


def test_chunks_of_several_latents() -> None:
    world = micro.world(chunk=3)
    steps = (ReplayStep("w", 8), ReplayStep("j", 12), ReplayStep("", 12))
    walk = replace(sample(world), steps=steps)
    assert [len(x) for x in play(world, walk)] == [1, 8, 12, 12]
    frames = play(world, replace(walk, steps=(ReplayStep("w", 12),)))
    next(frames)
    with pytest.raises(ValueError, match="steps.0 has 12 frames, and this world makes 8"):
        next(frames)


def test_a_start_picture_is_found_in_the_worlds_folder(tmp_path: Path) -> None:
    world = micro.world()
    world.export(tmp_path / "micro")
    (tmp_path / "micro/starts").mkdir()
    (tmp_path / "micro/starts/hill.png").write_bytes(png(micro.picture(3)))
    walk = sample(world, start="hill", name=str(tmp_path / "micro"))
    found = picture(walk, world.size)
    assert found is not None
    assert torch.equal(found, micro.picture(3))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match="replay.start: there is no picture .*elsewhere/hill.png"):
        play(world, walk, tmp_path / "elsewhere")  # at once, not at the first frame
    with pytest.raises(ValueError, match="is no world"):
        play(world, replace(walk, world="nowhere"))
    assert picture(sample(world), world.size) is None


def test_controls_are_keys_and_an_even_look_within_what_a_view_can_turn() -> None:
    speed = Speed()
    plain = controls(ReplayStep("wj", 4), speed)
    expected = from_keys(["wj"] * 4, speed)
    assert torch.equal(plain.move, expected.move)
    assert torch.equal(plain.turn, expected.turn)
    looked = controls(ReplayStep("wj", 4, (8.0, -2.0)), speed)
    assert torch.equal(looked.move, expected.move)
    assert torch.allclose(looked.turn, expected.turn + torch.tensor([2.0, -0.5]))
    assert controls(ReplayStep("", 4, (1000.0, -1000.0)), speed).turn.tolist() == [[12.0, -12.0]] * 4


def test_json_there_and_back(tmp_path: Path) -> None:
    walk = sample(micro.world(), micro.picture())
    assert parse(json.loads(json.dumps(to_json(walk)))) == walk
    write(tmp_path / "walk.json", walk)
    assert read(tmp_path / "walk.json") == walk
    assert [x.name for x in tmp_path.iterdir()] == ["walk.json"]


def test_other_weights_are_a_warning() -> None:
    world = micro.world()
    assert warning(sample(world), world.identity) == ""
    other = replace(sample(world), weights="other")
    assert "other weights" in warning(other, world.identity)
    assert len(list(play(world, other))) == 6


def _set(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: value})


def _step(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["steps"][1].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_set("speed", 3), "replay: the key 'speed' is unknown"),
        (lambda data: data.pop("prompt"), "replay: the key 'prompt' is missing"),
        (_set("seed", "7"), "replay.seed: must be a whole number, not '7'"),
        (_set("seed", -1), "replay: seed is -1"),
        (_set("format", 2), "format is 2, and this dreamx reads 1"),
        (_set("prompt", "x" * 4001), "prompt has 4001 characters"),
        (_set("start", "../../secret"), "start is '../../secret'"),
        (_set("image", "?"), "image is not base64"),
        (_set("image", "A" * (replays.IMAGE_LIMIT * 4 // 3 + 8)), "image is larger than 8 MB"),
        (lambda data: data.update(start="hill", image="aaaa"), "start and image are both given"),
        (_set("steps", "w"), "'steps' must be a list"),
        (lambda data: data.update(steps=data["steps"][:1] * (replays.STEP_LIMIT + 1)), "steps are 50001; at most 50000"),
        (_step("keys", "wq"), "replay.steps.1: .*'q' is not a key"),
        (_step("keys", 3), "replay.steps.1.keys: must be a string"),
        (_step("frames", 0), "replay.steps.1: frames is 0"),
        (_step("frames", 65), "replay.steps.1: frames is 65"),
        (_step("frames", 4.0), "replay.steps.1.frames: must be a whole number"),
        (_step("look", [1.0]), "replay.steps.1.look: "),
        (_step("look", [1.0, 2.0, 3.0]), "replay.steps.1.look: "),
        (_step("look", [1.0, float("nan")]), "replay.steps.1: look is"),
        (_step("event", "x" * 4001), "replay.steps.1: event has 4001"),
        (_step("switches", {"memory": 1, "camera": True}), "replay.steps.1.switches.memory: must be true or false"),
        (_step("turn", None), "replay.steps.1: the key 'turn' is unknown"),
    ],
)
def test_what_is_no_replay_is_refused_in_one_sentence(spoil: Callable[[dict[str, Any]], object], words: str) -> None:
    data = to_json(sample(micro.world()))
    spoil(data)
    with pytest.raises(ValueError, match=words) as e:
        parse(data)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 400


def test_files_that_are_no_replay(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.json cannot be read"):
        read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="bad.json is not JSON"):
        read(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="bad.json is not JSON"):
        read(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ValueError, match="bad.json: replay: must be an object"):
        read(tmp_path / "bad.json")
