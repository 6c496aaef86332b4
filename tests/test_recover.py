"""pycolmap as the built-in estimator: cameras of rendered clips against the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamx.data.sources.films import recover
from dreamx.data.walker import path
from dreamx.geometry.camera import Camera, lens_from_fov, level
from dreamx.geometry.formats.check import angle
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
        at, found = recover(video)
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
