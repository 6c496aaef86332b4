"""The command that runs a recipe: every stage of a scale, in order; what is done is not done again."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Literal

from dreamx import manifest
from dreamx.bounds import OutputFolder, Threads
from dreamx.data.opengl import refuse_without_simulator
from dreamx.recipes import micro, tiny, wan_micro
from dreamx.recipes.ablations import camera_lane, causality, memory_camera
from dreamx.train.processes import Alone


@dataclass(frozen=True)
class Curriculum:
    """Train a world from nothing, stage by stage."""

    out: OutputFolder
    """Everything goes here; the world to OUT/world."""
    scale: Literal["micro", "tiny", "wan_micro", "memory_camera", "camera_lane", "causality", "four", "lanes", "ways"] = "tiny"
    """Name of the recipe. wan_micro trains nothing: it writes a toy checkpoint as the 5B is downloaded. Earlier names of three
    ablations are four, lanes and ways."""
    stage: str | None = None
    """Run one stage alone; None runs all."""
    threads: Threads = 2
    """CPU threads."""


#: What recipes make beside a folder for each stage.
_FOLDERS = (
    *("clips", "pictures", "happenings", "stills", "world", "four", "lanes", "ways"),
    *("ahead", "again"),  # folders of the stages lookahead_1 and lookahead_2 up to version 0.1
    r"[a-z]+\.safetensors(\.parts)?",
)


def main(cfg: Curriculum) -> None:
    """Run the stages; interrupted, run the same command again to go on."""
    recipes = {
        "micro": micro,
        "tiny": tiny,
        "wan_micro": wan_micro,
        **dict.fromkeys(("memory_camera", "four"), memory_camera),
        **dict.fromkeys(("camera_lane", "lanes"), camera_lane),
        **dict.fromkeys(("causality", "ways"), causality),
    }
    steps = recipes[cfg.scale].curriculum(cfg.out, cfg.threads)
    names = [step.name for step in steps]
    if cfg.stage is not None and cfg.stage not in names:
        raise ValueError(f"stage: {cfg.stage!r} is not one of this recipe's; the stages are {', '.join(names)}")
    trains = [step.name for recipe in (tiny, micro) for step in recipe.curriculum(cfg.out) if step.trains]
    made = (*_FOLDERS, *map(re.escape, dict.fromkeys(trains)))
    manifest.claim(cfg.out, "runs of dreamx train curriculum", made, write=int(os.environ.get("RANK", "0")) == 0)
    if cfg.stage is None and "starts" in names:  # the last that draws, after hours
        refuse_without_simulator()
    alone = Alone()
    for step in steps:
        if cfg.stage in (None, step.name):
            if alone.first:
                sys.stdout.write(f"== {cfg.scale}: {step.name}\n")
                sys.stdout.flush()
            if step.trains:
                step()
            else:
                alone.run(step)
