"""Other people's films and pictures with cameras: a camera gets the picture of its time, and no file stands for another."""

from __future__ import annotations

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import layouts
from dreamx.clip import Clip
from dreamx.data.importers.run_import import ImportConfig, import_clips, listed
from dreamx.data.importers.source_shot import ClipFormat, SourceShot, clips
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats import Motion, MotionOptions, write
from films import scene
from films import write as film
from layouts import FPS, H, N, W

TIMES = [i / 30 for i in range(30)] + [1 + i / 10 for i in range(20)]  # as a screen recorder: 30 a second, then 10


def seconds(t: float) -> np.ndarray:
    """A picture that says its time."""
    return np.full((48, 64, 3), 10 + round(70 * t), np.uint8)


def cameras(times: np.ndarray) -> Camera:
    """Cameras whose z is their time."""
    pose = torch.eye(4, dtype=torch.float64).repeat(len(times), 1, 1)
    pose[:, 2, 3] = torch.from_numpy(times)
    return Camera(pose, torch.tensor([1.0, 1.3, 0.5, 0.5], dtype=torch.float64).repeat(len(times), 1))


def apart(clip: Clip) -> float:
    """Seconds between pictures and cameras, at worst."""
    return float(((clip.video.float().mean((1, 2, 3)) - 10) / 70 - clip.camera.pose[:, 2, 3]).abs().max())


@pytest.mark.parametrize(("name", "form"), [("v.mp4", None), ("v.mkv", None), ("v.ts", "mpegts")])
def test_a_camera_gets_the_picture_of_its_time(tmp_path: Path, name: str, form: str | None) -> None:
    video = film(tmp_path / name, [seconds(t) for t in TIMES], form=form, times=TIMES)
    shot = SourceShot(video, cameras(np.arange(0, 2.8, 0.1)), None, None, seconds=torch.arange(0, 2.8, 0.1))
    (clip,) = clips(shot, ClipFormat(16, 16, 16.0), "", "")
    assert clip.fps == pytest.approx(10, abs=0.1) and len(clip.video) == 28  # what nearly all of it has
    assert apart(clip) < 0.02 and "variable" in clip.extra["film"]
    numbered = SourceShot(video, cameras(np.array(TIMES)), None, None)  # a camera for each frame
    (clip,) = clips(numbered, ClipFormat(16, 16, 16.0), "", "")
    assert apart(clip) < 0.02
    sparse = SourceShot(video, cameras(np.array(TIMES)[::7]), torch.arange(0, 50, 7).double(), None)
    assert apart(next(clips(sparse, ClipFormat(16, 16, 16.0), "", ""))) < 0.02


def test_a_film_that_begins_late_and_one_that_stands_still(tmp_path: Path) -> None:
    late = [0.5 + i / 30 for i in range(40)]
    video = film(tmp_path / "late.mp4", [seconds(t) for t in late], times=late)
    shot = SourceShot(video, cameras(np.arange(0, 1.6, 0.1)), None, None, seconds=torch.arange(0, 1.6, 0.1))
    (clip,) = clips(shot, ClipFormat(16, 16, 16.0), "", "")
    assert apart(clip) < 0.02 and float(clip.camera.pose[0, 2, 3]) == pytest.approx(0.5, abs=1e-3)
    still = [0, 0.1, 0.2, 1.9, 2.0, 2.1]
    video = film(tmp_path / "still.mp4", [seconds(t) for t in still], times=[float(t) for t in still])
    shot = SourceShot(video, cameras(np.arange(0, 2.1, 0.1)), None, None, seconds=torch.arange(0, 2.1, 0.1))
    with pytest.raises(ValueError, match="one picture for 1.70 s from 0.20 s on"):
        list(clips(shot, ClipFormat(16, 16, 16.0), "", ""))
    with pytest.raises(ValueError, match="it is cut short"):
        short = SourceShot(video, cameras(np.arange(0, 4, 0.1)), None, None, seconds=torch.arange(0, 4, 0.1))
        list(clips(short, ClipFormat(16, 16, 16.0), "", ""))


def test_a_phone_film_and_square_pixels_in_a_clip(tmp_path: Path) -> None:
    lying = np.rot90(scene(h=64, w=48), 1)
    video = film(tmp_path / "a.mp4", [lying] * 4, turned=(-90, False, False))
    shot = SourceShot(video, cameras(np.arange(4) / 30), None, None)
    (clip,) = clips(shot, ClipFormat(48, 64), "", "")
    assert clip.video[0, 0, 4, 4] > 200 < clip.video[0, 2, -4, -4] and "upright" in clip.extra["film"]
    wide = film(tmp_path / "b.mkv", [scene()] * 4, ratio=Fraction(3, 2))
    (clip,) = clips(SourceShot(wide, cameras(np.arange(4) / 30), None, None), ClipFormat(96, 48), "", "")
    assert clip.video.shape == (2, 3, 48, 96) and clip.video[0, 0, 4, 20] > 200


