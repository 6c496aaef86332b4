"""Attention in 8 bits: exact products of rounded numbers, near the plain one, and blind to what all keys have in common."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.model.attention_backends import INT8, PLAIN
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT
from dreamx.model.int8_attention import int8_scores, quantise_blocks
from test_equality import BARE, CHUNK, case, loud


def drawn(rows: int, columns: int, dim: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, dim, generator=rng) for n in (rows, columns, columns))
    return q, k, v


def relative(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (130, 200), (1, 64)])
def test_it_is_near_plain_attention(rows: int, columns: int) -> None:
    q, k, v = drawn(rows, columns)
    assert 0 < relative(INT8(q, k, v), PLAIN(q, k, v)) < 0.02
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[:, 0] = True
    assert 0 < relative(INT8(q, k, v, mask), PLAIN(q, k, v, mask)) < 0.02
    assert INT8(q.bfloat16(), k.bfloat16(), v.bfloat16()).dtype == torch.bfloat16


def test_scores_are_those_of_the_plain_twin_bit_for_bit() -> None:
    """Float64 holds sums of 8-bit products exactly."""
    q, k, _ = drawn(130, 200)
    assert torch.equal(int8_scores(q, k), int8_scores(q, k, lambda a, b: a.double() @ b.double()))


def test_what_all_keys_share_costs_no_precision() -> None:
    q, k, v = drawn(40, 70)
    shared = 30 * torch.randn(1, 3, 1, 32, generator=torch.Generator().manual_seed(2))
    want = PLAIN(q.double(), (k + shared).double(), v.double())
    assert relative(INT8(q, k + shared, v).double(), want) < 0.02
    codes, scale = quantise_blocks(k + shared, 64)
    assert relative(PLAIN(q, codes * scale, v).double(), want) > 0.1, "without smoothing"


def test_each_block_of_tokens_has_a_scale_of_its_own() -> None:
    x = torch.randn(1, 1, 70, 8, generator=torch.Generator().manual_seed(0))
    x[:, :, 64:] *= 1e-3
    codes, scale = quantise_blocks(x, 64)
    assert codes.abs().amax((0, 1, 3))[64:].max() == 127
    assert len(scale.unique()) == 2
    assert ((codes * scale - x).abs() <= 0.5001 * scale).all()


@torch.no_grad()
def test_a_network_with_a_cache_computes_with_it() -> None:
    dit, (known, text) = loud(DiT(BARE)).float(), case()
    known = known[: 2 * CHUNK]
    known = known.with_z(known.z.float())
    caches = [CausalConfig(alone=()).cache(), CausalConfig(alone=()).cache(INT8)]
    made: list[Tensor] = []
    for cache in caches:
        dit(known[:CHUNK], text.float(), cache)
        cache.commit()
        made.append(dit(known[CHUNK:], text.float(), cache))
    assert 0 < relative(made[1], made[0]) < 0.05
