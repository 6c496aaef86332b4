"""lanes: what the kinds of camera lane are each worth when nothing else steers. PRoPE, E-PRoPE whole and pooled, and none.

All begin with the finished transformer of ``tiny`` without its own lane, get a fresh one, see no re-projected memory, and learn
from the same latents for the same steps with the same seed; only the lane differs. It follows ``tiny`` in the same folder. Short:
it ranks, and does not ship. `dreamx eval ablate FOLDER/lanes/*/world` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dreamx.checkpoints import native
from dreamx.model.dit import DiT, ViewConfig, add_view
from dreamx.recipes import tiny
from dreamx.train import causal
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import load
from dreamx.world import World, WorldConfig

#: Of the main lane. Full PRoPE is as wide and gives half of each head to row and column; E-PRoPE has a quarter of the width, as
#: the released checkpoints, in every layer, as they have. (1.7, 2.7) is the paper's pooling: 4 x 4 tokens become 2 x 1.
WIDTH, HEADS = tiny.DIT.width, tiny.DIT.heads
E_PROPE = ViewConfig(WIDTH // 4, heads=1)
LANES: dict[str, ViewConfig | None] = {
    "none": None,
    "prope": ViewConfig(WIDTH, HEADS, rope=WIDTH // HEADS // 2),
    "eprope": E_PROPE,
    "eprope-2x2": replace(E_PROPE, pool=(2.0, 2.0)),
    "eprope-paper": replace(E_PROPE, pool=(1.7, 2.7)),
    "shipped": tiny.DIT.view,
}
STEPS, STRETCH = 500, 6  # updates; latent frames that are learned from, and seen at play
TEACHING = replace(tiny.TEACHING, batch=4, windows=((STRETCH, 1),), drop_hint=1.0, drop_view=0.0, hint_noise=0.0)
WORLD = replace(tiny.WORLD, sampler=replace(tiny.SAMPLER, window=STRETCH), memory=None, foresight=None)


def curriculum(root: Path, threads: int = 1) -> dict[str, Callable[[], object]]:
    """Three stages for each lane; ``root`` is the folder of a finished ``tiny``."""
    return stages(root, threads, root / "again" / "model", LANES, STEPS)


def stages(
    root: Path, threads: int, trained: Path, lanes: dict[str, ViewConfig | None], steps: int
) -> dict[str, Callable[[], object]]:
    """Fresh lanes on the ``trained`` networks, so many steps of each, a world of each."""
    latents, codec = root / "latents.safetensors", root / "autoencoder" / "model"
    made: dict[str, Callable[[], object]] = {}
    for name, lane in lanes.items():
        home = root / "lanes" / name
        start, out = home / "start" / "model", home / "causal" / "model"
        run = RunConfig(out.parent, steps, ema=0.98, threads=threads)
        made[f"{name}-start"] = partial(begin, trained, lane, start)
        made[f"{name}-causal"] = partial(
            causal.main, causal.CausalStage(run, latents, start, out, TEACHING, frames=STRETCH, lr=tiny.LR)
        )
        made[f"{name}-world"] = partial(export, WORLD, codec, out, home / "world")
    return made


def begin(trained: Path, lane: ViewConfig | None, out: Path) -> None:
    """The ``trained`` networks without their camera lane, with a fresh ``lane`` that is still silent."""
    nets = load(trained)
    bare = DiT(replace(nets.dit.config, view=None))
    kept = {k: v for k, v in nets.dit.state_dict().items() if ".view." not in k}
    for key, bias in nets.dit.state_dict().items():
        if key.endswith(".view.o.bias"):  # a silent lane still adds this: the main lane takes it over
            kept[key.replace(".view.", ".time.")] = kept[key.replace(".view.", ".time.")] + bias
    bare.load_state_dict(kept)
    nets.dit = bare if lane is None else add_view(bare, lane)
    native.save(out, nets.parts())


def export(config: WorldConfig, codec: Path, networks: Path, out: Path) -> None:
    """A world of these networks, with the codec of ``tiny`` and nothing else."""
    World.from_folders(config, codec, networks).export(out)
