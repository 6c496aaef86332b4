"""Scores of looks on videos whose scores are known by construction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.eval.metrics import appearance, optical_flow
from dreamx.eval.metrics.appearance import (
    collapse_rate,
    colour_error,
    content_consistency,
    detail_ratio,
    dynamic_degree,
    flicker,
    sampled,
    scene_transition,
    smoothness,
)


def texture(size: int = 64, seed: int = 0) -> Tensor:
    """Smooth coloured noise, float ``[3, size, size]`` in 0 to 255, that wraps around at its edges."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.fft.fft2(torch.rand(3, size, size, generator=rng) - 0.5)
    f = torch.fft.fftfreq(size)
    bell = torch.exp(-(f[:, None].square() + f.square()) / (2 * 0.06**2))
    x = torch.fft.ifft2(noise * bell).real
    return (128 + 45 * x / x.std()).clamp(0, 255)


def video(frames: list[Tensor]) -> Tensor:
    return torch.stack(frames).round().clamp(0, 255).to(torch.uint8)


def still(frames: int = 33) -> Tensor:
    return video([texture()] * frames)


def shifted(pixels: int, frames: int = 33) -> Tensor:
    """A texture that moves to the right by whole pixels a frame, around the edge."""
    return video([texture().roll(pixels * i, -1) for i in range(frames)])


