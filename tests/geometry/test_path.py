from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamx.geometry import path
from dreamx.geometry.camera import Camera, cat, level, rigid, rotation
from dreamx.geometry.controls import KEYS, check_keys, from_keys, walk

EYE = torch.eye(4, dtype=torch.float64)


def follow(keys: list[str]) -> Camera:
    return walk(level(dtype=torch.float64), from_keys(keys))


def test_scripts_have_the_length_asked_for():
    for frames in (0, 1, 7, 80):
        assert path.straight(frames, "dw") == ["wd"] * frames
        assert len(path.turn(frames)) == len(path.out_and_back(frames)) == frames
    for frames in (244, 245, 247, 400):
        assert len(path.loop(frames)) == frames


@pytest.mark.parametrize("keys", ["w", "a", "wd", "j", "i"])
@pytest.mark.parametrize("frames", [40, 41])
def test_out_and_back_is_back(keys: str, frames: int):
    script = path.out_and_back(frames, keys)
    cameras = follow(script)
    assert torch.allclose(cameras[-1].pose, EYE, atol=1e-6)
    assert not torch.allclose(cameras[frames // 2 - 1].pose, EYE, atol=1e-1)


@pytest.mark.parametrize("keys", ["l", "j"])
def test_a_loop_closes_after_four_corners(keys: str):
    cameras = follow(path.loop(283, keys))
    assert torch.allclose(cameras[-1].pose, EYE, atol=1e-5)
    x, z = cameras.pose[:, 0, 3], cameras.pose[:, 2, 3]
    assert torch.allclose((x.max() - x.min()), (z.max() - z.min()), atol=1e-5)  # a square of 10 steps
    assert float(z.max() - z.min()) == pytest.approx(0.75, abs=1e-5)


def test_a_loop_too_short_for_its_corners_is_refused():
    with pytest.raises(ValueError, match="needs at least 244, not 243"):
        path.loop(243)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(KEYS + " ", max_size=3), min_size=1, max_size=30))
def test_text_and_back(keys: list[str]):
    assert path.parse_actions(path.format_actions(keys)) == [check_keys(k) for k in keys]


def test_text_is_short_and_forgiving_about_spaces():
    assert path.format_actions(["w"] * 16 + ["jw"] * 2 + [""]) == "w*16,wj*2,-*1"
    assert path.parse_actions(" W * 2 , jw,\n -*2,") == ["w", "w", "wj", "", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("w*2,wq*3", r"span 2 'wq\*3': 'q' is not a key"),
        ("w*x", r"span 1 'w\*x' is not of the form"),
        ("w*", r"span 1 'w\*' is not of the form"),
        ("w*-3", r"span 1 'w\*-3' is not of the form"),
        ("w*2,,s", "span 2 '' is not of the form"),
        ("", "span 1 '' is not of the form"),
        ("*3", r"span 1 '\*3' is not of the form"),
        ("w*²", "is not of the form"),
        ("w*0", r"span 1 'w\*0' must last at least 1 frame"),
        ("w*99999999999999999999", "whole script at most 1000000"),
        ("w*600000,s*600000", r"span 2 's\*600000' must last"),
    ],
)
def test_bad_text_names_the_span(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        path.parse_actions(text)


def test_resampling_at_whole_indices_is_exact():
    cameras = follow(["wil"] * 12).to(dtype=torch.float32)
    same = path.resample(cameras, torch.arange(12.0))
    assert torch.equal(same.pose, cameras.pose)
    assert torch.equal(same.lens, cameras.lens)
    assert torch.equal(path.resample(cameras[:1], torch.zeros(1)).pose, cameras[:1].pose)


def test_resampling_a_steady_turn_is_steady_through_every_angle():
    degrees = torch.arange(0.0, 760.0, 19.0, dtype=torch.float64)  # through both signs of the quaternion, twice
    for axis in "xy":
        cameras = Camera(rigid(rotation(axis, degrees), torch.zeros(40, 3, dtype=torch.float64)), torch.ones(40, 4))
        times = torch.linspace(0, 39, 300, dtype=torch.float64)
        assert torch.allclose(path.resample(cameras, times).pose[:, :3, :3], rotation(axis, 19 * times), atol=1e-12)


def test_resampling_moves_and_zooms_linearly_for_any_batch():
    a = level(dtype=torch.float64)
    b = Camera(rigid(rotation("y", torch.tensor(30.0, dtype=torch.float64)), torch.ones(3, dtype=torch.float64)), a.lens * 2)
    pair = cat([a[None], b[None]])
    batch = cat([pair[None], pair[None]])
    out = path.resample(batch, torch.tensor([0.25, 1.0]))
    assert out.shape == (2, 2)
    assert torch.allclose(out.pose[1, 0, :3, 3], torch.full((3,), 0.25, dtype=torch.float64))
    assert torch.allclose(out.lens[0, 0], a.lens * 1.25)


def test_resampling_is_precise_in_float32_between_close_cameras():
    cameras = walk(level(), from_keys(["l"] * 2))
    between = path.resample(cameras, torch.tensor([0.5]))
    assert torch.allclose(between.pose[0, :3, :3], rotation("y", torch.tensor(2.25)), atol=1e-6)


def test_times_outside_the_trajectory_are_refused():
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="times must lie between 0 and 1"):
            path.resample(follow(["w"] * 2), torch.tensor([bad]))
