"""Offline videos: action files, the mp4 and its record, and what is left behind when something goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import micro
from dreamx import generate
from dreamx.generate import GenerateConfig, main, read_actions, walk_along, write_video
from dreamx.geometry import from_keys
from dreamx.replay import FORMAT, Replay, ReplayStep, play, write
from dreamx.session import Switches
from dreamx.world import World

Made = list[Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of random weights and a start picture."""
    it = tmp_path_factory.mktemp("world")
    micro.world(chunk=3).export(it)
    Image.new("RGB", (48, 32), "teal").save(it / "start.png")
    return it


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The frames of each video, before they are encoded."""
    made: Made = []

    def spy(path: Path, chunks: Iterable[Tensor], size: tuple[int, int], fps: float) -> int:
        made.append(torch.cat(list(chunks)))
        return write_video(path, [made[-1]], size, fps)

    monkeypatch.setattr(generate, "write_video", spy)
    return made


def video(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_actions_of_a_file_and_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "walk.txt"
    file.write_text("# a walk\nw 2   # forward\n\n  jw\t1\n- 2\n", encoding="utf-8")
    assert read_actions(str(file)) == ["w", "w", "wj", "", ""]
    assert read_actions("w*2,wj*1,-*2") == ["w", "w", "wj", "", ""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w 2\nq 3\n", "line 2.*'q' is not a key"),
        ("w two", "line 1"),
        ("w 2 3", "line 1.*KEYS FRAMES"),
        ("w*2", "line 1.*KEYS FRAMES"),
        ("w 0", "line 1"),
        ("\n\nw -1", "line 3"),
        ("# nothing\n", "no actions"),
        ("w 99999999999", "line 1"),
    ],
)
def test_a_bad_action_file_names_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "walk.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        read_actions(str(file))


def test_bad_actions_in_a_line_and_missing_files() -> None:
    with pytest.raises(ValueError, match="span 2"):
        read_actions("w*2,q*3")
    with pytest.raises(ValueError, match="no file"):
        read_actions("nothing.txt")
    with pytest.raises(ValueError, match="no file"):
        read_actions("w" * 5000)


def test_frames_are_those_of_the_world_and_the_last_chunk_is_cut() -> None:
    keys = ["w"] * 8 + ["j"] * 5
    frames = torch.cat(list(walk_along(micro.world(3), micro.picture(), "a room", 4, keys)))
    assert len(frames) == 1 + 13
    twin = micro.world(3)
    first = twin.reset(micro.picture(), "a room", 4)
    expected = torch.cat([first, twin.step(from_keys(["w"] * 8)), twin.step(from_keys(["j"] * 5 + [""] * 7))])
    assert torch.equal(frames, expected[:14])


def test_video_and_record(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Made) -> None:
    out = tmp_path / "walk.mp4"
    cfg = GenerateConfig(out, "w*9,wj*4", start=folder / "start.png", prompt="a room", seed=3, world=str(folder))
    main(cfg)
    assert "its middle 32 x 32 is used" in capsys.readouterr().err.replace("\n", " ")
    frames = video(out)
    assert frames.shape == (14, 32, 32, 3)
    record = json.loads(out.with_suffix(".json").read_text())
    assert {k: record[k] for k in ("seed", "prompt", "start", "fps", "size", "frames", "actions")} == {
        "seed": 3,
        "prompt": "a room",
        "start": "start.png",
        "fps": 16.0,
        "size": [32, 32],
        "frames": 14,
        "actions": "w*9,wj*4",
    }
    assert len(record["start_sha256"]) == 64
    assert {x.name for x in tmp_path.iterdir()} == {"walk.mp4", "walk.json"}
    with pytest.raises(ValueError, match="overwrite"):
        main(cfg)
    main(replace(cfg, actions=record["actions"], overwrite=True))
    assert torch.equal(*made), "the record does not make the same frames again"
    assert np.array_equal(video(out), frames), "the same frames were encoded differently"


def test_video_shows_the_frames(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 255, 32).to(torch.uint8).expand(6, 3, 32, 32).contiguous()
    ramp[3:] = ramp[3:].flip(-1)
    assert write_video(tmp_path / "a.mp4", [ramp[:2], ramp[2:]], (32, 32), 16) == 6
    shown = torch.from_numpy(video(tmp_path / "a.mp4")).permute(0, 3, 1, 2)
    assert (shown.float() - ramp.float()).abs().mean() < 4


def test_prompt_alone(folder: Path, tmp_path: Path) -> None:
    main(GenerateConfig(tmp_path / "a.mp4", "w*4", prompt="a room", world=str(folder)))
    assert json.loads((tmp_path / "a.json").read_text())["start"] is None
    assert len(video(tmp_path / "a.mp4")) == 5


def _walk(folder: Path) -> Replay:
    steps = (ReplayStep("w", 8), ReplayStep("j", 12, (6.0, 0.0), "it snows", Switches(camera=False)))
    return Replay(FORMAT, "0.1", str(folder), World.open(folder).identity, 3, "a room", "hill", None, steps)


def test_a_replay_file_makes_its_video(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Made) -> None:
    """In the world that it names, or in another that is named; the file itself stays as it is."""
    (folder / "starts").mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), "teal").save(folder / "starts/hill.png")
    walk = _walk(folder)
    write(tmp_path / "walk.json", walk)
    file = (tmp_path / "walk.json").read_bytes()
    main(GenerateConfig(tmp_path / "walk.mp4", replay=tmp_path / "walk.json"))
    assert "weights" not in capsys.readouterr().err
    assert {x.name for x in tmp_path.iterdir()} == {"walk.mp4", "walk.json"}
    assert (tmp_path / "walk.json").read_bytes() == file, "a record was written over the replay"
    assert torch.equal(made[0], torch.cat(list(play(World.open(folder), walk))))
    assert len(video(tmp_path / "walk.mp4")) == 21
    write(tmp_path / "other.json", replace(walk, world="far away", weights="other"))
    main(GenerateConfig(tmp_path / "other.mp4", replay=tmp_path / "other.json", world=str(folder)))
    assert "other weights" in capsys.readouterr().err.replace("\n", " ")
    assert torch.equal(made[0], made[1])


def test_a_replay_is_walked_alone(folder: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "a.mp4", tmp_path / "walk.json"
    with pytest.raises(ValueError, match="either actions.* or a replay"):
        GenerateConfig(out)
    with pytest.raises(ValueError, match="either actions.* or a replay"):
        GenerateConfig(out, "w*4", file)
    for start, prompt, seed in ((folder / "start.png", "", 0), (None, "a room", 0), (None, "", 1)):
        with pytest.raises(ValueError, match="replay: it brings its own"):
            GenerateConfig(out, replay=file, start=start, prompt=prompt, seed=seed)
    with pytest.raises(ValueError, match="walk.json cannot be read"):
        main(GenerateConfig(out, replay=file))
    write(file, replace(_walk(folder), start="sea"))
    with pytest.raises(ValueError, match="no picture .*sea.png"):
        main(GenerateConfig(out, replay=file))
    write(file, replace(_walk(folder), start=None, steps=(ReplayStep("w", 4),)))
    with pytest.raises(ValueError, match="steps.0 has 4 frames"):
        main(GenerateConfig(out, replay=file))
    assert [x.name for x in tmp_path.iterdir()] == ["walk.json"]


def _breaks(error: BaseException) -> object:
    def walk(world: World, image: Tensor | None, prompt: str, seed: int, keys: list[str], _: object) -> Iterator[Tensor]:
        yield from walk_along(world, image, prompt, seed, keys[:4])
        raise error

    return walk


def test_an_interrupt_leaves_a_part_that_plays(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "walk_along", _breaks(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as e:
        main(GenerateConfig(tmp_path / "a.mp4", "w*40", world=str(folder)))
    assert e.value.code == 130
    assert [x.name for x in tmp_path.iterdir()] == ["a.part.mp4"]
    assert len(video(tmp_path / "a.part.mp4")) == 5


def test_an_error_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "walk_along", _breaks(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*40", world=str(folder)))
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.mp4"):
        GenerateConfig(tmp_path / "a.avi", "w*4")
    with pytest.raises(ValueError, match="seed"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*4", seed=-1, world=str(folder)))
    with pytest.raises(ValueError, match="no folder"):
        main(GenerateConfig(tmp_path / "none" / "a.mp4", "w*4", world=str(folder)))
    with pytest.raises(ValueError, match="cannot be read"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*4", start=tmp_path / "none.png", world=str(folder)))
    with pytest.raises(ValueError, match="world"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*4", world="nowhere"))
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="not a picture"):
        main(GenerateConfig(tmp_path / "a.mp4", "w*4", start=tmp_path / "bad.png", world=str(folder)))
    assert [x.name for x in tmp_path.iterdir()] == ["bad.png"]
