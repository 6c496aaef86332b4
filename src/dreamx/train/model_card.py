"""Fields that stages of scoring networks share, and the card that they write: a network's data, training and hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from dreamx import atomic
from dreamx.bounds import InputFolder, OutputFolder, Seed
from dreamx.clip import check_seeds
from dreamx.config import to_json
from dreamx.eval.estimators.shipped import EstimatorCard
from dreamx.plaintext import parse_json
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@dataclass(frozen=True)
class ScoringStage:
    """Train a network that scores, on some scenes only: of two such networks each sees its own."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFolder
    """Folder of clips."""
    out: OutputFolder
    """Folder of the trained network."""
    first_seed: Seed = 0
    """First scene to learn from."""
    end_seed: Seed = 1_000_000
    """Scene after the last to learn from."""

    def __post_init__(self) -> None:
        check_seeds(self.first_seed, self.end_seed)


def write_card(run: Run, out: Path, scenes: tuple[int, int], clips: int, batch: int) -> None:
    """``card.json`` in ``out``, by the first process alone, when the run is over."""
    if run.rank:
        return
    hardware = f"{run.device.type}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"
    took = parse_json((run.cfg.folder / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    card = EstimatorCard(run.cfg.seed, scenes, clips, run.step, batch, round(took / 60, 1), hardware)
    atomic.write_json(out / "card.json", to_json(card))
