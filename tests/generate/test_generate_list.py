"""An ``eval.json`` as videos: which dialect, along which cameras, after a kill, and from its record again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import micro
from dreamx.generate import GenerateConfig, film, main
from dreamx.generate.cases import dialect_of, read_input
from dreamx.generate.sources import controls_to, missed
from dreamx.geometry.camera import Camera, level, relative_to
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.formats import read
from dreamx.geometry.official import autoregressive, bidirectional
from dreamx.memory import MemoryConfig
from dreamx.world import World

ENTRY = {
    "image_path": "a.png",
    "caption": "Style: Photorealistic. a room",
    "action_seq": ["w", "wj"],
    "action_speed_list": [4, 6],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of random weights that remembers, with a list beside its picture."""
    it = tmp_path_factory.mktemp("world")
    micro.world(chunk=1, memory=MemoryConfig(capacity=4)).export(it)
    Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 60).convert("RGB").save(it / "a.png")
    (it / "eval.json").write_text(json.dumps([ENTRY, {**ENTRY, "task_id": "second", "action_seq": ["dl", "s"]}]))
    return it


def config(folder: Path, out: Path) -> GenerateConfig:
    return GenerateConfig(out, input=folder / "eval.json", world=str(folder), frames=41, part=8, seed=3)


def video(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def seen_from_first(camera: Camera) -> Camera:
    return relative_to(camera, camera[0])


def cameras(path: Path) -> Tensor:
    return read("dreamx", {"": path.read_bytes()}).camera.pose


def test_a_list_makes_videos_with_their_cameras_and_records(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    save = World.save
    monkeypatch.setattr(World, "save", lambda world, path: (kept.append(len(world.actions)), save(world, path))[1])
    main(config(folder, tmp_path / "out"))
    said = capsys.readouterr().err
    assert "asks for cameras" not in said, "legs reach what keys make"
    assert "Dialect dreamx-ar (of" in said and "it is causal): the numbers share out the frames" in said
    names = {f"{n}{end}" for n in ("000", "second") for end in (".mp4", ".json", ".cameras.json")}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    assert kept == [0] * 10, "what a session keeps must not grow with the video"
    for name, keys in (("000", ["w", "wj"]), ("second", ["dl", "s"])):
        assert len(video(tmp_path / f"out/{name}.mp4")) == 41
        path = seen_from_first(autoregressive(keys, [4, 6], 41)).pose
        assert torch.allclose(cameras(tmp_path / f"out/{name}.cameras.json"), path, atol=1e-4), "the official path"
    with pytest.raises(ValueError, match=r"000.mp4 is there already; say --resume .* or --overwrite"):
        main(config(folder, tmp_path / "out"))


def test_parts_join_to_the_frames_of_one_session(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Tensor] = []
    write = film.ResumableVideo.write
    monkeypatch.setattr(
        film.ResumableVideo, "write", lambda self, frames, cams: (shown.append(frames.clone()), write(self, frames, cams))[1]
    )
    main(config(folder, tmp_path / "out"))
    world = World.open(folder)
    image = torch.from_numpy(np.asarray(Image.open(folder / "a.png"))[:, 8:40].copy()).permute(2, 0, 1)
    first = world.reset(image, ENTRY["caption"], 3)
    frames = [first]
    path = seen_from_first(autoregressive(["w", "wj"], [4, 6], 41))
    for at in range(1, 41, 4):
        frames.append(world.step(controls_to(world.camera, path[at : at + 4], True)))
    assert torch.equal(torch.cat(shown[:11]), torch.cat(frames))
    shown_as = torch.from_numpy(video(tmp_path / "out/000.mp4")).permute(0, 3, 1, 2).float()
    made = torch.cat(frames).float()
    far = (shown_as[:, None] - made[None]).abs().mean((2, 3, 4))  # what random weights make is nearly noise, and codes badly
    assert far.argmin(1).tolist() == list(range(41)), "every frame of the file is the frame that was made, in its place"
    with av.open(str(tmp_path / "out/000.mp4")) as file:
        times = [p.pts for p in file.demux(video=0) if p.pts is not None]
    assert len(set(np.diff(times))) == 1, "frames follow each other evenly also where parts meet"


def test_captions_of_any_length_and_script_are_taken(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The official captions have 74 to 191 words and marks."""
    captions = [
        "A path runs between old trees. " * 20,
        "夕方の光が差し込む並木道を歩いていく。左側には池がある。",
        "a park 🌳🌳 ❄\ufe0f",
        "",
        " \n",
    ]
    entries = [{**ENTRY, "caption": c, "image_path": str(folder / "a.png")} for c in captions]
    (tmp_path / "eval.json").write_text(json.dumps(entries))
    main(replace(config(folder, tmp_path / "out"), input=tmp_path / "eval.json", frames=5))
    said = " ".join(capsys.readouterr().err.split())
    assert "The prompt has 140 words and marks and this world reads 24: the first 21, to the end of a sentence, are used." in said
    assert "The prompt has 28 words and marks and this world reads 24: the first 19, to the end of a sentence, are used." in said
    assert said.count("words and marks") == 2
    assert json.loads((tmp_path / "out/000.json").read_text())["caption"] == captions[0]


KILLED = """
import os, signal, sys
from dreamx.cli import main
from dreamx.world import World
dream, count = World.denoise, 0
def once(self, controls, event=None):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return dream(self, controls, event)
World.denoise = once
main(sys.argv[1:])
"""


@pytest.mark.parametrize("at", [2, 6])
def test_a_killed_video_is_resumed_bit_for_bit(folder: Path, tmp_path: Path, at: int) -> None:
    """kill -9 in the middle of a part: at once, and when others are whole already."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = ["generate", str(folder / "eval.json"), "--world", str(folder), "--frames", "41", "--part", "8", "--seed", "3"]
    words += ["--threads", "1"]

    def run(code: str, *more: str) -> int:
        done = subprocess.run([sys.executable, "-c", code, *words, *more], capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    plain = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
    assert run(plain, "--out", str(whole)) == 0
    assert run(KILLED.format(at=at), "--out", str(killed)) == -signal.SIGKILL
    assert not (killed / "000.mp4").exists()
    assert (killed / "000.part/progress.json").exists() == (at > 2)
    assert run(plain, "--out", str(killed)) == 2, "what was begun is not begun anew without a word"
    assert run(plain, "--out", str(killed), "--resume") == 0
    assert sorted(p.name for p in whole.iterdir()) == sorted(p.name for p in killed.iterdir())
    for file in whole.iterdir():
        assert file.read_bytes() == (killed / file.name).read_bytes(), file.name


def test_a_kill_between_the_last_frame_and_the_name_is_no_loss(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(folder, tmp_path / "out")
    join = film.ResumableVideo.join

    def broken(self: film.ResumableVideo) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film.ResumableVideo, "join", broken)
    with pytest.raises(OSError, match="No space"):
        main(cfg)
    monkeypatch.setattr(film.ResumableVideo, "join", join)
    with pytest.raises(ValueError, match=r"000.part was begun otherwise \(seed\)"):
        main(replace(cfg, resume=True, seed=4))
    main(replace(cfg, resume=True))
    main(replace(cfg, resume=True))  # nothing is left to do
    with pytest.raises(ValueError, match=r"was made otherwise \(colour\); name another folder"):
        main(replace(cfg, resume=True, colour=0.5))
    assert len(video(tmp_path / "out/000.mp4")) == 41


def test_a_record_makes_its_video_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(replace(config(folder, tmp_path / "out"), colour=0.3, dialect="dreamx-cam"))
    record = tmp_path / "second.json"
    record.write_bytes((tmp_path / "out/second.json").read_bytes())
    main(GenerateConfig(tmp_path / "again", input=record))
    assert "Dialect dreamx-cam (from the record): the numbers are speeds" in capsys.readouterr().err
    for name in ("second.mp4", "second.cameras.json", "second.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    data = json.loads(record.read_text())
    for key, value, said in (
        ("image_base64", "x", "not base64"), ("image_sha256", "0", "not the one that it was made from"),
        ("format", "y", "format"),
        ("fps", None, "fps"), ("action_speed_list", [1], "one for each action"),
    ):  # fmt: skip
        record.write_text(json.dumps({**data, key: value}))
        with pytest.raises(ValueError, match=said):
            read_input(record)


def test_the_dialect_is_the_checkpoints(folder: Path, tmp_path: Path) -> None:
    assert dialect_of(str(folder)) == ("dreamx-ar", "it is causal")
    both = tmp_path / "both"
    both.mkdir()
    data = json.loads((folder / "config.json").read_text())
    (both / "config.json").write_text(json.dumps({**data, "kind": {"past": None}}))
    assert dialect_of(str(both))[0] == "dreamx-cam"
    (both / "config.json").write_text(json.dumps({**data, "kind": {"past": {"window": 12}}}))
    assert dialect_of(str(both))[0] == "dreamx-ar"


def test_both_dialects_lead_along_the_official_cameras() -> None:
    """A camera that flies reaches every pose of both scripts; a walker keeps to its level and says by how much it misses."""
    for how in (autoregressive, bidirectional):
        wanted = how(["wj", "wi", "l", "dk"], [4, 6, 2, 3], 81)
        here = level(dtype=torch.float64)
        flown = walk(here, controls_to(here, wanted, False))
        assert missed(wanted, flown)[0] < 1e-3
        if how is autoregressive:
            assert missed(wanted, flown)[1] < 1e-2
        walked = walk(here, controls_to(here, wanted, True), torch.tensor([0.0, -1.0, 0.0]).double())
        assert float(walked.pose[:, 1, 3].abs().max()) < 1e-6
        assert torch.allclose(walked.pose[:, [0, 2], 3], wanted.pose[:, [0, 2], 3], atol=1e-3)
    keys = ["w"] * 8 + ["wl"] * 8
    wanted = walk(level(), from_keys(keys))
    assert torch.allclose(controls_to(level(), wanted, True).turn, from_keys(keys).turn, atol=1e-3)


@pytest.mark.parametrize(("z", "said"), [(float("nan"), "NaN"), (None, "black")])
def test_a_sick_video_stops_in_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, z: float | None, said: str
) -> None:
    dream, show = World.denoise, World.decode

    def sick(self: World, *a: Any) -> Any:
        made = dream(self, *a)
        return made if z is None else replace(made, frames=made.frames.with_z(made.frames.z * z, made.frames.sigma))

    monkeypatch.setattr(World, "denoise", sick)
    if z is None:
        monkeypatch.setattr(World, "decode", lambda world, made: show(world, made) * 0)
    with pytest.raises(ValueError, match=said):
        main(config(folder, tmp_path / "out"))
    assert not (tmp_path / "out/000.mp4").exists()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ([], "must be a list of objects"),
        ({"action_seq": ["w"]}, "entry 0 has no 'action_speed_list'"),
        ({"action_speed_list": [1]}, "entry 0 has no 'action_seq'"),
        ({**ENTRY, "action_seq": ["w", "q"]}, "entry 0.action_seq.1: 'q' is not a key"),
        ({**ENTRY, "action_seq": ["w"]}, "action_speed_list must be a list of 1 numbers"),
        ({**ENTRY, "action_speed_list": [0, 0]}, "one more than 0"),
        ({**ENTRY, "action_speed_list": [float("nan"), 1]}, "action_speed_list.0 is not a finite number"),
        ({**ENTRY, "image_path": "none.png"}, "entry 0.image_path: there is no readable picture 'none.png'"),
        ({**ENTRY, "caption": 3}, "entry 0.caption must be text"),
    ],
)
def test_a_bad_list_is_one_sentence(folder: Path, entry: object, said: str) -> None:
    (folder / "bad.json").write_text(json.dumps(entry))
    with pytest.raises(ValueError, match=said):
        read_input(folder / "bad.json")


def test_names_are_safe_and_each_its_own(folder: Path) -> None:
    names = ["../../etc", "a", "a", "x.mp4", "", 7]
    (folder / "named.json").write_text(json.dumps([{**ENTRY, "task_id": n} for n in names]))
    assert [c.name for c in read_input(folder / "named.json")[0]] == ["000", "a", "a-002", "003", "004", "7"]
    (folder / "named.json").write_text(json.dumps({"action_seq": ["w"], "action_speed_list": [1], "prompt": "words alone"}))
    (case,), _ = read_input(folder / "named.json")
    assert (case.image, case.caption) == (None, "words alone")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": 80}, "frames is 80; the models make 4 k \\+ 1 of them, so give 77"),
        ({"dialect": "cam"}, "dialect: 'cam' is none of dreamx-ar, dreamx-cam"),
        ({"colour": 2.0}, "colour is 2"),
        ({"part": 1}, "part is 1"),
        ({"prompt": "x"}, "it brings its own pictures and captions"),
        ({"out": Path("x.mp4")}, "would be a folder of videos"),
        ({"actions": "w*4"}, "give either actions"),
        ({"resume": True, "overwrite": True}, "say one of them"),
        ({"input": None, "out": Path("x.mp4"), "actions": "w*4"}, "go with an eval.json"),
        ({"input": Path("none.json")}, "input: none.json cannot be read"),
    ],
)
def test_bad_settings_are_one_sentence(folder: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        main(replace(config(folder, tmp_path / "out"), **change))
