"""Layers in FP8 are products of numbers that e4m3 rounded, near the exact ones; all else is as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dreamx.bench.calibrate import planned
from dreamx.bench.same_walk import PLAIN, Technique, distance_from
from dreamx.fast.fp8 import FP8, Fp8Linear, fp8_product, quantise_fp8, round_rows
from dreamx.fast.int8 import Int8Linear, int8_layers, measure_int8_errors
from dreamx.fast.residual_reuse import ReuseConfig, reuse_residuals
from dreamx.model.attention import MaskedAttention
from test_offload import TEXT, frames, network


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


def plainly(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """Round and round back each number by itself, then the layer in float64."""

    def rounded(y: torch.Tensor) -> torch.Tensor:
        scale = y.abs().amax(-1, keepdim=True) / 448
        return (y / scale).to(FP8).double() * scale.double()

    made = rounded(x) @ rounded(layer.weight).mT
    return made if layer.bias is None else made + layer.bias.double()  # pyright: ignore[reportUnnecessaryComparison]


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_is_its_plain_twin_and_near_the_exact_one(bias: bool) -> None:
    torch.manual_seed(0)
    exact = nn.Linear(48, 40, bias)
    layer, x = Fp8Linear(exact), 3 * torch.randn(2, 5, 48)
    assert (layer(x).double() - plainly(exact, x)).abs().max() < 1e-5
    assert 0.005 < relative(layer(x), exact(x)) < 0.06
    assert (layer(x.bfloat16()).dtype, layer(x).shape) == (torch.bfloat16, exact(x).shape)


def test_the_largest_number_of_a_row_is_kept_and_zeros_stay_zeros() -> None:
    x = torch.tensor([[5e4, -3.0, 0.0], [0.0, 0.0, 0.0], [-1e-3, 5e-4, 1e-3]])
    codes, scale = round_rows(x)
    back = codes.float() * scale
    assert bool(torch.isfinite(back).all())
    assert torch.allclose(back[:, 0], x[:, 0], rtol=1e-6)
    assert torch.allclose(back, x, rtol=0.0625, atol=0), "4 significant bits"


@torch.inference_mode()
def test_an_outlier_costs_its_row_less_than_in_int8() -> None:
    torch.manual_seed(0)
    exact = nn.Linear(64, 16)
    x = torch.randn(4, 64)
    exact.weight[:, 3], x[:, 3] = 0.0, 1000.0  # the outlier itself says nothing
    assert relative(Fp8Linear(exact)(x), exact(x)) < 0.06
    assert relative(Int8Linear(exact)(x), exact(x)) > 0.3


@torch.inference_mode()
def test_the_network_in_fp8_is_near_the_one_it_was_made_of_which_stays() -> None:
    dit = network()
    want = dit(frames(), TEXT, MaskedAttention())
    small = quantise_fp8(dit, keep=("blocks.0.time.q",))
    got = small(frames(), TEXT, MaskedAttention())
    assert 0 < relative(got, want) < 0.2
    assert torch.equal(dit(frames(), TEXT, MaskedAttention()), want)
    assert {n for n, m in small.named_modules() if isinstance(m, Fp8Linear)} == set(int8_layers(dit)) - {"blocks.0.time.q"}
    reused = reuse_residuals(small, ReuseConfig(0.0, least_sigma=0.1), 0.1)
    assert torch.equal(reused(frames(), TEXT, MaskedAttention()), got), "with residual reuse, which at 0 skips nothing"
    errors = measure_int8_errors(dit, lambda net: net(frames(), TEXT, MaskedAttention()), Fp8Linear)
    assert all(0 < e < 0.06 for e in errors.values())
    with pytest.raises(ValueError, match=r"there is no layer 'head'"):
        quantise_fp8(dit, keep=("head",))


@pytest.mark.slow
def test_the_shipped_world_in_fp8_stays_within_35_db_over_30_chunks() -> None:
    _, walk = planned("tiny", None, None, "cpu", False)
    assert distance_from(walk(Technique("fp8", quantise_fp8), 30), walk(PLAIN, 30))[0] >= 35


@pytest.mark.gpu
@torch.inference_mode()
def test_the_products_of_a_gpu_are_those_of_the_twin() -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        return  # it has no such products, and takes the twin itself
    torch.manual_seed(0)
    (a, of_a), (w, of_w) = round_rows(torch.randn(33, 200)), round_rows(torch.randn(40, 200))
    want = fp8_product(a, w, of_a, of_w[:, 0])
    got = fp8_product(*(x.cuda() for x in (a, w, of_a, of_w[:, 0])))
    assert relative(got.cpu(), want) < 0.01, "bfloat16 out"


def test_layers_are_rounded_once() -> None:
    with pytest.raises(ValueError, match="in 8 bits already; give the network as it was before"):
        quantise_fp8(quantise_fp8(network()))
