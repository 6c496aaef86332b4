"""Products in 8 bits are exact sums of rounded numbers, layers with outliers keep their precision, and all else is as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dreamx.fast.int8 import (
    Int8Config,
    Int8Linear,
    int8_layers,
    measure_int8_errors,
    quantise,
    quantise_rows,
)
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT
from dreamx.model.int8_attention import int8_product
from test_offload import TEXT, frames, network


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_is_its_plain_twin_bit_for_bit_and_near_the_exact_one(rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    exact = nn.Linear(48, 40, bias)
    layer, x = Int8Linear(exact), 3 * torch.randn(2, rows, 48)
    assert torch.equal(layer(x), layer.plain(x))
    assert 0 < relative(layer(x), exact(x)) < 0.02
    assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert layer(x).shape == exact(x).shape


def test_rows_have_scales_of_their_own() -> None:
    x = torch.tensor([[127.0, -63.5, 0.0], [0.0, 0.0, 0.0], [-1e-3, 5e-4, 1e-3]])
    codes, scale = quantise_rows(x)
    assert codes.tolist() == [[127, -64, 0], [0, 0, 0], [-127, 64, 127]]
    assert (codes * scale - x).abs().max() <= 0.5
    assert torch.allclose((codes * scale)[2], x[2], atol=5e-6)


def test_products_are_exact() -> None:
    a, b = (torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((7, 200), (200, 9)))
    assert torch.equal(int8_product(a, b).long(), a.long() @ b.long())
    a, b = a[:, :197], b[:197].t().contiguous().t()
    assert torch.equal(int8_product(a, b, pad=True).long(), a.long() @ b.long()), "filled up as for a GPU"


@torch.inference_mode()
def test_the_network_in_8_bits_is_near_the_one_it_was_made_of_which_stays() -> None:
    dit = network()
    want = dit(frames(), TEXT, MaskedAttention())
    small = quantise(dit, Int8Config())
    assert 0 < relative(small(frames(), TEXT, MaskedAttention()), want) < 0.1
    assert torch.equal(dit(frames(), TEXT, MaskedAttention()), want)
    kinds = {name: type(m) for name, m in small.named_modules() if isinstance(m, nn.Linear | Int8Linear)}
    assert {n for n, kind in kinds.items() if kind is Int8Linear} == set(int8_layers(dit))
    assert all(kinds[n] is nn.Linear for n in ("head", "patch", "blocks.0.text.k", "time.0"))
    assert small.head.weight is dit.head.weight
    assert sum(x.nbytes for x in small.state_dict().values()) < 0.5 * sum(x.nbytes for x in dit.state_dict().values())


@torch.inference_mode()
def test_a_layer_with_an_outlier_keeps_its_precision() -> None:
    dit = network()
    # One column so large that the rest of each row has few of the 127 steps left.
    dit.blocks[1].mlp[2].weight[:, 3] *= 300  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]

    def run(net: DiT) -> object:
        return net(frames(), TEXT, MaskedAttention())

    errors = measure_int8_errors(dit, run)
    assert set(errors) == set(int8_layers(dit))
    others = {n: e for n, e in errors.items() if n != "blocks.1.mlp.2"}
    assert all(0 < e < 0.03 for e in others.values())
    limit = max(others.values())
    assert errors["blocks.1.mlp.2"] < 1
    small = quantise(dit, Int8Config(most_error=limit, keep=("blocks.0.time.q",)), errors)
    kept = {n for n in int8_layers(dit) if isinstance(small.get_submodule(n), nn.Linear)}
    assert "blocks.0.time.q" in kept
    assert kept - {"blocks.0.time.q"} == {n for n, e in errors.items() if e > limit}


@torch.inference_mode()
def test_errors_are_of_the_full_precision_run() -> None:
    """What one layer's rounding does to the next is not the next one's error."""
    dit = network()
    seen: list[torch.Tensor] = []
    layer = int8_layers(dit)["blocks.4.time.q"]

    def run(net: DiT) -> object:
        return net(frames(), TEXT, MaskedAttention())

    errors = measure_int8_errors(dit, run)
    probe = network()

    class Kept(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.clone())
            return layer(x)

    probe.blocks[4].time.q = Kept()  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    run(probe)
    assert errors["blocks.4.time.q"] == pytest.approx(relative(Int8Linear(layer)(seen[0]), layer(seen[0])), rel=1e-3)


def test_what_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"int8: there is no layer 'blocks\.9\.time\.q'; the layers are blocks\.0\."):
        quantise(network(), Int8Config(keep=("blocks.9.time.q",)))
    with pytest.raises(ValueError, match="there is no layer 'head'"):
        quantise(network(), Int8Config(), {"head": 0.1})
