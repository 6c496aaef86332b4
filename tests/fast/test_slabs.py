"""Rows shared by 2 and 3 processes give what one process gives: decoding, attention with a cache, and both after each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import start_processes

import slab_ranks
from dreamx.fast.row_slabs import Slabs, split_evenly
from dreamx.fast.ulysses import heads_of, sequence_parallel
from dreamx.model.dit import DiT, ViewConfig

Made = tuple[int, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=[2, 3])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, alone: dict[str, torch.Tensor]) -> Made:
    """What each process made. They are forked after ``alone`` was made, so that none has to import everything again."""
    folder: Path = tmp_path_factory.mktemp(f"ranks{request.param}")
    start_processes(slab_ranks.main, (request.param, str(folder)), nprocs=request.param, start_method="fork")
    return request.param, [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return {name: run() for name, run in slab_ranks.cases(None).items()}


@pytest.mark.parametrize("name", ["small", "depth", "hint", "wan", "masked", "rollout", "skipping", "whole", "lossless"])
def test_many_processes_make_what_one_makes(made: Made, alone: dict[str, torch.Tensor], name: str) -> None:
    want = alone[name]
    assert want.std() > 0.05, "there is something to see"
    for each in made[1]:
        assert each[name].shape == want.shape
        # float64 but for the Wan decoder, which gives float32; 8 bits may round otherwise where sums differ in their last digits.
        bound = {"wan": 1e-5, "skipping": 1e-2}.get(name, 1e-9)
        assert (each[name] - want).abs().max() < bound


def test_passes_are_skipped_by_all_or_by_none(made: Made, alone: dict[str, torch.Tensor]) -> None:
    counts = {float(x["skipping"][-1]) for x in (*made[1], alone)}
    assert len(counts) == 1
    assert 0 < counts.pop() < 16


def test_the_past_is_sharded_by_heads(made: Made) -> None:
    size, ranks = made
    tokens = slab_ranks.ROWS * slab_ranks.COLS // 4
    assert all(x["heads"]["time"] == (tokens, 1) for x in ranks), "2 heads: 3 processes have one each, of which two are the same"
    assert [x["heads"]["view"][1] for x in ranks] == ([2, 1] if size == 2 else [1, 1, 1])


def test_too_few_rows_are_a_sentence(made: Made) -> None:
    size, ranks = made
    want = f"rows: {size - 1} rows in steps of 1 do not give each of {size} processes a slab; use fewer processes"
    assert {x["refused"] for x in ranks} == {want}


def test_rows_and_heads_are_cut_as_evenly_as_they_can_be() -> None:
    assert split_evenly(7, 3) == [3, 2, 2]
    assert [list(h) for h in heads_of(5, 2)] == [[0, 1, 2], [3, 4]]
    assert [list(h) for h in heads_of(2, 5)] == [[0], [1], [0], [1], [0]]


def test_a_lane_that_pools_is_refused() -> None:
    pooled = DiT(replace(slab_ranks.CONFIG, view=ViewConfig(24, 3, pool=(2.0, 2.0))))
    with pytest.raises(ValueError, match=r"view\.pool: a lane pooled by \(2\.0, 2\.0\) cannot be shared by rows"):
        sequence_parallel(pooled, Slabs())
