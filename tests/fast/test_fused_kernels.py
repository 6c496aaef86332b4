"""Fused kernels give what their plain twins give, which are what the transformer computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dreamx.fast import fused_kernels
from dreamx.fast.fused_blocks import UNFUSED, fuse
from dreamx.fast.fused_kernels import plain_add_gated, plain_modulate, plain_norm_rope, triton_is_here
from dreamx.fast.int8 import Int8Config, quantise
from dreamx.fast.residual_reuse import ReuseConfig, reuse_residuals
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model.attention import MaskedAttention
from dreamx.model.cpu_ops import add_product, layer_norm
from dreamx.model.dit import QKV
from dreamx.model.positions import FramePositions, Rope
from test_offload import TEXT, frames, network

KERNELS = """
import sys
import torch
from test_fused_kernels import drawn, turns
from dreamx.fast import fused_kernels as f
from dreamx.fast.fused_blocks import fuse
from dreamx.model.attention import MaskedAttention
from test_offload import TEXT, frames, network

for width, heads, dtype, bound in ((48, 2, torch.float32, 1e-5), (160, 5, torch.float32, 1e-5), (64, 2, torch.bfloat16, 0.04)):
    x, y, a, b, w = (t.to(dtype) for t in drawn(width))
    pairs = (
        (f.modulate(x, a, b, 1e-6), f.plain_modulate(x, a, b, 1e-6)),
        (f.norm_rope(x, w, turns(width // heads), heads, 1e-6), f.plain_norm_rope(x, w, turns(width // heads), heads, 1e-6)),
        (f.add_gated(x, y, a), f.plain_add_gated(x, y, a)),
    )
    for got, want in pairs:
        assert got.dtype == dtype and got.shape == want.shape
        assert (got.float() - want.float()).abs().max() < bound * want.float().abs().max(), (width, dtype)
dit = network()
with torch.inference_mode():
    want, got = (net(frames(), TEXT, MaskedAttention()) for net in (dit, fuse(dit)))
assert (got - want).abs().max() < 1e-5 * want.abs().max()
print("equal")
"""


def drawn(width: int) -> tuple[torch.Tensor, ...]:
    """Tokens x and y ``[2, 3, 6, width]``, two modulations of their frames, and a weight."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 6, width), (2, 3, 6, width), (2, 3, 1, width), (2, 3, 1, width), (width,))
    return tuple(torch.randn(*s, generator=rng) for s in shapes)


def rope(dim: int) -> Rope:
    camera = walk(level(), from_keys(["w"] * 3)).map(lambda x: x.expand(2, *x.shape))
    return Rope(FramePositions(torch.arange(3).expand(2, 3), camera), 2, 3, dim)


def turns(dim: int) -> torch.Tensor:
    return rope(dim).freqs_cis


@torch.inference_mode()
def test_plain_twins_are_what_the_transformer_computes() -> None:
    x, y, a, b, w = drawn(48)
    norm = torch.nn.LayerNorm(48, 1e-6, elementwise_affine=False)
    assert torch.allclose(plain_modulate(x, a, b, 1e-6), add_product(a, layer_norm(norm, x.clone()), 1 + b), atol=1e-5)
    assert torch.allclose(plain_add_gated(x, y, a), add_product(x, y.clone(), a), atol=1e-6)
    lane = QKV(48, 48, 2, 1e-6)
    lane.norm_q.weight.copy_(w)
    want = rope(24).query(lane.project_q(x))
    assert torch.allclose(plain_norm_rope(lane.q(x), w, turns(24), 2, 1e-6), want, atol=1e-5)


@pytest.mark.slow  # and with a package of 200 MB that no installation brings: `.ci/run` skips nothing
@pytest.mark.skipif(not triton_is_here(), reason="the package triton is not installed, so its interpreter cannot run the kernels")
def test_kernels_give_what_the_plain_twins_give() -> None:
    """In a process of its own: the interpreter is chosen when triton is imported."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    ran = subprocess.run([sys.executable, "-c", KERNELS], env=env, capture_output=True, text=True)
    assert ran.stdout.strip() == "equal", ran.stderr


def test_what_does_not_fit_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, a, b, _ = drawn(8)
    monkeypatch.setattr(fused_kernels, "triton_is_here", lambda: False)
    fused_kernels._kernels.cache_clear()
    with pytest.raises(ValueError, match="fused kernels need the package triton"):
        fused_kernels.modulate(x, a, b, 1e-6)
    with pytest.raises(ValueError, match=r"modulation: \[2, 1, 1, 8\] given for tokens \[2, 3, 6, 8\]"):
        fused_kernels.add_gated(x, y, a[:, :1])
    with pytest.raises(ValueError, match="fuse it before residuals are reused"):
        fuse(reuse_residuals(network(), None))


@torch.inference_mode()
def test_a_fused_transformer_is_the_transformer() -> None:
    dit = network()
    want = dit(frames(), TEXT, MaskedAttention())
    fused = fuse(dit, UNFUSED)
    assert torch.allclose(fused(frames(), TEXT, MaskedAttention()), want, atol=1e-5)
    composed = reuse_residuals(fused, ReuseConfig())
    assert torch.allclose(composed(frames(), TEXT, MaskedAttention()), want, atol=1e-5)
    small = quantise(dit, Int8Config())
    got, of_small = (net(frames(), TEXT, MaskedAttention()) for net in (fuse(small, UNFUSED), small))
    assert (got - of_small).norm() < 0.01 * of_small.norm()
