"""Attention by groups of rows is masked softmax attention: values, gradients, whole networks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import golden_stages
from dreamx.model import attention
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.block_attention import block_attention, groups
from dreamx.model.masks import by_chunk, teacher_forced

TABLES = {
    "causal": by_chunk(6, 1),
    "chunks": by_chunk(6, 2),
    "window": by_chunk(7, 1, window=3, sinks=1),
    "teacher": teacher_forced(5, 1, window=3, sinks=1),
    "teacher of chunks": teacher_forced(6, 3, window=6),
}


def inputs(frames: int, positions: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 2, frames * positions, 4, generator=rng, dtype=dtype).requires_grad_() for _ in range(3)]


def masked(q: Tensor, k: Tensor, v: Tensor, table: Tensor, positions: int) -> Tensor:
    wide = table.repeat_interleave(positions, 0).repeat_interleave(positions, 1)
    return scaled_dot_product_attention(q, k, v, attn_mask=wide)


@pytest.mark.parametrize("name", TABLES)
def test_values_and_gradients_are_those_of_a_mask(name: str) -> None:
    table, positions = TABLES[name], 3
    q, k, v = x = inputs(len(table), positions)
    ours, theirs = block_attention(q, k, v, groups(table, positions)), masked(q, k, v, table, positions)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    for a, b in zip(torch.autograd.grad((ours * weight).sum(), x), torch.autograd.grad((theirs * weight).sum(), x), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_in_bfloat16_it_is_as_near_as_torch_is() -> None:
    table = TABLES["teacher"]
    a, b, c = (x.detach() for x in inputs(len(table), 8))
    q, k, v = (x.to(torch.bfloat16) for x in (a, b, c))
    exact = masked(a, b, c, table, 8)
    theirs = float((masked(q, k, v, table, 8).double() - exact).abs().max())
    assert float((block_attention(q, k, v, groups(table, 8)).double() - exact).abs().max()) < max(2 * theirs, 0.02)


def test_rows_that_see_the_same_are_one_group_and_columns_are_runs() -> None:
    found = groups(teacher_forced(2, 1), 4)
    assert [(g.rows, g.columns) for g in found] == [
        (slice(0, 4), (slice(0, 4),)),
        (slice(4, 8), (slice(0, 8),)),
        (slice(8, 12), (slice(8, 12),)),
        (slice(12, 16), (slice(0, 4), slice(12, 16))),
    ]
    with pytest.raises(ValueError, match="frame 1 sees no frame"):
        groups(torch.tensor([[True, False], [False, False]]), 4)


def losses(root: Path, stage: str, dtype: str) -> list[float]:
    """The first losses of a stage from committed inputs, in a dtype."""
    function = golden_stages.stages(root)[stage]
    assert isinstance(function, partial)
    cfg = function.args[0]
    for folder, network in golden_stages.BEFORE.get(stage, {}).items():
        shutil.copytree(golden_stages.START / network, root / folder / "model")
    function.func(replace(cfg, run=replace(cfg.run, dtype=dtype)))
    return [json.loads(row)["loss"] for row in (root / stage / "log.jsonl").read_text().splitlines() if "loss" in row]


@pytest.mark.parametrize("stage", ["causal", "consistency", "camera", "autoencoder"])
def test_a_stage_in_bfloat16_learns_the_same(stage: str, tmp_path: Path) -> None:
    for name in ("float32", "bfloat16"):
        (tmp_path / name).mkdir()
    one, other = (losses(tmp_path / name, stage, name) for name in ("float32", "bfloat16"))
    assert len(one) == golden_stages.FIRST
    assert other == pytest.approx(one, rel=0.03)
    assert other != one, "autocast did nothing"


def test_training_attends_by_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    one = losses(tmp_path / "a", "causal", "float32")
    monkeypatch.setattr(attention, "learns_here", lambda _: False)
    assert losses(tmp_path / "b", "causal", "float32") == pytest.approx(one, rel=1e-4)


def test_small_tables_in_bfloat16_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel is asked, and neither answer nor gradients are further from the truth than torch's are."""
    rng = torch.Generator().manual_seed(0)
    whole = [torch.randn(2, 3, n, 8, dtype=torch.float64, generator=rng) for n in (20, 12, 12)]
    pull = torch.randn(2, 3, 20, 8, dtype=torch.float64, generator=rng)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("a kernel was asked")

    refused = AttentionBackend("refused", refuse)

    def run(dtype: torch.dtype, written: bool) -> list[Tensor]:
        q, k, v = (x.to(dtype).clone().requires_grad_() for x in whole)
        o = attention.attend_plainly(refused if written else TORCH, q, k, v)
        (o * pull.to(dtype)).sum().backward()
        return [o.detach().double(), *(x.grad.double() for x in (q, k, v) if x.grad is not None)]

    exact, ours = run(torch.float64, False), run(torch.bfloat16, True)
    with monkeypatch.context() as patched:
        patched.setattr(attention, "_SMALL", 0)
        theirs = run(torch.bfloat16, False)
    for right, mine, other in zip(exact, ours, theirs, strict=True):
        assert (mine - right).abs().max() < max(2 * float((other - right).abs().max()), 0.02)
    with torch.no_grad(), pytest.raises(AssertionError, match="a kernel"):
        attention.attend_plainly(refused, *(x.bfloat16() for x in whole))
    with pytest.raises(AssertionError, match="a kernel"):
        run(torch.float32, True)
