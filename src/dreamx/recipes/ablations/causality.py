"""causality: both ways in time against forward only. Two seconds made at once, or one latent frame after the other.

Both begin with the same fresh networks, see no re-projected memory, and learn from the same latents for the same steps with the
same seed by the same stage; only the length of a chunk differs: a chunk as long as the stretch is a film made both ways in time.
It follows ``tiny`` in the same folder. Short: it ranks, and does not ship.
`dreamx eval ablate FOLDER/ways/*/world --steps 16 4 2 1` prints the table.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from dreamx.checkpoints import native
from dreamx.recipes import tiny
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.train import causal
from dreamx.train.causal import CausalStage
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import Networks

STEPS, STRETCH = 3500, 9  # updates; latent frames: the opening picture and two seconds
CHUNKS = {"both-ways": STRETCH, "one-by-one": 1}
TEACHING = replace(tiny.TEACHING, drop_hint=1.0, drop_view=0.0, hint_noise=0.0)
WORLD = replace(tiny.WORLD, memory=None, foresight=None)


def curriculum(root: Path, threads: int = 1, steps: int = STEPS) -> Recipe:
    """The common start, and two steps for each way; ``root`` is the folder of a finished ``tiny``."""
    start = root / "ways" / "start"
    ways = (step for name, chunk in CHUNKS.items() for step in _way(root, threads, start, name, chunk, steps))
    return (Step("start", begin, start), *ways)


def _way(root: Path, threads: int, start: Path, name: str, chunk: int, steps: int) -> Recipe:
    home = root / "ways" / name
    latents, out, sinks = root / "latents.safetensors", home / "causal" / "model", int(chunk < STRETCH)
    run = RunConfig(out.parent, steps, ema=0.998, threads=threads)
    teaching = replace(TEACHING, chunk=chunk, windows=((STRETCH, sinks),))
    world = replace(WORLD, sampler=replace(tiny.SAMPLER, chunk=chunk, window=STRETCH, sinks=sinks))
    return (
        Step(f"{name}-causal", causal.main, CausalStage(run, latents, start, out, teaching, frames=STRETCH, lr=tiny.LR)),
        Step(f"{name}-world", export_world, WorldExport(root / "autoencoder" / "model", out, home / "world", world=world)),
    )


def begin(out: Path) -> None:
    """Write fresh networks of the shape of ``tiny``."""
    torch.manual_seed(0)
    native.save(out, Networks.new(tiny.DIT, tiny.TEXT).parts())
