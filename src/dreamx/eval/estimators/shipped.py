"""Small networks that come with dreamx to score by: where each is from, and what it does itself, beside its weights."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamx import atomic, manifest
from dreamx.config import from_json, to_json
from dreamx.plaintext import read_json


@dataclass(frozen=True)
class EstimatorCard:
    """Origin of a shipped network. ``scenes``: the first seed that it may have seen, and the first after these. ``seed``: of the
    training. ``minutes``: of training, on ``hardware``."""

    seed: int
    scenes: tuple[int, int]
    clips: int
    steps: int
    batch: int
    minutes: float
    hardware: str


def read_card(folder: Path) -> EstimatorCard:
    """Of a shipped network."""
    return from_json(EstimatorCard, read_json(folder / "card.json"))


def named(folder: Path, stage: str) -> str:
    """Return the name of a stage's network: of ``pose``, ``runs/tiny/pose_reward/model`` is ``reward``; else the folder's."""
    return folder.resolve().parent.name.removeprefix(f"{stage}_") if folder.name == "model" else folder.name


def ship(folder: Path, weights: Sequence[str], own: object, to: Path) -> None:
    """Copy the files that a stage wrote in ``folder``, and how good the network is by itself (``own``). ValueError: one is
    missing."""
    names = ("config.json", *weights, "card.json", "error.json")
    manifest.claim(to, "a network to score by", [re.escape(name) for name in names], flag="ship", write=False)
    to.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", *weights, "card.json"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; only what its stage of dreamx train wrote can be shipped")
        with atomic.whole(to / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    write(to / "error.json", to_json(own))


def write(file: Path, values: object) -> None:
    """JSON, whole or not at all."""
    atomic.write_text(file, json.dumps(values, indent=2) + "\n")
