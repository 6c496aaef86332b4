"""Damaged datasets, tars and folders: every one is read, dropped or refused with a sentence; none crashes, none hangs."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from data_stages import walk_clip
from dreamx.cli import main
from dreamx.clip import Clip
from dreamx.data import dataset
from dreamx.data.dataset.tars import Tars
from dreamx.data.engine import run_engine
from dreamx.geometry.camera import Camera
from test_engine import INLINE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three clips as a dataset, as tars and as a folder."""
    root = tmp_path_factory.mktemp("whole")
    clips = [(f"c{i}", walk_clip(i, 6 + i)) for i in range(3)]
    dataset.write(str(root / "dataset"), clips)
    main(["data", "export", str(root / "dataset"), "--out", str(root / "tars"), "--clips-a-tar", "2"])
    (root / "folder").mkdir()
    for name, clip in clips:
        clip.save(root / f"folder/{name}.safetensors")
    return {kind: root / kind for kind in ("dataset", "tars", "folder")}


def damage(folder: Path, rng: random.Random) -> str:
    """Do something bad to one file of a folder; says what."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "tars.json")
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    n = max(1, len(data))
    what = rng.choice(["cut", "flip", "zero", "delete", "insert", "swap", "head", "empty"])
    at = rng.randrange(n)
    if what == "cut":
        data = data[:at]
    elif what == "flip":
        for _ in range(rng.choice([1, 1, 4, 32])):
            if data:
                data[rng.randrange(n) % len(data)] ^= 1 << rng.randrange(8)
    elif what == "zero":
        end = min(len(data), at + rng.randrange(1, 256))
        data[at:end] = bytes(max(0, end - at))
    elif what == "insert":
        data[at:at] = rng.randbytes(rng.randrange(1, 64))
    elif what == "swap":
        data = bytearray(rng.choice(files).read_bytes())
    elif what == "head":
        for k in range(min(16, len(data))):
            data[k] = rng.randrange(256)
    elif what == "empty":
        data = bytearray()
    if what == "delete":
        file.unlink()
    else:
        file.write_bytes(data)
    return f"{what} {file.relative_to(folder)}"


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """What takes so long hangs."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fate(kind: str, place: Path, out: Path, through_run: bool) -> tuple[str, ...]:
    """What becomes of a damaged place: refused as a whole, or of each clip. Anything but a ValueError gets out of here."""
    try:
        source: Any = Tars(str(place)) if kind == "tars" else dataset.read(str(place))
        names = list(source.names)
    except ValueError as e:
        assert str(e)
        return ("refused",)
    if through_run:
        try:
            count = run_engine(source, (), str(out), INLINE)
        except ValueError as e:
            assert "meta/dropped.jsonl cannot be read" in str(e)
            return ("refused",)
        made = dataset.read(str(out))
        assert count.kept + count.dropped == len(names) and all(made.clip(i).video.shape[0] for i in range(len(made)))
        assert all(d["reason"] for d in made.dropped) and len(made.dropped) == count.dropped  # pyright: ignore[reportAttributeAccessIssue]
        return ("kept",) * count.kept + ("dropped",) * count.dropped
    found: list[str] = []
    for i in range(len(names)):
        try:
            assert isinstance(source.clip(i), Clip)
            found.append("kept")
        except ValueError as e:
            assert str(e)
            found.append("dropped")
    return tuple(found)


def fuzz(whole: dict[str, Path], scratch: Path, count: int, seed: int) -> Counter[str]:
    """So many damaged places; how many clips (or whole places) met which fate."""
    rng, fates = random.Random(seed), Counter[str]()
    for number in range(count):
        kind = rng.choice(["dataset", "dataset", "tars", "folder"])
        place, out = scratch / "damaged", scratch / "out"
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole[kind], place)
        done = [damage(place, rng) for _ in range(rng.choice([1, 1, 2]))]
        try:
            with patience(120):
                fates.update(fate(kind, place, out, number % 4 == 0))
        except BaseException as e:
            raise AssertionError(f"seed {seed}, number {number}, {kind}: {done}: {type(e).__name__}: {e}") from e
    return fates


def test_damaged_places_are_accounted_for(whole: dict[str, Path], tmp_path: Path) -> None:
    fates = fuzz(whole, tmp_path, 100, seed=1)
    assert min(fates["refused"], fates["dropped"], fates["kept"]) > 5, fates


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_two_thousand_damaged_places(whole: dict[str, Path], tmp_path: Path, seed: int) -> None:
    fates = fuzz(whole, tmp_path, 200, seed)
    assert min(fates["refused"], fates["dropped"], fates["kept"]) > 5, fates


def bad(name: str) -> Clip:
    clip = walk_clip(3)
    pose = clip.camera.pose.clone()
    if name == "nan":
        pose[4, 0, 3] = float("nan")
    elif name == "left-handed":
        pose[:, :3, 0] *= -1
    elif name == "sheared":
        pose[2, 0, 1] += 0.2
    clip = replace(clip, camera=Camera(pose, clip.camera.lens))
    if name == "wide":
        clip = walk_clip(3, size=(16, 32))
    elif name == "fast":
        clip = replace(clip, fps=30.0)
    elif name == "empty":
        clip = dataset.window(walk_clip(3), 0, 1)
        none = {k: getattr(clip, k)[:0] for k in ("video", "actions", "depth")}
        clip = replace(clip, camera=clip.camera[:0], **none)
    elif name == "still rate":
        clip = replace(clip, fps=0.0)
    elif name == "unreadable licence":
        clip = replace(clip, licence="\ud800")
    elif name == "no licence":
        clip = replace(clip, licence=None)  # pyright: ignore[reportArgumentType]
    elif name == "float video":
        clip = replace(clip, video=clip.video.float())
    elif name == "flat lens":
        clip = replace(clip, camera=Camera(pose, torch.zeros(12, 4)))
    return clip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nan", "clip.camera.pose has numbers that are not finite"),
        ("left-handed", "left-handed"),
        ("sheared", "rotations that are none"),
        ("wide", "clip is 32x16"),
        ("fast", "at 30 frames/s"),
        ("empty", "0 frames"),
        ("still rate", "clip.fps"),
        ("unreadable licence", "clip.licence cannot be written down"),
        ("no licence", "clip.licence must be words"),
        ("float video", "clip.video must be uint8"),
        ("flat lens", "clip.camera.lens"),
        ("good", "ids must differ"),
    ],
)
def test_bad_clips_are_dropped_with_a_reason(tmp_path: Path, name: str, said: str) -> None:
    dropped = dataset.write(str(tmp_path / "d"), [("good", walk_clip(0)), (name, bad(name)), ("other", walk_clip(1))])
    got = dataset.read(str(tmp_path / "d"))
    assert [d["name"] for d in dropped] == [name] and said in dropped[0]["reason"]
    assert got.names == ["good", "other"] and torch.equal(got.cameras(1).pose, walk_clip(1).camera.pose)
