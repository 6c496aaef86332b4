"""Batches of encoded clips. A batch is a pure function of its random generator, so that a run resumes to the very next sample."""

from __future__ import annotations

from pathlib import Path

import torch

from dreamx.clip import refuse_held_out
from dreamx.data.encode import Latents
from dreamx.frames import Frames, clean


class LatentClips:
    """A latents file in memory, the first ``frames`` latents of each clip. ValueError when one is of an evaluation scene."""

    def __init__(self, file: Path, frames: int | None = None) -> None:
        data = Latents.load(file)
        for row in data.rows:
            refuse_held_out(row.seed)
        self.z, self.camera = data.z[:, :frames], data.camera[:, :frames]
        self.captions = [row.caption for row in data.rows]

    def batch(self, size: int, rng: torch.Generator) -> tuple[Frames, list[str]]:
        """``size`` clips drawn at random: clean frames from each clip's start, and what is said of them."""
        rows = torch.randint(len(self.z), (size,), generator=rng)
        return clean(self.z[rows].float(), self.camera[rows]), [self.captions[i] for i in rows.tolist()]


def drop(prompts: list[str], probability: float, rng: torch.Generator) -> list[str]:
    """Say nothing now and then, so that the model also works without words."""
    silent = torch.rand(len(prompts), generator=rng) < probability
    return ["" if s else p for s, p in zip(silent.tolist(), prompts, strict=True)]
