"""The command that runs a recipe: every stage of a scale, in order; what is done is not done again. Or what it would cost."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Gt, Le

from dreamx import manifest
from dreamx.bounds import OutputFolder, PositiveInt, Threads
from dreamx.budget.gpus import GpuName
from dreamx.data.opengl import refuse_without_simulator
from dreamx.recipes import micro, open_ground, tiny, w5b, wan_micro
from dreamx.recipes.ablations import camera_lane, causality, memory_camera, scene_memory
from dreamx.recipes.overrides import override_recipe
from dreamx.train.processes import Alone

#: Names of recipes.
Scale = Literal[
    "micro",
    "tiny",
    "open_ground",
    "w5b",
    "wan_micro",
    "memory_camera",
    "camera_lane",
    "causality",
    "scene_memory",
    "four",
    "lanes",
    "ways",
]


@dataclass(frozen=True)
class Curriculum:
    """Train a world from nothing, stage by stage."""

    out: OutputFolder | None = None
    """Everything goes here; the world to OUT/world. Not needed by a dry run."""
    scale: Scale = "tiny"
    """Name of the recipe. open_ground follows a finished tiny in OUT. w5b is for a dry run. wan_micro trains nothing: it writes a
    toy checkpoint as the 5B is downloaded. Ablations: memory_camera, camera_lane, causality (earlier four, lanes, ways) and
    scene_memory."""
    stage: str | None = None
    """Run one stage alone; None runs all."""
    threads: Threads = 2
    """CPU threads."""
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set"), tyro.conf.UseAppendAction] = ()
    """Another number in the recipe: STAGE.FIELD=VALUE, as causal.run.steps=100; may be given several times."""
    dry_run: bool = False
    """Train nothing: print parameters, memory and time of every training stage, as predicted."""
    gpus: PositiveInt = 8
    """GPUs of the dry run."""
    gpu: GpuName = "H100"
    """Kind of GPU of the dry run."""
    utilisation: Annotated[float, Gt(0), Le(1)] = 0.4
    """Share of the GPU's peak that the dry run assumes."""
    checkpoint_blocks: bool = False
    """The dry run assumes that blocks are computed again in the backward pass, which saves memory."""


#: What recipes make beside a folder for each stage.
_FOLDERS = (
    *("clips", "pictures", "happenings", "stills", "world", "packed_world", "distilled_world", "rewarded_world"),
    *("rounds", "four", "lanes", "ways"),
    *("memories", "errors", "open_ground"),
    *("ahead", "again"),  # folders of the stages lookahead_1 and lookahead_2 up to version 0.1
    r"[a-z]+\.safetensors(\.parts)?",
)


#: Recipes by the names that ``--scale`` knows.
_RECIPES = {
    "micro": micro,
    "tiny": tiny,
    "open_ground": open_ground,
    "w5b": w5b,
    "wan_micro": wan_micro,
    **dict.fromkeys(("memory_camera", "four"), memory_camera),
    **dict.fromkeys(("camera_lane", "lanes"), camera_lane),
    **dict.fromkeys(("causality", "ways"), causality),
    "scene_memory": scene_memory,
}


def main(cfg: Curriculum) -> None:
    """Run the stages; interrupted, run the same command again to go on."""
    module, out = _RECIPES[cfg.scale], cfg.out
    if out is None and not cfg.dry_run:
        raise ValueError("--out is missing; see dreamx train curriculum --help")
    steps = override_recipe(module.curriculum(out or Path("out"), cfg.threads), cfg.overrides)
    names = [step.name for step in steps]
    if cfg.stage is not None and cfg.stage not in names:
        raise ValueError(f"stage: {cfg.stage!r} is not one of this recipe's; the stages are {', '.join(names)}")
    if cfg.dry_run:
        from dreamx.recipes.dry_run import Hardware, cost_table  # brings networks that no training needs

        sys.stdout.write(
            cost_table(module, steps, Hardware(cfg.gpu, cfg.gpus, cfg.utilisation), cfg.checkpoint_blocks, cfg.stage)
        )
        return
    assert out is not None
    if module is w5b and cfg.stage not in ("data", "data_memory"):
        raise ValueError(f"scale: w5b cannot be trained: {w5b.WANTING}")
    trains = [step.name for recipe in (tiny, micro) for step in recipe.curriculum(out) if step.trains]
    made = (*_FOLDERS, *map(re.escape, dict.fromkeys(trains)))
    manifest.claim(out, "runs of dreamx train curriculum", made, write=int(os.environ.get("RANK", "0")) == 0)
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
