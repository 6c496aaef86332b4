"""The stage that trains the estimator: its geometry is exact, it learns, it resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip
from dreamx.eval.pose.learned import load
from dreamx.eval.pose.motion import Motion, MotionConfig
from dreamx.geometry.camera import rays, se3_inverse
from dreamx.train.pose import PoseStage, draw, load_clips, main, mirrored, motion_error, varied
from dreamx.train.run import RunConfig

CLIPS = Path(__file__).parent / "data" / "micro"
CLIP = Clip.load(CLIPS / "0000000_00.safetensors")
SIZE = CLIP.video.shape[-1]
NET = MotionConfig(size=SIZE, lens=tuple(CLIP.camera.lens[0].tolist()), widths=(16, 16, 16), match=8, across=3, down=2, blocks=1)


def stage(folder: Path, steps: int) -> PoseStage:
    run = RunConfig(folder / "run", steps, seed=3, threads=1, log_every=100)
    return PoseStage(run, CLIPS, folder / "model", motion=NET, batch=2, span=6)


def off(pictures: Tensor, pose: Tensor, depth: Tensor, first: int, second: int, still: bool = False) -> float:
    """How unlike a frame is what another shows of the same points; ``still``: as if the camera had not moved."""
    move = se3_inverse(pose[second]) @ pose[first] if not still else torch.eye(4)
    lens = torch.tensor(NET.lens)
    points = rays(lens, SIZE, SIZE) * depth[first][..., None]
    moved = points @ move[:3, :3].T + move[:3, 3]
    grid = 2 * (moved[..., :2] / moved[..., 2:].clamp(min=0.05) * lens[:2] + lens[2:]) - 1
    known = (depth[first] > 0) & (depth[first] < 40) & (moved[..., 2] > 0.05) & (grid.abs() < 0.95).all(-1)
    there = F.grid_sample(pictures[second][None], grid[None], align_corners=False)[0]
    return float((there - pictures[first]).abs().mean(0)[known].mean())


def frames() -> tuple[Tensor, Tensor, Tensor]:
    """Three frames of a walk, some frames apart."""
    assert CLIP.depth is not None
    at = torch.tensor([0, 4, 8])
    depth = CLIP.depth[at].float()
    return CLIP.video[at] / 127.5 - 1, CLIP.camera.pose[at], torch.where(depth.isfinite(), depth, 0.0)


@pytest.mark.parametrize("how", ["as it is", "mirrored", "varied"])
def test_pictures_depth_and_cameras_stay_of_one_world(how: str) -> None:
    part = frames()
    if how == "mirrored":
        part = mirrored(*part)
    if how == "varied":
        rng = torch.Generator().manual_seed(1)
        pictures, pose, depth = part
        cfg = replace(stage(Path(), 1), turned=8.0)
        turned, pose, depth = varied(pictures, pose, depth, cfg, rng)
        degrees, metres = motion_error(se3_inverse(part[1]) @ pose, torch.eye(4).expand(3, 4, 4))
        assert float(degrees.min()) > 1
        assert float(metres.max()) < 1e-3
        part = turned, pose, depth
    for first, second in ((0, 2), (2, 0)):
        assert off(*part, first, second) < 0.6 * off(*part, first, second, still=True)


def test_the_error_of_a_motion_is_its_angle_and_its_way() -> None:
    _, pose, _ = frames()
    same = motion_error(pose, pose)
    assert float(same[0].max()) < 1e-2
    assert float(same[1].max()) < 1e-3
    move = torch.eye(4).repeat(3, 1, 1)
    move[:, 0, 3] = 0.5
    assert motion_error(pose @ move, pose)[1].tolist() == pytest.approx([0.5] * 3, abs=1e-3)


def test_it_learns_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    main(stage(tmp_path / "whole", 30))
    rows = [json.loads(line) for line in (tmp_path / "whole" / "run" / "log.jsonl").read_text().splitlines()]
    assert sum(r["loss"] for r in rows[-8:]) < 0.9 * sum(r["loss"] for r in rows[:8])
    cut = stage(tmp_path / "cut", 30)
    main(replace(cut, run=replace(cut.run, steps=10, warmup=0.06, decay=0.0)))
    assert load(tmp_path / "cut" / "model")(CLIP.video, CLIP.camera.lens[0], CLIP.fps).shape == (len(CLIP.video),)
    main(cut)
    assert len((tmp_path / "cut" / "run" / "log.jsonl").read_text().splitlines()) == 30


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    cfg = stage(tmp_path, 1)
    clips = load_clips(CLIPS, range(4), 3, NET)
    assert len(clips) <= 3
    a, b, c = (draw(clips, cfg, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(a.pictures, b.pictures)
    assert not torch.equal(a.pictures, c.pictures)
    assert a.pictures.shape == (2, 4, 3, SIZE, SIZE)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="no clip of scenes 50 to 59"):
        load_clips(CLIPS, range(50, 60), 10, NET)
    with pytest.raises(ValueError, match="with depth are needed"):
        load_clips(CLIPS, range(4), 10, replace(NET, size=128))
    with pytest.raises(ValueError, match="motion.lens another"):
        load_clips(CLIPS, range(4), 10, replace(NET, lens=(1.0, 1.0, 0.5, 0.5)))
    with pytest.raises(ValueError, match="pixels here"):
        Motion(NET).features(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="motion.size"):
        MotionConfig(size=20)
