"""Write the card beside a network that scores: its data, training and hardware."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from dreamx.config import to_json
from dreamx.eval.estimators.shipped import EstimatorCard, write
from dreamx.plaintext import parse_json
from dreamx.train.run import Run


def write_card(run: Run, out: Path, scenes: tuple[int, int], clips: int, batch: int) -> None:
    """``card.json`` in ``out``, by the first process alone, when the run is over."""
    if run.rank:
        return
    hardware = f"{run.device.type}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"
    took = parse_json((run.cfg.folder / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    write(out / "card.json", to_json(EstimatorCard(run.cfg.seed, scenes, clips, run.step, batch, round(took / 60, 1), hardware)))
