"""scene_memory: what each way to remember a place is worth, how far back recalled frames are read, and errors in training.

All begin with the finished transformer of ``tiny`` and learn from the same latents for the same steps with the same seed by the
same stage. First four: no memory, recalled frames (packed), re-projected views, both. Then recalled frames alone under five rules
for the time that they are read at. Then neither memory, and what the history is spoilt by while it is learned from. It follows
``tiny`` in the same folder. Short: it ranks, and does not ship. `dreamx eval ablate FOLDER/memories/*/world --suite memory`
prints the table of the first nine, `dreamx eval ablate FOLDER/errors/*/world --suite long` that of the last three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dreamx.model.gap_rule import GapConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.recipes import tiny
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.train import memory_stage
from dreamx.train.error_bank import ErrorBankConfig
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.run_config import RunConfig

STEPS = 500  # updates of each
_SPAN = float(tiny.STRETCH)  # latents; the longest gap of the window, from which on a rule shortens gaps
GAPS = {
    "adjacent": GapConfig(_SPAN, log=0.01),  # whatever is recalled lies right before the window
    "ntk": GapConfig(_SPAN, ntk=True),
    "yarn": GapConfig(_SPAN, yarn=(0.25, 1.0)),
    "drawn": GapConfig(_SPAN, drawn=4 * tiny.STRETCH),
}


@dataclass(frozen=True)
class Way:
    """One of those compared: what it is shown, by probability, and what spoils the history in training."""

    recalled: PackedMemoryConfig | None = None
    reprojected: bool = False
    noise: float = 0.25
    bank: ErrorBankConfig | None = None


MEMORIES: dict[str, Way] = {
    "none": Way(),
    "packed": Way(PackedMemoryConfig()),
    "re-projected": Way(reprojected=True),
    "both": Way(PackedMemoryConfig(), reprojected=True),
    **{f"packed-{name}": Way(PackedMemoryConfig(gaps=rule)) for name, rule in GAPS.items()},
}
ERRORS: dict[str, Way] = {
    "clean": Way(noise=0.0),
    "noise": Way(),
    "residuals": Way(noise=0.0, bank=ErrorBankConfig()),
}


def curriculum(root: Path, threads: int = 1, steps: int = STEPS) -> Recipe:
    """Two steps for each; ``root`` is the folder of a finished ``tiny``."""
    table = (("memories", MEMORIES), ("errors", ERRORS))
    return tuple(s for folder, ways in table for name, way in ways.items() for s in _way(root, threads, folder, name, way, steps))


def _way(root: Path, threads: int, folder: str, name: str, way: Way, steps: int) -> Recipe:
    home, start = root / folder / name, tiny.stage_folder(root, "events_again") / "model"
    latents, out = root / "further.safetensors", home / "memory" / "model"
    run = RunConfig(out.parent, steps, decay=0.7, ema=0.99, threads=threads)
    packed = way.recalled or PackedMemoryConfig()
    # Half of the time without what memory shows: only then is there something to learn from recalled frames.
    hidden = (0.5 if way.recalled else tiny.TEACHING.drop_hint) if way.reprojected else 1.0
    packing = replace(
        tiny.PACKING, drop_memory=0.1 if way.recalled else 1.0, history_noise=way.noise, drop_hint=hidden, drop_view=0.0
    )
    stage = MemoryStage(run, latents, start, out, packing, packed, way.bank, tiny.STRETCH, lr=1e-3)
    world = replace(
        tiny.WORLD,
        memory=tiny.WORLD.memory if way.reprojected else None,
        foresight=tiny.WORLD.foresight if way.reprojected else None,
        past=replace(tiny.PAST, packed=way.recalled),
    )
    parts = (root / "autoencoder" / "model", out, home / "world", root / "depth" / "model")
    return (
        Step(f"{name}-memory", memory_stage.main, stage),
        Step(f"{name}-world", export_world, WorldExport(*parts, world=world)),
    )
