"""Will a training stage fit on so many GPUs, how long will it take, and what to change where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dreamx.budget.fit import gigabytes
from dreamx.budget.gpus import DataSheet
from dreamx.budget.training_cost import StepCost

#: Weights, gradients and both moments of AdamW stay float32, whatever the products are in (``RunConfig.dtype``).
_BYTES = 4.0
#: Blocks whose weights FSDP2 gathers at once: one computes, the next one is on its way.
_GATHERED = 2
#: GPUs that are tried for advice, at most.
_MOST = 1024


@dataclass(frozen=True)
class StageLoad:
    """A stage's load on every GPU.

    parameters: of the networks that are trained, frozen parts included; trained: of these, those that learn. copies: parameters
    of frozen networks beside them, whole on every GPU. block: of the largest part that FSDP2 gathers. average: is there a running
    average of the weights? averaged: of how many of them; None: of all that learn. whole: is nothing sharded? cost: of one step;
    passes: of its forward passes without gradients, beside.
    """

    name: str
    parameters: int
    trained: int
    block: int
    cost: StepCost
    steps: int
    batch: int
    dtype: torch.dtype
    copies: int = 0
    passes: float = 0
    average: bool = True
    averaged: int | None = None
    whole: bool = False

    @property
    def flop(self) -> float:
        """Operations of a step on one GPU."""
        return self.cost.flop + self.passes * self.cost.forward


@dataclass(frozen=True)
class TrainingNeed:
    """Bytes on each GPU. most: what is there at the worst moment; gradients come while activations go, so never all at once."""

    weights: float
    gradients: float
    optimiser: float
    average: float
    activations: float
    working: float

    @property
    def most(self) -> float:
        """Return the peak."""
        return self.weights + self.optimiser + self.average + max(self.activations + self.working, self.gradients)


def training_need(load: StageLoad, gpus: int) -> TrainingNeed:
    """Return the bytes on each of so many GPUs, everything that is trained sharded evenly over them."""
    shards = 1 if load.whole else gpus
    share = _BYTES / shards
    gathered = 0.0 if shards == 1 else _GATHERED * _BYTES * load.block
    return TrainingNeed(
        share * load.parameters + _BYTES * load.copies,
        share * load.trained,
        2 * share * load.trained,
        share * (load.trained if load.averaged is None else load.averaged) if load.average else 0.0,
        load.cost.saved,
        load.cost.working + gathered,
    )


def step_seconds(load: StageLoad, gpu: DataSheet, utilisation: float) -> float:
    """Predict the seconds of a step: products at that share of the peak. What GPUs send each other is in that share, too."""
    return load.flop / (gpu.peak(load.dtype) * utilisation)


def training_refusal(
    name: str, gpu: DataSheet, gpus: int, batch: int, checkpointed: bool, load: Callable[[int | None, bool], StageLoad]
) -> str | None:
    """One sentence where a stage does not fit, with the smallest changes that would; None where it fits.

    load: the stage with another batch on each GPU, and with checkpointed blocks or without.
    """

    def most(gpus: int, batch: int, checkpointed: bool) -> float:
        return training_need(load(batch, checkpointed), gpus).most

    need = most(gpus, batch, checkpointed)
    if need <= gpu.free_bytes:
        return None
    words = f"{name} needs {gigabytes(need)} on each of {gpus} GPUs, and tensors can have {gigabytes(gpu.free_bytes)} there"
    blocks = (True,) if checkpointed else (False, True)
    smaller = [b for b in (batch // 2, 1) if 1 <= b < batch]
    larger = [n for i in range(1, 11) if (n := gpus * 2**i) <= _MOST]
    found: list[str] = []
    for again in blocks:
        how = ["checkpointed blocks"] if again > checkpointed else []
        tried = [([], gpus, batch)] if how else []
        tried += [([f"{n} GPUs"], n, batch) for n in larger]
        tried += [([f"a batch of {b}"], gpus, b) for b in smaller]
        tried += [([f"{n} GPUs", "a batch of 1"], n, 1) for n in larger if smaller]
        fits = next(((more, m) for more, n, b in tried if (m := most(n, b, again)) <= gpu.free_bytes), None)
        if fits is not None:
            found.append(f"{' and '.join([*how, *fits[0]])} ({gigabytes(fits[1])})")
    if found:
        return f"{words}; it would fit with {', or with '.join(found)}"
    least = min(most(max([gpus, *larger]), b, blocks[-1]) for b in (batch, 1))
    still = f"with more GPUs, checkpointed blocks and a batch of 1 it would still need {gigabytes(least)}"
    return f"{words}; {still}: take GPUs with more memory, or fewer or smaller pictures"
