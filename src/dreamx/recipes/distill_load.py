"""Load of the stage distill for a dry run: student, critic and teacher, and the rollouts between their updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from dreamx.budget.training_cost import TransformerStep, transformer_cost
from dreamx.budget.training_fit import StageLoad
from dreamx.model.dit import DiTConfig
from dreamx.train.distill import DistillStage


def distill_loader(
    name: str,
    cfg: DistillStage,
    dit: DiTConfig,
    latent: tuple[int, int],
    words: int,
    counts: tuple[int, int, int],
    dtype: torch.dtype,
) -> Callable[[int | None, bool], StageLoad]:
    """Return the load of the stage for so many sequences on a GPU, with checkpointed blocks or without.

    counts: parameters of the student, of the teacher (as many as of the critic), and of a block. The step is that of the critic;
    everything else counts as forward passes: a rollout for it (none where it shares the student's), and each ``ratio``-th step
    the student's own, with one pass backwards, and the scores. Critic and teacher see each window ``draws`` times. A chunk takes
    the mean number of passes and one that writes it.
    """
    s, parameters = cfg.sampler, counts[0] + 2 * counts[1]
    teaching = None if cfg.visible is None else (s.chunk, s.window, s.sinks)

    def load(batch: int | None, checkpointed: bool) -> StageLoad:
        batch = batch or cfg.stream.batch
        step = TransformerStep(
            dit, latent, cfg.stream.window, batch * cfg.draws, words, teaching, dtype, None, False, checkpoint_blocks=checkpointed
        )
        critic, student = transformer_cost(step), transformer_cost(replace(step, batch=batch, teaching=None))
        recalled = 0 if cfg.past is None or cfg.past.packed is None else cfg.past.packed.frames  # read once a chunk
        rolled = ((s.steps + 1) / 2 + 1 + recalled / s.chunk) * student.forward
        scored = (3 if cfg.score.guidance else 2) * critic.forward  # critic and teacher; a guided teacher looks twice
        judged = critic.forward if cfg.adversarial.weight else 0.0  # a true window; for the student, half the critic backwards
        mine = rolled + student.flop - student.forward + scored + judged
        beside = rolled * (1 - cfg.shared / cfg.ratio) + judged + mine / cfg.ratio
        tokens = latent[0] * latent[1] // dit.patch**2
        lanes = dit.width + (0 if dit.view is None else dit.view.width)
        # Keys and values of the window and of what is recalled, raw and with their positions.
        cache = 4 * dtype.itemsize * batch * (s.window + recalled) * tokens * lanes * dit.layers
        worst = critic if critic.saved > student.saved else student
        return StageLoad(
            name=name,
            parameters=parameters,
            trained=counts[0] + counts[1],
            block=counts[2],
            cost=replace(critic, saved=worst.saved, working=worst.working + cache),
            steps=cfg.run.steps,
            batch=batch,
            dtype=dtype,
            passes=beside / critic.forward,
            average=cfg.run.ema is not None,
            averaged=counts[0],
        )

    return load
