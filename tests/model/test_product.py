"""The fast products are the plain ones, with their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dreamx.model import cpu_ops


@pytest.mark.skipif(not cpu_ops._HERE, reason="torch has no oneDNN here")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1, 2, 90), (2, 3, 200)])
def test_products_and_gradients_are_the_plain_ones(rows: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(96, 160, bias), torch.randn(*rows, 96)
    calls: list[str] = []
    fast = cpu_ops._onednn
    monkeypatch.setattr(cpu_ops, "_onednn", lambda *a: calls.append(str(a[3:])) or fast(*a))
    with torch.no_grad():
        torch.testing.assert_close(cpu_ops.linear(layer, x), F.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)
        want = F.gelu(F.linear(x, layer.weight, layer.bias), approximate="tanh")
        torch.testing.assert_close(cpu_ops.linear_gelu(layer, x), want, rtol=1e-5, atol=1e-5)
    assert len(calls) == 2, "both went the fast way"
    grads = []
    for how in (lambda y: F.gelu(layer(y), approximate="tanh"), lambda y: cpu_ops.linear_gelu(layer, y)):
        mine = x.clone().requires_grad_()
        how(mine).square().sum().backward()
        grads.append([mine.grad, *(p.grad for p in layer.parameters())])
        layer.zero_grad()
    assert len(calls) == 5, "one forward and two backward"
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_the_fast_way_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_ops, "_HERE", True)
    monkeypatch.setattr(cpu_ops, "_onednn", lambda *a: pytest.fail("went the fast way"))
    cpu_ops.only_plain()
    layer, x = nn.Linear(96, 160), torch.randn(2, 3, 200, 96)
    with torch.no_grad():
        assert torch.equal(cpu_ops.linear(layer, x), F.linear(x, layer.weight, layer.bias))


def test_small_and_wide_ones_go_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_ops, "_onednn", lambda *a: pytest.fail("went the fast way"))
    layer = nn.Linear(96, 160)
    with torch.no_grad():
        assert torch.equal(cpu_ops.linear(layer, torch.ones(1, 96)), layer(torch.ones(1, 96)))
        cpu_ops.linear(layer.double(), torch.ones(500, 96, dtype=torch.float64))
        cpu_ops.linear(layer.to("meta").float(), torch.ones(500, 96, device="meta"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_comes_between_is_the_plain_thing(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm, x = nn.RMSNorm(48, 1e-6).to(dtype), 3 * torch.randn(2, 3, 5, 48, dtype=dtype)
    nn.init.normal_(norm.weight)
    shift, scale = torch.randn(2, 3, 1, 48, dtype=dtype), torch.randn(2, 3, 1, 48, dtype=dtype)
    want, moved = F.rms_norm(x, (48,), norm.weight, 1e-6), torch.addcmul(shift, x, scale)
    with torch.no_grad():
        torch.testing.assert_close(cpu_ops.rms_norm(norm, x.clone()), want)
        torch.testing.assert_close(cpu_ops.add_product(shift, x.clone(), scale), moved)
        torch.testing.assert_close(cpu_ops.add(x, moved.clone()), x + moved)
        for even in (nn.LayerNorm(48, 1e-6, elementwise_affine=False).to(dtype), nn.LayerNorm(48, 1e-6).to(dtype)):
            torch.testing.assert_close(cpu_ops.layer_norm(even, x), even(x))
    kept = x.clone().requires_grad_()
    torch.testing.assert_close(cpu_ops.rms_norm(norm, kept), want)
    flat = cpu_ops.layer_norm(nn.LayerNorm(48, 1e-6, elementwise_affine=False), kept)
    cpu_ops.add(cpu_ops.add_product(shift, kept, scale), cpu_ops.rms_norm(norm, kept) + flat).sum().backward()
    assert torch.equal(kept, x), "what is learned from is not overwritten"
    assert kept.grad is not None


def test_norms_keep_no_default_of_the_moment() -> None:
    cpu_ops._even.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        norm, plain = nn.RMSNorm(8, 1e-6, dtype=torch.float32), nn.LayerNorm(8, elementwise_affine=False)
    finally:
        torch.set_default_dtype(torch.float32)
    x = torch.randn(3, 8)
    with torch.no_grad():
        torch.set_default_dtype(torch.float64)
        try:
            rms, layer = cpu_ops.rms_norm(norm, x.clone()), cpu_ops.layer_norm(plain, x)
        finally:
            torch.set_default_dtype(torch.float32)
        assert rms.dtype == layer.dtype == torch.float32
        torch.testing.assert_close(rms, norm(x))
        torch.testing.assert_close(layer, plain(x))
