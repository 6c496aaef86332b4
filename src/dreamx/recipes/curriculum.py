"""The command that runs a recipe: every stage of a scale, in order; what is done is not done again."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from dreamx import manifest
from dreamx.bounds import OutputFolder, Threads
from dreamx.data.opengl import refuse_without_simulator
from dreamx.recipes import micro, tiny
from dreamx.recipes.ablations import camera_lane, causality, memory_camera
from dreamx.train.processes import Alone


@dataclass(frozen=True)
class Curriculum:
    """Train a world from nothing, stage by stage."""

    out: OutputFolder
    """Everything goes here; the world to OUT/world."""
    scale: Literal["micro", "tiny", "four", "lanes", "ways"] = "tiny"
    """Name of the recipe."""
    stage: str | None = None
    """Run one stage alone; None runs all."""
    threads: Threads = 2
    """CPU threads."""


#: What recipes make beside a folder for each stage.
_FOLDERS = (r"clips", r"pictures", r"happenings", r"world", r"four", r"lanes", r"ways", r"[a-z]+\.safetensors(\.parts)?")


def main(cfg: Curriculum) -> None:
    """Run the stages; interrupted, run the same command again to go on."""
    recipes = {"micro": micro, "tiny": tiny, "four": memory_camera, "lanes": camera_lane, "ways": causality}
    stages = recipes[cfg.scale].curriculum(cfg.out, cfg.threads)
    if cfg.stage is not None and cfg.stage not in stages:
        raise ValueError(f"stage: {cfg.stage!r} is not one of this recipe's; the stages are {', '.join(stages)}")
    trains = [name for r in (tiny, micro) for name, run in r.curriculum(cfg.out).items() if _is_training(run)]
    made = (*_FOLDERS, *map(re.escape, dict.fromkeys(trains)))
    manifest.claim(cfg.out, "runs of dreamx train curriculum", made, write=int(os.environ.get("RANK", "0")) == 0)
    if cfg.stage is None and "starts" in stages:  # the last that draws, after hours
        refuse_without_simulator()
    alone = Alone()
    for name, run in stages.items():
        if cfg.stage in (None, name):
            if alone.first:
                sys.stdout.write(f"== {cfg.scale}: {name}\n")
                sys.stdout.flush()
            if _is_training(run):
                run()
            else:
                alone.run(run)


def _is_training(run: Callable[[], object]) -> bool:
    """Do all processes of a torchrun take part?"""
    function = run.func if isinstance(run, partial) else run
    return function.__module__.startswith("dreamx.train.")