@pytest.mark.parametrize("name", ["abc123.webm", "abc123.MP4", "abc123.mkv"])
def test_downloaded_films_have_any_ending(tmp_path: Path, name: str) -> None:
    root = tmp_path / "in"
    layouts.realestate10k(root, *layouts.walk())
    (root / "videos/abc123.mp4").rename(root / "videos" / name)  # a film is known by its bytes
    cfg = ImportConfig("realestate10k", root, tmp_path / "out", wanted=ClipFormat(W, H, FPS, N), processes=1)
    assert import_clips(cfg) == {"clips": 1, "dropped": 0}


def test_films_of_one_name_are_all_there(tmp_path: Path) -> None:
    for name in (
        "a/walk.mp4",
        "b/walk.MP4",
        "b/walk.mov",
        "a_walk.mp4",
        "frame10.avi",
        "frame2.M2TS",
        "один.mp4",
        "два.mp4",
        "c/one.mts",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [name for name, _ in listed("video", tmp_path, None)]
    assert len(set(names)) == 9 and not any(n.endswith("~2") for n in names)
    assert names.index("frame2") < names.index("frame10") and {"one", "walk", "walk.MP4", "walk.mov", "a_walk"} <= set(names)


def test_tables_that_name_files_of_one_name(tmp_path: Path) -> None:
    video, camera, depth = layouts.walk()
    layouts.sekai(tmp_path / "x", video, camera, depth)
    (tmp_path / "in").mkdir()
    name = "ytid_0000000_0000021"
    for part, shown in (("one", video), ("two", video.flip(1))):
        layouts.film(tmp_path / f"in/{part}/{name}.mp4", shown)
        shutil.copy(tmp_path / f"x/cameras/{name}.npz", tmp_path / f"in/{part}/{name}.npz")
    for where, want in ((("one", "two"), {"clips": 2, "dropped": 0}), (("",), {"clips": 0, "dropped": 1})):
        with (tmp_path / "in/table.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["videoFile", "cameraFile"])
            table.writerows([f"{w}/{name}.mp4".lstrip("/"), f"{w}/{name}.npz".lstrip("/")] for w in where)
        out = tmp_path / f"out{len(where)}"
        assert import_clips(ImportConfig("sekai", tmp_path / "in", out, wanted=ClipFormat(W, H, FPS, N), processes=1)) == want
        if len(where) == 2:
            a, b = (Clip.load(p).video.float() for p in sorted(out.glob("*.safetensors")))
            assert 2 * float((a - b.flip(1)).abs().mean()) < float((a - b).abs().mean())
        else:
            (record,) = (out / "records").glob("*.json")
            assert "2 files could be its video" in json.loads(record.read_text())["reason"]


def test_frames_lie_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    video, camera, _ = layouts.walk()
    names = [f"frame_{i}.png" for i in range(N)]  # 0, 1, 10, 11, ... by letters
    big = MotionOptions(size=(W * 8, H * 8))
    told = json.loads(write("dl3dv", Motion(layouts.exact(camera), FPS), big)[""])
    for frame, name in zip(told["frames"], names, strict=True):
        frame["file_path"] = f"images/{name}"
    told["frames"] = told["frames"][7:] + told["frames"][:7]
    layouts.pictures(tmp_path / "d/1K/hash/images_8", names, video)
    (tmp_path / "d/1K/hash/transforms.json").write_text(json.dumps(told))
    layouts.pictures(tmp_path / "c/walk/images", names, video)
    (tmp_path / "c/walk/sparse/0").mkdir(parents=True)
    for file, data in write("colmap", Motion(layouts.exact(camera), FPS), MotionOptions(size=(W, H))).items():
        text = data.decode()
        for i in reversed(range(N)):
            text = text.replace(f"frame_{i:06d}.png", names[i])
        (tmp_path / "c/walk/sparse/0" / file).write_text(text)
    for kind, folder in (("dl3dv", "d"), ("colmap", "c")):
        cfg = ImportConfig(kind, tmp_path / folder, tmp_path / f"out{folder}", "CC0", FPS, ClipFormat(W, H, FPS, N), 1)  # pyright: ignore[reportArgumentType]
        assert import_clips(cfg) == {"clips": 1, "dropped": 0}
        (path,) = cfg.out.glob("*.safetensors")
        clip = Clip.load(path)
        assert torch.equal(clip.video, video) and torch.allclose(clip.camera.pose, camera.pose, atol=1e-4)


def test_pictures_of_a_folder_are_read_as_a_viewer_shows_them(tmp_path: Path) -> None:
    deep = np.broadcast_to(np.linspace(0, 65535, 64).astype(np.uint16), (48, 64))
    paths = tuple(tmp_path / f"{i}.png" for i in range(2))
    for path in paths:
        Image.fromarray(deep).save(path)
    (clip,) = clips(SourceShot(paths, cameras(np.arange(2) / 10), None, 10.0), ClipFormat(64, 48), "", "")
    assert (clip.video[0, 0, 10].float() - torch.linspace(0, 255, 64)).abs().max() < 1
