"""Small networks that come with dreamx to score by: where each is from, and what it does itself, beside its weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch

from dreamx import atomic, manifest
from dreamx.bounds import InputFolder, OutputFolder, Seed, check_values
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.config import from_json, to_json
from dreamx.plaintext import read_json

#: For tables, or for rewards: of another training seed, from other scenes, so that what is rewarded is not what is measured.
ShippedName = Literal["evaluation", "reward"]
N = TypeVar("N")
E = TypeVar("E")


@dataclass(frozen=True)
class AccuracyConfig:
    """Fields that the measurements of all these networks have in common."""

    first_seed: Seed = FIRST_HELD_OUT_SEED
    """Of the scenes."""
    folder: OutputFolder = Path("runs/eval/accuracy")
    """The renders are kept here, and the results are written here."""
    learned: tuple[InputFolder, ...] = ()
    """Folders of networks that their stage of dreamx train wrote; none: the two that come with dreamx."""
    ship: OutputFolder | None = None
    """Copy these networks here, each under the name of its stage, with its own accuracy beside it."""

    def __post_init__(self) -> None:
        check_values(self)
        if self.first_seed < FIRST_HELD_OUT_SEED:
            raise ValueError(f"first_seed must be {FIRST_HELD_OUT_SEED} or more: smaller ones may have been trained on")


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
    """Read the card of a shipped network."""
    return from_json(EstimatorCard, read_json(folder / "card.json"))


def named(folder: Path, stage: str) -> str:
    """Return the name of a stage's network: of ``pose``, ``runs/tiny/pose_reward/model`` is ``reward``; else the folder's."""
    return folder.resolve().parent.name.removeprefix(f"{stage}_") if folder.name == "model" else folder.name


def open_asked(
    cfg: AccuracyConfig, command: str, renders: str, stage: str, nets: Path, load: Callable[[Path], N]
) -> dict[str, tuple[Path, N]]:
    """Load ``cfg.learned``, or the two in ``nets``, and claim ``cfg.folder``, with a folder ``renders``: folder and network by
    name. ValueError where a network cannot be loaded or the folder is another's."""
    torch.set_num_threads(1)
    asked = {named(f, stage): (f, load(f)) for f in cfg.learned or (nets / "evaluation", nets / "reward")}
    manifest.claim(cfg.folder, f"renders of dreamx eval {command}", (renders, rf"{command}\.json"), flag="folder")
    return asked


def measure_each(
    cfg: AccuracyConfig, command: str, part: str, asked: Mapping[str, tuple[Path, N]], measure: Callable[[str, N], object]
) -> None:
    """Measure each network, print, ship its files (``part.safetensors``) where that is asked for, and write ``command.json``."""
    found: dict[str, object] = {}
    for name, (folder, net) in asked.items():
        own = measure(name, net)
        print(f"{name}: {own}", flush=True)
        if cfg.ship is not None:
            ship(folder, part, own, cfg.ship / name)
        found[name] = to_json(own)
    atomic.write_json(cfg.folder / f"{command}.json", found)


def read_own(folder: Path, kind: type[E]) -> E:
    """Return how good a shipped network is by itself, as its command measured it."""
    return from_json(kind, read_json(folder / "error.json"))


def ship(folder: Path, part: str, own: object, to: Path) -> None:
    """Copy the files that a stage wrote in ``folder``, and how good the network is by itself (``own``). ValueError: one is
    missing."""
    names = ("config.json", f"{part}.safetensors", "card.json", "error.json")
    manifest.claim(to, "a network to score by", [re.escape(name) for name in names], flag="ship", write=False)
    to.mkdir(parents=True, exist_ok=True)
    for name in names[:-1]:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; only what its stage of dreamx train wrote can be shipped")
        with atomic.whole(to / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    atomic.write_json(to / "error.json", to_json(own))
