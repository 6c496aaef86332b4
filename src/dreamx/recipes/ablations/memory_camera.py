"""memory_camera: what memory and camera control are each worth. The transformer of ``tiny`` with both, with either, with neither.

All four learn from the same latents, from nothing, for the same steps with the same seeds, and are sampled alike; only what they
are given differs. It follows ``tiny`` in the same folder, whose clips and autoencoder it uses. Far shorter than ``tiny``: it
ranks, and does not ship. `dreamx eval quick --world FOLDER/four/NAME/world` scores one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dreamx.recipes import tiny
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.train import camera_control, causal
from dreamx.train.camera_control import CameraStage
from dreamx.train.causal import CausalStage
from dreamx.train.run_config import RunConfig

#: Name -> (re-projected memory, camera lane).
COMBINATIONS = {"both": (True, True), "memory": (True, False), "camera": (False, True), "neither": (False, False)}
BOTH_WAYS, FORWARD = 60, 200  # steps


def curriculum(root: Path, threads: int = 2) -> Recipe:
    """Three steps for each combination; ``root`` is the folder of a finished ``tiny``."""
    return tuple(step for name in COMBINATIONS for step in _combination(root, threads, name))


def _combination(root: Path, threads: int, name: str) -> Recipe:
    memory, lane = COMBINATIONS[name]
    latents, home = root / "latents.safetensors", root / "four" / name
    dit = replace(tiny.DIT, hint=memory, view=tiny.DIT.view if lane else None)
    teaching = replace(tiny.TEACHING, drop_view=0.0, drop_hint=0.0)
    world = replace(tiny.WORLD, memory=tiny.MEMORY if memory else None)
    first, second = home / "camera" / "model", home / "causal" / "model"

    def run(stage: Path, steps: int) -> RunConfig:
        return RunConfig(stage.parent, steps, ema=0.99, threads=threads, muon=tiny.MUON)

    return (
        Step(
            f"{name}-camera",
            camera_control.main,
            CameraStage(
                run(first, BOTH_WAYS), latents, first, dit, tiny.TEXT, frames=tiny.STRETCH, lr=tiny.LR, shift=3.0, drop_hint=0.0
            ),
        ),
        Step(
            f"{name}-causal",
            causal.main,
            CausalStage(run(second, FORWARD), latents, first, second, teaching, frames=tiny.STRETCH, lr=tiny.LR),
        ),
        Step(f"{name}-world", export_world, WorldExport(root / "autoencoder" / "model", second, home / "world", world=world)),
    )
