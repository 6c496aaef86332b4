"""``dreamx data curate``: every clip is kept or has its reason. (Killed and run again: ``test_kills``.)"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.data.quality.curate import CurateConfig, curate
from dreamx.data.quality.limits import Limits
from dreamx.geometry.camera import Camera
from room import walk_clip

pytest.importorskip("scenedetect")
LIMITS = Limits(seconds=1.0)


def fill(folder: Path) -> None:
    """Eight files: good ones, bad ones, twins and one that is cut."""
    folder.mkdir()
    good = walk_clip(["w"] * 12 + ["wj"] * 12)
    good.save(folder / "a-good.safetensors")
    replace(good, caption="The same pictures.").save(folder / "b-twin.safetensors")
    replace(good, fps=4.0).save(folder / "c-slow.safetensors")
    pose = good.camera.pose.clone()
    pose[3] = torch.nan
    replace(good, camera=Camera(pose, good.camera.lens), video=good.video.flip(3)).save(folder / "d-nan.safetensors")
    (folder / "e-cut.safetensors").write_bytes((folder / "a-good.safetensors").read_bytes()[:5000])
    pose = good.camera.pose.clone()
    pose[:, :3, 3] *= 0.1
    other = replace(good, camera=Camera(pose, good.camera.lens), extra={}, video=good.video.flip(1))
    other.save(folder / "f-small.safetensors")
    replace(good, video=good.video.flip(2)).save(folder / "g-other.safetensors")
    replace(good, video=good.video[:0], camera=good.camera[:0], actions=good.actions[:0], depth=None).save(
        folder / "h-empty.safetensors"
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_clip_is_kept_or_has_a_reason(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    told = curate(CurateConfig(tmp_path / "in", tmp_path / "out", LIMITS, processes=1))
    assert told == {"kept": 3, "duplicate": 1, "empty": 1, "fps": 1, "rotations": 1, "unreadable": 1}
    assert sorted(p.name for p in (tmp_path / "out").glob("*.safetensors")) == [
        "a-good.safetensors", "f-small.safetensors", "g-other.safetensors",
    ]  # fmt: skip
    records = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "out/records").glob("*.json")}
    assert len(records) == 8
    assert records["b-twin"]["reasons"] == {"duplicate": "it is the same video as a-good"}
    assert "frame 3" in records["d-nan"]["reasons"]["rotations"]
    assert records["f-small"]["scale"] == pytest.approx(10, rel=1e-3)
    kept = Clip.load(tmp_path / "out/f-small.safetensors")
    assert kept.extra["tag_kind"] == "3D" and float(kept.extra["scale"]) == pytest.approx(10, rel=1e-3)
    assert curate(CurateConfig(tmp_path / "in", tmp_path / "at-once", LIMITS, processes=2)) == told
    assert bytes_of(tmp_path / "at-once") == bytes_of(tmp_path / "out")


def test_other_limits_want_another_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    walk_clip(["w"] * 4).save(tmp_path / "in/a.safetensors")
    curate(CurateConfig(tmp_path / "in", tmp_path / "out", LIMITS, processes=1))
    with pytest.raises(ValueError, match="out: .* judged by other limits"):
        curate(CurateConfig(tmp_path / "in", tmp_path / "out", Limits(), processes=1))
    with pytest.raises(ValueError, match="there are no clips"):
        curate(CurateConfig(tmp_path / "nothing", tmp_path / "other"))
