"""The game as a source: its cameras are right, the same number is the same clip, and nobody looks up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamx.clip import Clip
from dreamx.data.importers.doom import DoomConfig, doom, play
from dreamx.data.importers.source_shot import ClipFormat
from dreamx.geometry.camera import rays, relative_to

pytest.importorskip("vizdoom")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return play(DoomConfig(Path("nowhere"), wanted=ClipFormat(128, 128, frames=65)), 3)


def proof(clip: Clip, apart: int) -> float:
    """Median distance in pixels between where the depth of a frame i says that its pixels are in frame ``i + apart``, and where
    optical flow, checked forwards and backwards, finds them. The error of flow and of the coarse depth is in it."""
    cv2 = pytest.importorskip("cv2")
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    assert clip.depth is not None
    h, w = clip.depth.shape[1:]
    here = torch.stack(torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy"), -1)
    found: list[Tensor] = []
    for i in range(0, len(clip.video) - apart, apart):
        a, b = (cv2.cvtColor(clip.video[k].permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY) for k in (i, i + apart))
        there, back = (torch.from_numpy(flow_of.calc(x, y, None)) for x, y in ((a, b), (b, a)))  # pyright: ignore
        grid = 2 * (here + there) / torch.tensor([w, h]) - 1
        returned = F.grid_sample(back.permute(2, 0, 1)[None], grid[None], "bilinear", "border", align_corners=False)[0]
        sure = (there + returned.permute(1, 2, 0)).norm(dim=-1) < 0.5
        move = relative_to(clip.camera[i], clip.camera[i + apart]).pose
        p = rays(clip.camera.lens[i], h, w) * clip.depth[i].float()[..., None] @ move[:3, :3].T + move[:3, 3]
        lens = clip.camera.lens[i + apart]
        said = (p[..., :2] / p[..., 2:].clamp(min=0.05) * lens[:2] + lens[2:]) * torch.tensor([w, h])
        good = sure & (clip.depth[i] > 0) & (p[..., 2] > 0.1)
        found.append((said - here - there).norm(dim=-1)[good])
    return float(torch.cat(found).median())


def test_depth_and_cameras_say_where_pixels_go(clip: Clip) -> None:
    error = proof(clip, 2)
    print(f"{error:.3f} pixels of 128")
    assert error < 0.5
    wrong = Clip(clip.video, clip.camera.map(lambda x: x.roll(1, 0)), clip.actions, clip.depth, clip.fps, "")
    assert proof(wrong, 2) > 1.1 * error  # a camera that is late by one frame is seen


def test_a_clip_is_whole_and_made_again_the_same(clip: Clip) -> None:
    assert clip.video.shape == (65, 3, 128, 128) and clip.segments is not None and clip.depth is not None
    assert clip.fps == 17.5 and clip.style == "game" and "Freedoom" in clip.licence
    again = play(DoomConfig(Path("nowhere"), wanted=ClipFormat(128, 128, frames=65)), 3)
    assert torch.equal(again.video, clip.video) and torch.equal(again.camera.pose, clip.camera.pose)
    level = clip.camera.pose[:, 1, :3]  # rows of rotations: no pitch, no roll
    assert torch.allclose(level, torch.tensor([0.0, 1.0, 0.0]).expand_as(level), atol=1e-6)
    assert set(clip.segments.unique().tolist()) - {0} <= set(clip.entities)


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    cfg = DoomConfig(tmp_path, clips=2, wanted=ClipFormat(32, 32, frames=9))
    assert doom(cfg) == 2
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert doom(cfg) == 2 and before == {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="doom.maps must be some of E1M1"):
        DoomConfig(tmp_path, maps=("E9M9",))
