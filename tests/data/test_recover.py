"""pycolmap as the built-in estimator: cameras of rendered clips against the truth, alone and by ``dreamx data import video``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamx.cli import main
from dreamx.clip import Clip
from dreamx.data.importers.plain_films import reconstruct
from dreamx.data.sim.walker import path
from dreamx.geometry.camera import Camera, lens_from_fov, level
from dreamx.geometry.formats.path_check import angle
from layouts import film
from room import FINE, Room

pytest.importorskip("pycolmap")
W, H = 480, 270
WALKS = ("w", "wl", "wj", "d", "a", "wd", "wa", "dj", "al", "s")  # one turns, all move: a turn alone shows no depth


def aligned(found: Camera, true: Camera) -> tuple[Tensor, Tensor]:
    """Errors ``[K]`` in degrees of rotation, and of the direction of the way from the first camera, after Umeyama (1991)."""
    p, q = found.pose[:, :3, 3].double(), true.pose[:, :3, 3].double()
    a, b = p - p.mean(0), q - q.mean(0)
    # A straight way leaves the turn about itself open; the cameras' own axes settle it.
    pairs = b.T @ a / a.square().sum() + sum(
        true.pose[i, :3, :3].double() @ found.pose[i, :3, :3].double().T for i in range(len(p))
    ) / len(p)
    u, _, v = np.linalg.svd(pairs.numpy())
    r = torch.from_numpy(u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v)
    turn = angle(true.pose[:, :3, :3].double().mT @ r @ found.pose[:, :3, :3].double())
    way, real = (p[1:] - p[:1]) @ r.T, q[1:] - q[:1]
    cosine = (way * real).sum(-1) / (way.norm(dim=-1) * real.norm(dim=-1))
    return turn, torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


@pytest.mark.slow
def test_cameras_of_ten_rendered_clips_are_found() -> None:
    turns, ways = [], []
    for seed, keys in enumerate(WALKS):
        room = Room(seed, FINE)
        true, _ = path(level(lens_from_fov(50, W, H)), [keys] * 33)
        true = true[::4]
        video = torch.stack([room.render(true[i], W, H)[0] for i in range(len(true))])
        at, found, _ = reconstruct(video)
        if found is None:
            print(f"{keys:3} nothing is found", flush=True)
            continue
        turn, way = aligned(found, true[torch.tensor(at)])
        print(f"{keys:3} {len(at)} of {len(true)} frames, {turn.median():.3f} degrees, way {way.median():.2f} degrees, "
              f"focal {float(found.lens[0, 0] / true.lens[0, 0]):.3f}", flush=True)  # fmt: skip
        turns.append(float(turn.median()))
        ways.append(float(way.median()))
    assert len(turns) >= len(WALKS) / 2
    assert float(np.median(turns)) <= 1.0
    assert float(np.median(ways)) <= 5.0


def shown(seed: int, keys: str, frames: int) -> tuple[Tensor, Camera]:
    """A walk through a room, uint8 ``[frames, 3, H, W]``, and its true cameras: every other frame of one of 16 a second."""
    room = Room(seed, FINE)
    true, _ = path(level(lens_from_fov(50, W, H)), [keys] * (2 * frames - 2))
    true = true[::2]
    return torch.stack([room.render(true[i], W, H)[0] for i in range(frames)]), true


@pytest.mark.slow
def test_films_are_imported_with_their_cameras(tmp_path: Path) -> None:
    """Films of 6 frames a second: pycolmap is asked for every other frame, the others lie between. One walks, one only turns."""
    video, true = shown(7, "dj", 17)
    film(tmp_path / "in/walk.mp4", video, 6.0)
    film(tmp_path / "in/turn.mp4", shown(1, "l", 9)[0], 6.0)
    command = ["data", "import", "video", str(tmp_path / "in"), "--licence", "CC0-1.0", "--processes", "1"]
    command += ["--wanted.width", "96", "--wanted.height", "54"]
    main([*command, "--out", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out/records/turn.json").read_text())["clips"] == 0
    clip = Clip.load(tmp_path / "out/walk.safetensors")
    assert clip.video.shape == (17, 3, 54, 96) and clip.fps == 6.0 and clip.extra["cameras"] == "pycolmap"
    turn, way = aligned(clip.camera, true)
    p, q = (c.pose[:, :3, 3].double() for c in (clip.camera, true))
    steps, real = (p[1:] - p[:-1]).norm(dim=-1), (q[1:] - q[:-1]).norm(dim=-1)
    uneven = float((steps / steps.mean() - real / real.mean()).abs().max())
    focal = float(clip.camera.lens[0, 0] / true.lens[0, 0])
    print(f"{turn.max():.3f} degrees, way {way.max():.2f} degrees, steps {100 * uneven:.1f} %, focal {focal:.3f}")
    assert float(turn.max()) < 1.0 and float(way.max()) < 5.0 and uneven < 0.1 and abs(focal - 1) < 0.05
    main([*command, "--out", str(tmp_path / "again")])
    files = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()}
