"""four: what memory and camera control are each worth. The transformer of ``tiny`` with both, with either, with neither.

All four learn from the same latents, from nothing, for the same steps with the same seeds, and are sampled alike; only what they
are given differs. It follows ``tiny`` in the same folder, whose clips and autoencoder it uses. Far shorter than ``tiny``: it
ranks, and does not ship. `dreamx eval quick --world FOLDER/four/NAME/world` scores one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dreamx.recipes import tiny
from dreamx.train import camera_control, causal
from dreamx.train.run_config import RunConfig
from dreamx.world import World, WorldConfig

#: Name -> (re-projected memory, camera lane).
COMBINATIONS = {"both": (True, True), "memory": (True, False), "camera": (False, True), "neither": (False, False)}
BOTH_WAYS, FORWARD = 60, 200  # steps


def curriculum(root: Path, threads: int = 2) -> dict[str, Callable[[], object]]:
    """Three stages for each combination; ``root`` is the folder of a finished ``tiny``."""
    latents, codec = root / "latents.safetensors", root / "autoencoder" / "model"
    stages: dict[str, Callable[[], object]] = {}
    for name, (memory, lane) in COMBINATIONS.items():
        home = root / "four" / name
        dit = replace(tiny.DIT, hint=memory, view=tiny.DIT.view if lane else None)
        teaching = replace(tiny.TEACHING, drop_view=0.0, drop_hint=0.0)
        world = replace(tiny.WORLD, memory=tiny.MEMORY if memory else None)
        first, second = home / "camera" / "model", home / "causal" / "model"

        def run(stage: Path, steps: int) -> RunConfig:
            return RunConfig(stage.parent, steps, ema=0.99, threads=threads, muon=tiny.MUON)

        stages[f"{name}-camera"] = partial(
            camera_control.main,
            camera_control.CameraStage(
                run(first, BOTH_WAYS), latents, first, dit, tiny.TEXT, frames=tiny.STRETCH, lr=tiny.LR, shift=3.0, drop_hint=0.0
            ),
        )
        stages[f"{name}-causal"] = partial(
            causal.main,
            causal.CausalStage(run(second, FORWARD), latents, first, second, teaching, frames=tiny.STRETCH, lr=tiny.LR),
        )
        stages[f"{name}-world"] = partial(_export, world, codec, second, home / "world")
    return stages


def _export(config: WorldConfig, codec: Path, networks: Path, out: Path) -> None:
    World.from_folders(config, codec, networks).export(out)
