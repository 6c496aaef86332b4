"""bfloat16 at play: what it changes in a picture, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import micro
from dreamx import hardware
from dreamx.decoding import compute_in
from dreamx.model import precision
from dreamx.model.precision import dtype_at_play
from dreamx.model.vae import VAE


@pytest.fixture
def vae() -> VAE:
    torch.manual_seed(0)
    vae = VAE(micro.ENCODER)
    for p in vae.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=1 / p[0].numel() ** 0.5)
    return vae


def test_pictures_differ_by_rounding(vae: VAE) -> None:
    video = torch.rand(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        z = vae.encode(video)
        want = vae.decode(z)
        compute_in(vae, torch.bfloat16)
        low, got = vae.encode(video), vae.decode(z)
    assert low.dtype == got.rgb.dtype == got.depth.dtype == torch.float32
    assert 0 < float((low - z).abs().mean()) < 0.02 * float(z.abs().mean())
    assert 0 < float((got.rgb - want.rgb).abs().mean()) < 0.01, "less than a step of 256, of 2 in all"
    assert float((got.rgb - want.rgb).abs().max()) < 0.1


def test_training_is_not_touched(vae: VAE) -> None:
    video = torch.rand(1, 5, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    vae.eval()  # in training the statistics move with every pass
    want, _ = vae(video)
    compute_in(vae, torch.bfloat16)
    got, _ = vae(video)
    assert torch.equal(got, want)


def test_the_processor_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (({"amx_bf16", "avx512_bf16"}, torch.bfloat16), ({"avx512_bf16"}, torch.float32), (set[str](), torch.float32))
    for flags, dtype in cases:
        monkeypatch.setattr(precision, "processor_has", lambda flag, flags=flags: flag in flags)
        assert dtype_at_play("auto") == dtype
        assert (dtype_at_play("float32"), dtype_at_play("bfloat16")) == (torch.float32, torch.bfloat16)
    assert not hardware.processor_has("no such instruction")
