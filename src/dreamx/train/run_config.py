"""Settings of training that all stages have in common."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from dreamx.bounds import (
    NonNegativeFloat,
    OutputFolder,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    Threads,
    Updates,
    check_values,
)

#: Of what was before, in a running average: of 1, nothing new would ever come in.
Share = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class RunConfig:
    """Settings of training that all stages have in common."""

    folder: OutputFolder
    """Where checkpoints, log and contact sheets go; a run found there is resumed."""
    steps: Updates
    """Updates in all."""
    seed: Seed = 0
    """Of the weights and of every batch; a run is resumed with its own."""
    warmup: Probability = 0.02
    """Share of the steps over which the learning rate rises from 0."""
    decay: Probability = 0.5
    """Share of the steps, at the end, over which it falls along a half cosine; 0 keeps it constant."""
    floor: Probability = 0.05
    """Learning rate at the end, as a share of its peak."""
    weight_decay: NonNegativeFloat = 0.01
    """Of matrices and kernels; biases, gains and other vectors have none."""
    betas: tuple[Share, Share] = (0.9, 0.95)  # squares over some 20 steps
    """Decay of AdamW's first and second moment."""
    clip: PositiveFloat | None = 1.0
    """The norm beyond which a gradient is scaled down."""
    ema: Annotated[Share, Gt(0)] | None = 0.999  # an average of about 1000 steps
    """Decay of the running average of the weights, shorter during the first steps."""
    save_seconds: NonNegativeFloat | None = 300.0
    """Checkpoint after so many seconds ..."""
    save_steps: PositiveInt | None = None
    """... and after every so many steps; the last step is always saved."""
    muon: bool = False
    """Train the matrices of transformer blocks by Muon (``train.muon``); one process only."""
    log_every: PositiveInt = 50
    """Steps between lines of the log."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products of a step; weights, gradients and optimiser stay float32. ``dreamx doctor`` says which is faster here."""
    threads: Threads | None = None
    """CPU threads of torch; resume is bit-exact with the same number."""

    def __post_init__(self) -> None:
        check_values(self)

    def lr_share(self, step: int) -> float:
        """The learning rate of a step as a share of its peak."""
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))  # from step + 1: a rate of 0 would waste the first step
        # 0 until the decay begins, 1 at the end.
        fall = max(0.0, step - self.steps * (1 - self.decay)) / max(1.0, self.decay * self.steps)
        return rise * (self.floor + (1 - self.floor) * (1 + cos(pi * fall)) / 2)
