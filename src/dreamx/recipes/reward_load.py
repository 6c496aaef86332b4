"""Load of the stage reward for a dry run: policy, old policy and reference, and the rollouts before an update."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dreamx.budget.training_cost import StepCost, TransformerStep, transformer_cost
from dreamx.budget.training_fit import StageLoad
from dreamx.model.dit import DiTConfig
from dreamx.train.reward import RewardStage

_BACK = 2.5  # products of attention on the way back, by those forwards: scores are computed again


def reward_loader(
    name: str,
    cfg: RewardStage,
    dit: DiTConfig,
    latent: tuple[int, int],
    words: int,
    counts: tuple[int, int],
    dtype: torch.dtype,
) -> Callable[[int | None, bool], StageLoad]:
    """Return the load of the stage for so many candidates on a GPU, with checkpointed blocks or without.

    counts: parameters of a network, of which there are three, one that learns; and of a block. A pass is one over a chunk of all
    candidates, which see a full cache. With a gradient there is one for each chunk of a clip and each draw, and two without
    beside it; a rollout has one for each step of the sampler and one that writes. Histories are half as long as the longest in
    the mean, and are made once for a group. Decoding and scores are not counted.
    """
    s, c = cfg.sampler, cfg.candidates
    chunks, passes = c.clip // s.chunk, s.steps + 1

    def load(batch: int | None, checkpointed: bool) -> StageLoad:
        batch = max(2, batch or c.histories * c.group)  # one alone is no group
        step = TransformerStep(dit, latent, s.chunk, batch, words, None, dtype, None, False, checkpoint_blocks=checkpointed)
        bare = transformer_cost(step)
        tokens = latent[0] * latent[1] // dit.patch**2
        lanes = dit.width + (0 if dit.view is None else dit.view.width)
        past = 4.0 * batch * s.chunk * tokens * (s.window - s.chunk) * tokens * lanes * dit.layers  # a chunk's look at its past
        forward, again = bare.forward + past, 2 if checkpointed else 1
        back = bare.flop - bare.forward + (_BACK + again - 1) * past
        learned = chunks * cfg.draws
        beside = learned * 2 + passes * (chunks + (c.longest / s.chunk + 1) / 2 / c.group)
        # Keys and values: raw of the histories, which are one row a group, and of the clips; a window of all with positions.
        frame = 2.0 * dtype.itemsize * batch * tokens * lanes * dit.layers
        cache = frame * (s.window / c.group + c.clip + s.window)
        kept = frame * s.window / (dit.layers if checkpointed else 1)  # autograd keeps those that a chunk looks at
        return StageLoad(
            name=name,
            parameters=3 * counts[0],
            trained=counts[0],
            block=counts[1],
            cost=StepCost(learned * (forward + back), forward, bare.saved + kept, bare.working + cache),
            steps=cfg.run.steps,
            batch=batch,
            dtype=dtype,
            passes=beside,
            average=cfg.run.ema is not None,
        )

    return load