def noise(frames: int = 33, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (frames, 3, 64, 64), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def flat(grey: int, frames: int = 33) -> Tensor:
    return torch.full((frames, 3, 64, 64), grey, dtype=torch.uint8)


def test_a_video_that_stands_still_is_perfect_and_does_not_move() -> None:
    v = still()
    assert flicker(v) == 100
    assert smoothness(v, optical_flow.interpolate_midway) == pytest.approx(100, abs=0.01)
    assert scene_transition(v) == 100
    assert dynamic_degree(v, 16, optical_flow.optical_flow) == 0


def test_flicker_is_the_mean_step_in_grey_levels() -> None:
    v = torch.cat([flat(100, 1), flat(110, 1), flat(105, 1)])
    assert flicker(v) == pytest.approx(100 * (1 - 7.5 / 255))


def test_noise_flickers_and_is_not_smooth() -> None:
    assert flicker(noise()) == pytest.approx(100 * (1 - (256**2 - 1) / (3 * 256) / 255), abs=0.3)  # E|a - b| of two dice
    assert smoothness(noise(), optical_flow.interpolate_midway) < 80


@pytest.mark.parametrize("pixels", [1, 2, -3])
def test_the_flow_of_a_shift_is_the_shift(pixels: int) -> None:
    v = shifted(pixels, 2)
    inner = optical_flow.optical_flow(v[:1], v[1:])[0, :, 8:-8, 8:-8]
    assert (inner[0] - pixels).abs().mean() < 0.1  # what comes in at the edge is guessed
    assert inner[1].abs().mean() < 0.1


def test_the_picture_half_way_of_a_shift_is_half_way() -> None:
    a, b, c = shifted(1, 3)[:, None]
    between = optical_flow.interpolate_midway(a, c) * 255
    assert (between - b)[..., 8:-8, 8:-8].abs().mean() < 2
    assert (a.float() - b)[..., 8:-8, 8:-8].abs().mean() > 5


def test_a_video_is_dynamic_from_six_pixels_in_256_on() -> None:
    # Every second frame of 16 is looked at: 64 pixels ask for 1.5 pixels a pair.
    assert dynamic_degree(shifted(1), 16, optical_flow.optical_flow) == 100
    slow = video([texture().roll(i // 4, -1) for i in range(33)])
    assert dynamic_degree(slow, 16, optical_flow.optical_flow) == 0


def test_a_video_is_dynamic_when_a_quarter_as_many_pairs_as_frames_move() -> None:
    def by(moving: int) -> float:
        fast = torch.zeros(16, 2, 8, 8)
        fast[:moving] = 10
        return dynamic_degree(torch.zeros(17, 3, 8, 8, dtype=torch.uint8), 8, lambda a, b: fast[: len(a)])

    assert by(3) == 0  # of 17 frames four pairs are wanted
    assert by(4) == 100


def test_only_the_fastest_twentieth_of_the_pixels_counts() -> None:
    one = torch.zeros(16, 2, 20, 20)
    one[:, 0, 0, :] = 10  # a row of 20 is a twentieth of 400
    assert dynamic_degree(torch.zeros(17, 3, 20, 20, dtype=torch.uint8), 8, lambda a, b: one[: len(a)]) == 100


def test_a_cut_is_a_transition_and_a_slow_fade_is_none() -> None:
    other = video([255 - texture(seed=3)] * 16)
    assert scene_transition(torch.cat([still(17), other])) == 0
    fade = video([texture() + 3 * i for i in range(33)])
    assert scene_transition(fade) == 100


def test_a_cut_within_the_first_fifteen_frames_is_part_of_the_first_scene() -> None:
    other = video([255 - texture(seed=3)] * 30)
    assert scene_transition(torch.cat([still(5), other])) == 100
    assert scene_transition(torch.cat([still(15), other])) == 0


def test_content_is_the_mean_change_of_hue_saturation_and_value() -> None:
    red, green = (torch.tensor(c, dtype=torch.uint8)[None, :, None, None].expand(1, 3, 4, 4) for c in ((200, 0, 0), (0, 100, 0)))
    assert content_consistency(torch.cat([red, green]))[0] == pytest.approx((60 + 0 + 100) / 3)  # OpenCV's green is at 60
    assert content_consistency(torch.cat([flat(10, 1), flat(70, 1)]))[0] == pytest.approx(60 / 3)


def test_detail_is_full_of_the_truth_and_less_of_blur_and_of_noise_alike() -> None:
    truth = still(4)
    half = ((truth.float() - 128) / 2 + 128).to(torch.uint8)
    assert detail_ratio(truth, truth) == 100
    assert detail_ratio(half, truth) == pytest.approx(50, abs=3)
    assert detail_ratio(truth, half) == pytest.approx(50, abs=3)
    assert detail_ratio(noise(4), truth) < 30


def test_a_video_has_collapsed_as_fog_as_noise_and_as_darkness() -> None:
    truth = still(33)
    assert collapse_rate(truth, truth, 16) == 100
    assert collapse_rate(flat(128), truth, 16) == 0
    assert collapse_rate(noise(), truth, 16) == 0
    assert collapse_rate((truth.float() / 8).to(torch.uint8), truth, 16) == 0
    half = torch.cat([truth[:16], flat(128, 17)])  # frames 0, 8 | 16, 24, 32
    assert collapse_rate(half, truth, 16) == pytest.approx(40)


def test_artifacts_are_looked_for_twice_a_second() -> None:
    assert len(sampled(still(81), 16)) == 11


def test_colour_is_off_by_what_was_added() -> None:
    truth = still(3)
    tinted = (truth.float() + torch.tensor([30.0, 0, 0])[:, None, None]).clamp(0, 255).to(torch.uint8)
    assert colour_error(truth, truth).tolist() == [0, 0, 0]
    assert colour_error(tinted, truth).tolist() == pytest.approx([10, 10, 10], abs=0.5)


@pytest.mark.parametrize("bad", [torch.zeros(5, 3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(5, 8, 8)])
def test_what_is_no_video_is_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="video must be uint8"):
        flicker(bad)
    with pytest.raises(ValueError, match="video must be uint8"):
        scene_transition(bad)


def test_quality_is_the_mean_of_the_network() -> None:
    v = torch.cat([flat(100, 40), flat(50, 40)])
    assert appearance.imaging_quality(v, lambda x: x.float().mean((1, 2, 3)) / 2) == pytest.approx(37.5)
