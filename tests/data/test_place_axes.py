"""Cameras of unknown axes and scale in those of a place: upright, its ground at 0, at the pace of somebody who walks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import layouts
from dreamx.cli import main
from dreamx.clip import Clip
from dreamx.data.importers.place_axes import in_place, placed
from dreamx.data.importers.run_import import ImportConfig, import_clips
from dreamx.data.importers.source_shot import ClipFormat, SourceShot
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.geometry.controls import Speed, from_keys, walk
from layouts import FPS, H, N, W

KEYS = ["w"] * 16 + ["wl"] * 20 + [""] * 9 + ["k"] * 6 + ["wj"] * 30 + ["l"] * 12 + ["w"] * 16


def walked(at: tuple[float, float, float] = (0.0, -1.5, 0.0)) -> Camera:
    """A walk at 1.2 m/s, its camera 1.5 m above the ground; somebody looks down, and stands for a while."""
    there = walk(level(), from_keys(KEYS, Speed(fps=16.0)), torch.tensor([0.0, -1.0, 0.0])).to(dtype=torch.float64)
    pose = there.pose.clone()
    pose[:, :3, 3] += torch.tensor(at, dtype=torch.float64)
    return Camera(pose, there.lens)


def corners(x: float, z: float) -> torch.Tensor:
    """Points on the ground and 2 m above it, all over a place of ``2 x`` by ``2 z`` metres."""
    rng = torch.Generator().manual_seed(0)
    spread = torch.rand(4000, 3, generator=rng, dtype=torch.float64) * 2 - 1
    return torch.stack([spread[:, 0] * x, torch.where(spread[:, 1] > 0, 0.0, -2.0), spread[:, 2] * z], 1)


def lost(camera: Camera, points: torch.Tensor) -> SourceShot:
    """The same in axes and a unit that nobody knows, as structure from motion gives it."""
    turn = rotation("x", torch.tensor(130.0, dtype=torch.float64)) @ rotation("y", torch.tensor(-70.0, dtype=torch.float64))
    away = rigid(turn, torch.tensor([3.0, -8.0, 2.0], dtype=torch.float64))
    pose = camera.pose.clone()
    pose[:, :3, 3] *= 0.21
    seen = (0.21 * points) @ turn.T + away[:3, 3]
    video = torch.zeros(len(camera), 3, 8, 8, dtype=torch.uint8)
    return SourceShot(video, Camera(away @ pose, camera.lens), None, 16.0, points=seen)


def test_a_place_stands_upright_in_metres_about_its_middle() -> None:
    true, points = walked(), corners(6.0, 5.0)
    shot = placed(lost(true, points), "home")
    found = shot.camera.pose
    torch.testing.assert_close(found[:, 1, 3], true.pose[:, 1, 3], atol=0.05, rtol=0)  # metres above the ground
    down = true.pose[:, 1, :3]  # what "down" is in the axes of each camera
    torch.testing.assert_close(found[:, 1, :3], down, atol=0.01, rtol=0)
    steps, real = (x[:, :3, 3].diff(dim=0).norm(dim=1) for x in (found, true.pose))
    torch.testing.assert_close(steps, real, atol=1e-3, rtol=0.02)
    assert shot.scene == "home" and shot.extra["units"] == "metres" and "1.2 m/s" in shot.extra["metres"]
    assert 5.5 < float(shot.extra["reach"]) < 8.5, "half of 12 m, and a margin; turned about the height it may be wider"
    shifted = placed(lost(walked((2.0, -1.5, 1.0)), points + torch.tensor([2.0, 0, 1.0], dtype=torch.float64)), "home")
    torch.testing.assert_close(shifted.camera.pose, found, atol=1e-6, rtol=0)  # wherever its origin was


def test_without_points_the_ground_is_guessed_and_nothing_tells_the_size() -> None:
    shot = placed(replace(lost(walked(), corners(6, 5)), points=None), "home")
    assert float(shot.camera.pose[:, 1, 3].median()) == pytest.approx(-1.5) and "reach" not in shot.extra


def test_what_cannot_be_placed_is_refused() -> None:
    shot = lost(walked(), corners(6, 5))
    with pytest.raises(ValueError, match="scene is for shots without depth"):
        placed(replace(shot, depth=torch.ones(len(shot.camera), 8, 8)), "home")
    still = replace(shot, camera=shot.camera[[0] * len(shot.camera)])
    with pytest.raises(ValueError, match="its cameras do not move"):
        placed(still, "home")
    with pytest.raises(ValueError, match="there are 2 shots, each with cameras in axes of its own"):
        in_place([("a", lambda: shot), ("b", lambda: shot)], "home")
    jobs = [("a", lambda: shot), ("b", lambda: shot)]
    assert in_place(jobs, "") is jobs


def test_clips_of_one_shot_share_the_axes_of_its_place(tmp_path: Path) -> None:
    video, camera, depth = layouts.walk()
    layouts.colmap(tmp_path / "in", video, camera, depth)
    cfg = ImportConfig("colmap", tmp_path / "in", tmp_path / "out", "CC0", FPS, ClipFormat(W, H, FPS, (N + 1) // 2), 1, "home")
    assert import_clips(cfg) == {"clips": 2, "dropped": 0}
    one, two = map(Clip.load, sorted((tmp_path / "out").glob("*.safetensors"), key=lambda p: len(p.name)))
    first = torch.cat([one.camera.pose, two.camera.pose])[:, :3, 3].diff(dim=0).norm(dim=-1)
    assert float(first.max()) < 2 * float(first.median()), "the second begins where the first ends"
    assert one.scene == two.scene == "home" and "reach" not in one.extra and one.depth is None
    with pytest.raises(ValueError, match="scene: .* was begun with home, not cellar"):
        import_clips(replace(cfg, scene="cellar"))


def test_two_films_are_no_one_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes(b"")
    with pytest.raises(SystemExit) as left:
        main(f"data import video {tmp_path}/in --licence CC0 --scene x --out {tmp_path}/out".split())
    assert left.value.code == 2 and "scene: there are 2 shots" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
