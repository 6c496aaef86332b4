"""Readers of other people's data sets: each finds the cameras that its folder was written from, and says what is broken."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

import layouts
from dreamx.clip import Clip
from dreamx.data.importers.datasets import Listed
from dreamx.data.importers.estimates import megasam
from dreamx.data.importers.run_import import READERS, ImportConfig, Kind, import_clips
from dreamx.data.importers.source_shot import ClipFormat, SourceShot
from dreamx.geometry.camera import Camera
from layouts import FPS, LAYOUTS, H, N, W

Truth = tuple[Tensor, Camera, Tensor]
WANTED = ClipFormat(W, H, FPS, N)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return layouts.walk()


def written(tmp_path: Path, name: str, truth: Truth) -> ImportConfig:
    kind, fill, _ = LAYOUTS[name]
    root = tmp_path / "in"
    root.mkdir()
    fill(root, *truth)
    return ImportConfig(cast("Kind", kind), root, tmp_path / "out", rate=FPS, wanted=WANTED, processes=1)


def only(folder: Path) -> Clip:
    (path,) = folder.glob("*.safetensors")
    return Clip.load(path)


def reason(cfg: ImportConfig) -> str:
    assert import_clips(cfg) == {"clips": 0, "dropped": 1}
    assert not list(cfg.out.glob("*.safetensors"))
    (path,) = (cfg.out / "records").glob("*.json")
    return json.loads(path.read_text())["reason"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_cameras_and_pictures_are_found_again(tmp_path: Path, truth: Truth, name: str) -> None:
    cfg = written(tmp_path, name, truth)
    assert import_clips(cfg) == {"clips": 1, "dropped": 0}
    clip = only(cfg.out)
    video, camera, depth = truth
    assert clip.fps == pytest.approx(FPS) and len(clip.video) == N
    # A turn and a step at a corner of the path are not in the key frames of SpatialVID: there 1 cm is allowed.
    assert torch.allclose(clip.camera.pose, camera.pose, atol=1e-2 if name == "spatialvid" else 1e-4)
    assert torch.allclose(clip.camera.lens, camera.lens, atol=1e-4)
    apart = (clip.video[:, None].float() - video[None].float()).abs().mean((2, 3, 4))  # of every frame from every true one
    assert apart.argmin(1).tolist() == list(range(N)) and float(apart.diagonal().mean()) < 14  # films halve their colours
    assert (clip.depth is not None) == LAYOUTS[name][2]
    if clip.depth is not None:
        assert torch.allclose(clip.depth.float(), depth, rtol=1e-2)
    assert clip.source and clip.licence
    assert clip.extra["actions"] == "unknown"


def test_words_of_the_tables_are_kept(tmp_path: Path, truth: Truth) -> None:
    cfg = written(tmp_path, "sekai", truth)
    import_clips(cfg)
    clip = only(cfg.out)
    assert (clip.caption, clip.scene, clip.extra["weather"]) == ("A walk, and a turn.", "indoor", "dry")
    assert clip.source == "Sekai-Real" and "non-commercial" in clip.licence


def test_a_smaller_size_and_rate_keep_lens_and_place(tmp_path: Path, truth: Truth) -> None:
    cfg = written(tmp_path, "megasam", truth)
    import_clips(ImportConfig("megasam", cfg.folder, cfg.out, rate=20.0, wanted=ClipFormat(24, 24, 10.0, 8), processes=1))
    clips = [Clip.load(p) for p in sorted(cfg.out.glob("*.safetensors"))]
    assert [len(c.video) for c in clips] == [8, 3] or [len(c.video) for c in clips] == [3, 8]
    first = max(clips, key=lambda c: len(c.video))
    assert first.fps == 10.0 and first.video.shape == (8, 3, 24, 24)
    assert torch.allclose(first.camera.pose, truth[1].pose[0:16:2], atol=1e-5)
    fx, fy, cx, cy = truth[1].lens[0].tolist()
    assert first.camera.lens[0].tolist() == pytest.approx([fx * W / H, fy, cx, cy], abs=1e-5)  # the middle 48 x 48 pixels
    assert first.licence == "CC0-1.0" and first.source == "MegaSaM"


def cut_film(root: Path) -> None:
    path = next(root.rglob("*.mp4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fewer_frames(root: Path) -> None:
    path = next(root.rglob("*.mp4"))
    layouts.film(path, torch.zeros(9, 3, H, W, dtype=torch.uint8))


def change(root: Path, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    path = next(root.rglob("*.npz"))
    with np.load(path) as file:
        arrays = {k: file[k] for k in file.files}
    np.savez(path, **{**arrays, name: edit(arrays[name])})


def nan(x: np.ndarray) -> np.ndarray:
    x[3] = np.nan
    return x


def mirrored(x: np.ndarray) -> np.ndarray:
    return x * np.array([-1, 1, 1, 1], x.dtype)


def another_size(root: Path) -> None:
    layouts.pictures(next(root.rglob("images_8")), ["frame_00004.png"], torch.zeros(1, 3, 20, 20, dtype=torch.uint8))


def no_index(root: Path) -> None:
    path = next(root.rglob("indexes.txt"))
    path.write_text("\n".join(path.read_text().splitlines()[:4]))


def gap(root: Path) -> None:
    path = next(root.rglob("0f0f.txt"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:6] + lines[16:]))


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("sekai", cut_film, "may be cut short"),
    ("realestate10k", fewer_frames, "ends after 9 frames"),
    ("sekai", fewer_frames, "rows are missing: it has 21 poses"),
    ("realestate10k", gap, "rows are missing"),
    ("spatialvid", no_index, "rows are missing"),
    ("sekai", lambda r: change(r, "extrinsic", lambda x: x[:9]), "rows are missing: it has 9 poses"),
    ("sekai", lambda r: change(r, "extrinsic", lambda x: x[:0]), "rows are missing: it has 0 poses"),
    ("sekai", lambda r: change(r, "extrinsic", nan), "NaN"),
    ("sekai-game", lambda r: change(r, "cam_c2w", mirrored), "left-handed"),
    ("vggt", lambda r: change(r, "extrinsic", nan), "NaN"),
    ("vggt", lambda r: change(r, "images", lambda x: x[:0]), "must be [N, H, W, 3]"),
    ("megasam", lambda r: change(r, "depths", lambda x: x[:5]), "rows are missing"),
    ("dl3dv", another_size, "frame 4 is 20 x 20"),
    ("dl3dv", lambda r: shutil.rmtree(next(r.rglob("images_8"))), "no folder images_8"),
    ("colmap", lambda r: (r / "walk/images/frame_000003.png").unlink(), "lacks the pictures of 1 of 21"),
    ("omniworld", lambda r: next(r.rglob("split_0.json")).write_text("{}"), "must hold quats"),
]


@pytest.mark.parametrize(("name", "damage", "said"), BROKEN)
def test_a_broken_shot_is_dropped_with_its_reason(
    tmp_path: Path, truth: Truth, name: str, damage: Callable[[Path], object], said: str
) -> None:
    cfg = written(tmp_path, name, truth)
    damage(cfg.folder)
    assert said in reason(cfg)


def test_an_id_that_is_there_twice_counts_once(tmp_path: Path, truth: Truth) -> None:
    cfg = written(tmp_path, "sekai", truth)
    table = cfg.folder / "sekai.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    assert import_clips(cfg) == {"clips": 1, "dropped": 1}
    (twin,) = (cfg.out / "records").glob("*~2.json")
    assert "is there twice" in json.loads(twin.read_text())["reason"]


def test_a_second_run_does_nothing_and_finds_the_same(tmp_path: Path, truth: Truth) -> None:
    cfg = written(tmp_path, "megasam", truth)
    import_clips(cfg)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in cfg.out.rglob("*") if p.is_file()}
    assert import_clips(cfg) == {"clips": 1, "dropped": 0}
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in cfg.out.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("licence", "said"),
    [(None, "the folder says nothing about it"), (b"\xff\xfe\xff", "LICENSE cannot be read"), (b" \n\n", "LICENSE is empty")],
)
def test_a_licence_must_be_known(tmp_path: Path, truth: Truth, licence: bytes | None, said: str) -> None:
    cfg = written(tmp_path, "megasam", truth)
    (cfg.folder / "LICENSE").unlink()
    if licence is not None:
        (cfg.folder / "LICENSE").write_bytes(licence)
    with pytest.raises(ValueError, match=said):
        import_clips(cfg)


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing of dl3dv"):
        import_clips(ImportConfig("dl3dv", tmp_path, tmp_path / "out"))
    with pytest.raises(ValueError, match="no .csv with the column 'videoFile'"):
        import_clips(ImportConfig("sekai", tmp_path, tmp_path / "out"))
    with pytest.raises(ValueError, match="there is no folder"):
        import_clips(ImportConfig("sekai", tmp_path / "none", tmp_path / "out"))


class Deadly:
    """Opening it ends the process, as a crash in a library does."""

    def __call__(self) -> SourceShot:
        os._exit(9)


def test_a_shot_that_kills_its_process_is_dropped_alone(tmp_path: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = replace(written(tmp_path, "megasam", truth), processes=2)
    shutil.copy(cfg.folder / "walk_droid.npz", cfg.folder / "zoo_droid.npz")

    def reader(folder: Path, rate: float | None) -> Listed:
        found = list(megasam(folder, rate))
        yield from (found[0], ("deadly", Deadly()), found[1])

    monkeypatch.setitem(READERS, "megasam", (reader, "MegaSaM", ""))
    assert import_clips(cfg) == {"clips": 2, "dropped": 1}
    assert "died" in json.loads((cfg.out / "records/deadly.json").read_text())["reason"]


def test_a_shot_is_not_called_like_a_clip_of_another(tmp_path: Path, truth: Truth) -> None:
    cfg = replace(written(tmp_path, "megasam", truth), wanted=ClipFormat(W, H, FPS, 8))
    for name in ("a", "a-1", "a-1_", "a-1_-1"):
        shutil.copy(cfg.folder / "walk_droid.npz", cfg.folder / f"{name}.npz")
    (cfg.folder / "walk_droid.npz").unlink()
    assert import_clips(cfg) == {"clips": 12, "dropped": 0}
    names = sorted(p.stem for p in cfg.out.glob("*.safetensors"))
    assert len(names) == 12 and {"a", "a-1", "a-2"} <= set(names)
    assert Counter(Clip.load(cfg.out / f"{n}.safetensors").extra["shot"] for n in names).most_common()[-1][1] == 3
