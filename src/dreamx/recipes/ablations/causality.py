"""ways: both ways in time against forward only. Two seconds made at once, or one latent frame after the other.

Both begin with the same fresh networks, see no re-projected memory, and learn from the same latents for the same steps with the
same seed by the same stage; only the length of a chunk differs: a chunk as long as the stretch is a film made both ways in time.
It follows ``tiny`` in the same folder. Short: it ranks, and does not ship.
`dreamx eval ablate FOLDER/ways/*/world --steps 16 4 2 1` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from dreamx.checkpoints import native
from dreamx.recipes import tiny
from dreamx.recipes.ablations.camera_lane import export
from dreamx.train import causal
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import Networks

STEPS, STRETCH = 3500, 9  # updates; latent frames: the opening picture and two seconds
CHUNKS = {"both-ways": STRETCH, "one-by-one": 1}
TEACHING = replace(tiny.TEACHING, drop_hint=1.0, drop_view=0.0, hint_noise=0.0)
WORLD = replace(tiny.WORLD, memory=None, foresight=None)


def curriculum(root: Path, threads: int = 1) -> dict[str, Callable[[], object]]:
    """The common start, and two stages for each way; ``root`` is the folder of a finished ``tiny``."""
    return stages(root, threads, STEPS)


def stages(root: Path, threads: int, steps: int) -> dict[str, Callable[[], object]]:
    """The same with so many steps."""
    start = root / "ways" / "start"
    made: dict[str, Callable[[], object]] = {"start": partial(begin, start)}
    for name, chunk in CHUNKS.items():
        home = root / "ways" / name
        out, sinks = home / "causal" / "model", int(chunk < STRETCH)
        run = RunConfig(out.parent, steps, ema=0.998, threads=threads)
        teaching = replace(TEACHING, chunk=chunk, windows=((STRETCH, sinks),))
        made[f"{name}-causal"] = partial(
            causal.main,
            causal.CausalStage(run, root / "latents.safetensors", start, out, teaching, frames=STRETCH, lr=tiny.LR),
        )
        world = replace(WORLD, sampler=replace(tiny.SAMPLER, chunk=chunk, window=STRETCH, sinks=sinks))
        made[f"{name}-world"] = partial(export, world, root / "autoencoder" / "model", out, home / "world")
    return made


def begin(out: Path) -> None:
    """Fresh networks of the shape of ``tiny``."""
    torch.manual_seed(0)
    native.save(out, Networks.new(tiny.DIT, tiny.TEXT).parts())
