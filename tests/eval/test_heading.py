"""A turn is read from its pictures: what is known by construction is read, and a picture that stands still has not turned."""

from __future__ import annotations

import pytest
import torch

import sphere
from dreamx.data.sim import walker
from dreamx.eval.metrics.heading import read_heading, turn_between
from dreamx.geometry.camera import lens_from_fov, level
from dreamx.geometry.controls import Speed

LENS = lens_from_fov(70, 32, 32)


@pytest.mark.parametrize("key", ["j", "l"])
def test_a_whole_turn_is_read(key: str) -> None:
    cameras, _ = walker.path(level(LENS), [key] * 240, Speed())
    sign = 1.0 if key == "l" else -1.0
    yaw = sign * 1.5 * torch.arange(241)
    frames, degrees = read_heading(sphere.film(cameras, 32), yaw, torch.tensor(LENS))
    assert frames.tolist() == list(range(12, 241, 12))
    assert degrees[-1].item() == pytest.approx(sign * 360, abs=6)


def test_half_the_turn_is_read_as_half() -> None:
    cameras, _ = walker.path(level(LENS), ["l"] * 24, Speed(degrees_per_second=12))
    video = sphere.film(cameras, 32).float()
    assert turn_between(video[0], video[24], torch.tensor(LENS), 36.0) == pytest.approx(18, abs=1.5)


def test_a_still_picture_has_not_turned() -> None:
    picture = sphere.film(walker.path(level(LENS), ["l"], Speed())[0], 32)[0].float()
    assert turn_between(picture, picture, torch.tensor(LENS), 18.0) == pytest.approx(0, abs=0.5)
