"""Noise in, noise out."""

import pytest
import torch

from dreamx import flow
from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import level


def frames(t: int = 3) -> Frames:
    torch.manual_seed(0)
    return clean(torch.randn(2, t, 4, 2, 2, dtype=torch.float64), level().map(lambda x: x.expand(2, t, *x.shape)))


def test_the_official_schedule() -> None:
    assert [1000 * s for s in flow.schedule(4, 5.0)] == pytest.approx([1000, 937.5, 833.3333333, 625, 0])


def test_the_true_velocity_leads_back_to_clean_frames() -> None:
    f = frames()
    noise = torch.randn_like(f.z)
    sigma = torch.rand(2, 3, dtype=torch.float64)
    noisy, v = flow.mix(f, sigma, noise)
    assert torch.allclose(flow.to_clean(noisy.z, sigma, v), f.z)
    assert torch.allclose(flow.euler(noisy.z, sigma, torch.zeros_like(sigma), v), f.z)
    half = sigma / 2
    assert torch.allclose(flow.euler(noisy.z, sigma, half, v), flow.mix(f, half, noise)[0].z)
    assert torch.allclose(flow.renoise(noisy.z, sigma, half, v, noise), flow.mix(f, half, noise)[0].z)


def test_known_frames_are_not_counted() -> None:
    v, target = torch.zeros(2, 3, 4, 2, 2), torch.ones(2, 3, 4, 2, 2)
    target[:, 0] = 100
    counted = torch.tensor([[False, True, True]] * 2)
    assert flow.velocity_loss(v, target, counted) == 1
    assert flow.velocity_loss(v, target, torch.zeros_like(counted)) == 0


def test_sigma_zero_is_untouched() -> None:
    f = frames()
    sigma = torch.tensor([[0.0, 0.5, 1.0]] * 2, dtype=torch.float64)
    noisy, _ = flow.mix(f, sigma, torch.randn_like(f.z))
    assert torch.equal(noisy.z[:, 0], f.z[:, 0])
    assert torch.equal(noisy.sigma, sigma)


def test_frames_go_beside_each_other_and_come_apart() -> None:
    a, b = frames(3), frames(2)
    both = cat(a, b)
    assert len(both) == 5
    assert torch.equal(both[3:].z, b.z)
    assert both.index.tolist()[0] == [0, 1, 2, 0, 1]


def test_frames_say_what_does_not_fit() -> None:
    f = frames()
    with pytest.raises(ValueError, match="frames.sigma"):
        Frames(f.z, f.sigma[:, :2], f.index, f.camera)
    with pytest.raises(ValueError, match="frames.camera"):
        Frames(f.z, f.sigma, f.index, f.camera[:, :1])
