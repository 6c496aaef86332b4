"""Memory predicted for a training step is the memory that a real one takes, and what is advised fits."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import measured_step
from dreamx.budget.gpus import GPUS
from dreamx.budget.plan import W5B
from dreamx.budget.training_cost import StepCost, TransformerStep, _counted, transformer_cost
from dreamx.budget.training_fit import StageLoad, step_seconds, training_need, training_refusal
from repo import TESTS

NEAR = 0.15
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Case = tuple[int, str, tuple[str, ...] | None, bool, bool]
#: Clips, dtype of the products, parts that are trained, checkpointed blocks; attention as on a GPU, by the kernels of torch.
CASES: list[Case] = [
    (1, "float32", None, False, False),
    (2, "float32", None, False, False),
    (2, "bfloat16", None, False, False),
    (2, "bfloat16", ("view",), False, False),
    (2, "float32", None, True, False),
    (1, "bfloat16", None, False, True),
    (2, "float32", None, False, True),
]


@pytest.fixture(scope="module")
def measured() -> list[dict[str, int]]:
    """The cases, measured in a process of their own."""
    command = [sys.executable, str(TESTS / "support/measured_step.py"), json.dumps(CASES)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def predicted(case: Case, parameters: int, trained: int) -> StageLoad:
    batch, dtype, train, checkpointed, rows = case
    m = measured_step
    step = TransformerStep(
        m.DIT, (8, 8), m.LATENTS, batch, m.TEXT.words, (m.CHUNK, m.WINDOW, m.SINKS), DTYPES[dtype], train, not rows, checkpointed
    )
    return StageLoad("causal", parameters, trained, 1, transformer_cost(step), 1, batch, step.dtype)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_predicted_memory_is_the_memory_of_a_real_step(measured: list[dict[str, int]], number: int) -> None:
    real, case = measured[number], CASES[number]
    need = training_need(predicted(case, real["parameters"], real["average"] // 4), 1)
    assert (need.weights, need.optimiser, need.average) == (real["weights"], real["optimiser"], real["average"])
    # A word that no prompt of the batch has gets a gradient of 0 all the same; a hint that is dropped, too.
    assert need.gradients == real["gradients"]
    assert need.activations > 3 * need.gradients or case[3], "activations do not dominate, so the test shows little"
    assert need.activations == pytest.approx(real["activations"], rel=NEAR)
    whole = real["weights"] + real["optimiser"] + real["average"] + real["beside"]
    assert need.most == pytest.approx(whole, rel=NEAR)
    assert need.activations + need.working == pytest.approx(real["beside"], rel=NEAR)


@pytest.mark.parametrize("number", [2, 3])
def test_predicted_products_are_those_of_a_real_step(measured: list[dict[str, int]], number: int) -> None:
    real, case, m = measured[number], CASES[number], measured_step
    text = 4.0 * case[0] * 2 * m.LATENTS * 16 * m.TEXT.words * m.DIT.width * m.DIT.layers  # of a forward attention to text
    load = predicted(case, 1, 1)
    # Written out (``attend_plainly``) it is counted, and needs no forward pass again on the way back; where words are not
    # trained, no gradient of keys and values either.
    uncounted = 0.5 if case[2] is None else 1.5
    assert load.flop == pytest.approx(real["flop"] + uncounted * text, rel=0.02)
    assert text > 0.02 * load.flop, "else it could be left out"


def test_checkpointed_blocks_save_memory_and_cost_a_forward_pass(measured: list[dict[str, int]]) -> None:
    assert measured[4]["beside"] < 0.5 * measured[1]["beside"]
    step = TransformerStep(W5B, (44, 80), 21, 1, 512, (3, 12, 3), torch.bfloat16)
    plain, again = transformer_cost(step), transformer_cost(replace(step, checkpoint_blocks=True))
    assert again.saved < 0.1 * plain.saved
    assert plain.flop < again.flop < plain.flop + plain.forward


def test_layers_that_are_alike_are_counted_once() -> None:
    step = TransformerStep(replace(W5B, width=96, heads=4, layers=5, mlp=256), (4, 4), 3, 1, 8, (1, 3, 1))
    a, b = transformer_cost(step), _counted(step)
    assert (a.flop, a.forward, a.saved) == (b.flop, b.forward, b.saved)


def test_frozen_weights_cost_less() -> None:
    step = TransformerStep(W5B, (44, 80), 21, 1, 512, None, torch.bfloat16)
    all_, lane = transformer_cost(step), transformer_cost(replace(step, train=("view",)))
    assert lane.forward == all_.forward
    assert lane.flop < 0.85 * all_.flop
    assert lane.saved < all_.saved


def test_products_are_those_of_the_weights_and_of_attention() -> None:
    """2 a weight and token forwards, and 4 a width and pair of tokens that see each other."""
    step = TransformerStep(replace(W5B, view=None, layers=4), (4, 4), 4, 1, 8)
    block, tokens, c = W5B.width * (4 * W5B.width + 2 * W5B.mlp), 16, W5B
    words = 4 * (2 * 2 * 8 * c.width**2 + 2 * 2 * tokens * c.width**2 + 4 * tokens * 8 * c.width)  # reading text
    least = 4 * (2 * tokens * block + 4 * tokens**2 * c.width) + words
    assert least < transformer_cost(step).forward < 1.2 * least


def test_shards_get_smaller_and_activations_do_not() -> None:
    load = StageLoad("s", 1000, 800, 10, StepCost(6.0, 2.0, 500.0, 50.0), 10, 1, torch.bfloat16, copies=7, passes=2)
    one, four = training_need(load, 1), training_need(load, 4)
    assert (one.weights, one.gradients, one.optimiser, one.average) == (4028, 3200, 6400, 3200)
    assert (four.weights, four.gradients, four.optimiser, four.average) == (1028, 800, 1600, 800)
    assert one.activations == four.activations == 500
    assert (one.working, four.working) == (50, 130), "two gathered blocks of 40 bytes"
    assert four.most == 1028 + 1600 + 800 + 800, "gradients, as activations are gone then"
    assert training_need(replace(load, whole=True), 4) == one
    assert load.flop == 10
    assert step_seconds(load, GPUS["H100"], 0.5) == pytest.approx(10 / (989e12 * 0.5))


def _load(batch: int | None, checkpointed: bool) -> StageLoad:
    kept = 30e9 * (batch or 4) * (0.1 if checkpointed else 1.0)
    return StageLoad("s", 10**9, 10**9, 10, StepCost(1.0, 1.0, kept, 0.0), 1, batch or 4, torch.bfloat16)


def test_a_refusal_says_what_fits() -> None:
    gpu = GPUS["H100"]
    assert training_refusal("s", gpu, 4, 1, False, _load) is None
    words = training_refusal("s", gpu, 4, 4, False, _load)
    assert words is not None
    assert words.startswith("s needs 124.0 GB on each of 4 GPUs, and tensors can have 73.6 GB there; it would fit with ")
    assert words.endswith("a batch of 2 (64.0 GB), or with checkpointed blocks (16.0 GB)")
    few = training_refusal("s", GPUS["RTX4090"], 1, 4, True, _load)
    assert few is not None
    assert few.endswith("it would fit with 2 GPUs (20.0 GB)")
    none = training_refusal("s", GPUS["RTX4090"], 1, 1, False, lambda b, c: replace(_load(b, c), copies=10**10))
    assert none is not None
    assert "take GPUs with more memory, or fewer or smaller pictures" in none
