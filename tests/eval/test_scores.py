from __future__ import annotations

import pytest
import torch

from dreamx.eval.metrics.psnr import PSNR_CAP, gradient_energy, psnr, sharpness


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_psnr_of_known_errors():
    truth = torch.full((3, 3, 4, 4), 0.5)
    video = truth.clone()
    video[1] += 0.1
    video[2] += 0.01
    assert psnr(video, truth).tolist() == pytest.approx([PSNR_CAP, 20.0, 40.0], abs=1e-3)


def test_psnr_of_bytes_is_that_of_the_same_floats():
    a, b = noise(2, 3, 8, 8), noise(3, 3, 8, 8)[1:]
    assert torch.equal(psnr(a, b), psnr(a / 255, b / 255))
    assert torch.equal(psnr(a, b), psnr(a, b / 255))
    off = a.clamp(max=254)
    assert psnr(off, off + 1)[0].item() == pytest.approx(48.13, abs=0.01)  # one grey level everywhere


def test_psnr_is_capped_and_symmetric_and_keeps_leading_axes():
    a, b = noise(2, 5, 3, 4, 6), noise(5, 2, 3, 4, 6).transpose(0, 1)
    assert psnr(a, a).eq(PSNR_CAP).all()
    assert psnr(a, b).shape == (2, 5)
    assert torch.equal(psnr(a, b), psnr(b, a))


def test_sharpness_of_the_same_is_one_of_a_blur_less_of_noise_more():
    truth = torch.nn.functional.avg_pool2d(noise(1, 3, 32, 32).float() / 255, 2)
    blur = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(truth, 4), scale_factor=4)
    noisy = (truth + 0.2 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert sharpness(truth, truth).item() == 1
    assert sharpness(blur, truth).item() < 0.3
    assert sharpness(noisy, truth).item() > 1.5


def test_sharpness_measures_contrast_squared():
    truth = noise(1, 3, 16, 16).float() / 255
    assert sharpness(truth / 2, truth).item() == pytest.approx(0.25, abs=1e-3)


def test_flat_on_flat_is_one_and_never_a_division_by_zero():
    flat = torch.zeros(2, 3, 8, 8)
    assert sharpness(flat, flat + 0.5).tolist() == [1, 1]
    assert sharpness(noise(2, 3, 8, 8), flat).isfinite().all()


def test_gradient_energy_of_stripes():
    stripes = torch.zeros(1, 3, 4, 4)
    stripes[..., 1::2] = 1.0
    assert gradient_energy(stripes).item() == pytest.approx(1.0, abs=1e-4)  # every step across, no step down
    assert gradient_energy(stripes.mT).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("score", [psnr, sharpness])
def test_videos_that_do_not_match_are_refused(score):  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
    for a, b in [((2, 3, 4, 4), (1, 3, 4, 4)), ((2, 1, 4, 4), (2, 1, 4, 4)), ((4, 4), (4, 4))]:
        with pytest.raises(ValueError, match=r"videos must both be \[\.\.\., 3, height, width\]"):
            score(torch.zeros(a), torch.zeros(b))
