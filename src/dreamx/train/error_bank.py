"""Residual recycling: the network's own errors, kept in a bank and added to what later steps are conditioned on.

At play history and memory are dreams, which the network never sees in training. After Stable Video Infinity (arXiv 2510.09212)
the error of the clean estimate is stored, by noise level and by the place of the chunk, and drawn again; only memory and history
are perturbed, targets stay clean (DreamX-World 1.0, memory section, which gives no magnitudes).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from dreamx.bounds import PositiveInt, Probability
from dreamx.flow import schedule
from dreamx.frames import Frames


@dataclass(frozen=True)
class ErrorBankConfig:
    """Sizes of the bank, and how often it is used. Probabilities are those of Stable Video Infinity."""

    probability: Probability = 0.9
    """Probability of perturbing memory, and of perturbing history, a clip."""
    spared: Probability = 0.2
    """Share of clips that stay clean altogether."""
    spread: Probability = 0.3
    """Errors are scaled by a factor between 1 - spread and 1 + spread."""
    levels: PositiveInt = 10
    """Noise levels that errors are told apart by, those of a sampler of so many steps."""
    size: PositiveInt = 32
    """Errors of each level and place; the oldest gives way."""


class ErrorBank:
    """Errors of latent frames ``[C, h, w]``, by the place of their chunk among ``places`` and by noise level.

    All processes have the same bank. ``tensors`` change in place: they belong into the checkpoint.
    """

    def __init__(self, cfg: ErrorBankConfig, places: int, shape: tuple[int, int, int], shift: float) -> None:
        self.cfg, self.places = cfg, places
        self.levels = torch.tensor(schedule(cfg.levels, shift)[:-1])
        self.errors = torch.zeros(places, cfg.levels, cfg.size, *shape, dtype=torch.float16)
        self.count = torch.zeros(places, cfg.levels, dtype=torch.long)  # errors that were ever stored

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes, by name and in place."""
        return {"bank/errors": self.errors, "bank/count": self.count}

    @torch.no_grad()
    def add(self, v: Tensor, target: Tensor, sigma: Tensor, place: Tensor) -> None:
        """Store the errors of a prediction ``v [B, T, C, h, w]`` at ``sigma [B, T]``; ``place [T]``: of each frame's chunk.

        The error of the clean estimate is ``-sigma (v - target)``. Those of all processes are stored, in the order of ranks.
        """
        level = sigma.to(v.device)
        error = -level[..., None, None, None] * (v.float() - target.to(v.device))
        if dist.is_initialized():
            error, level = _of_all(error.contiguous()), _of_all(level.contiguous())
        error, level = error.cpu().half(), level.cpu()
        nearest = (level[..., None] - self.levels).abs().argmin(-1)  # [B, T]
        for b in range(len(error)):
            for t, at in enumerate(place.tolist()):
                n = int(nearest[b, t])
                self.errors[at, n, int(self.count[at, n]) % self.cfg.size] = error[b, t]
                self.count[at, n] += 1

    def draw(self, place: Tensor, rng: torch.Generator) -> Tensor:
        """One stored error for each of ``place [B, T]``, of any noise level: ``[B, T, C, h, w]``; 0 where none is stored."""
        out = torch.zeros(*place.shape, *self.errors.shape[3:])
        pick = torch.rand(*place.shape, 3, generator=rng, dtype=torch.float64)  # drawn for all, so that draws do not shift
        for b, row in enumerate(place.tolist()):
            for t, at in enumerate(row):
                full = self.count[at].nonzero()[:, 0].tolist()
                if not full:
                    continue
                u, w, much = pick[b, t].tolist()
                n = full[int(u * len(full))]
                held = min(int(self.count[at, n]), self.cfg.size)
                out[b, t] = (1 + self.cfg.spread * (2 * much - 1)) * self.errors[at, n, int(w * held)].float()
        return out


def recycle(frames: Frames, bank: ErrorBank | None, place: Tensor, spared: Tensor, rng: torch.Generator) -> Frames:
    """Add stored errors to some rows of known frames ``[B, T]``; ``place [B, T]``; rows of ``spared [B]`` stay as they are.

    Without a bank, as at play, the frames themselves.
    """
    if bank is None:
        return frames
    used = (torch.rand(len(place), generator=rng) < bank.cfg.probability) & ~spared
    error = bank.draw(place, rng) * used[:, None, None, None, None]
    return frames.with_z(frames.z + error.to(frames.z))


def spared_rows(cfg: ErrorBankConfig, batch: int, rng: torch.Generator) -> Tensor:
    """Rows ``[batch]`` that stay clean altogether."""
    return torch.rand(batch, generator=rng) < cfg.spared


def _of_all(x: Tensor) -> Tensor:
    """The rows of all processes, in the order of ranks."""
    each = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(each, x)
    return torch.cat(each)
