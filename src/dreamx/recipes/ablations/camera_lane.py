"""camera_lane: what the kinds of camera lane are each worth when nothing else steers. PRoPE, E-PRoPE whole and pooled, and none.

All begin with the finished transformer of ``tiny`` without its own lane, get a fresh one, see no re-projected memory, and learn
from the same latents for the same steps with the same seed; only the lane differs. It follows ``tiny`` in the same folder. Short:
it ranks, and does not ship. `dreamx eval ablate FOLDER/lanes/*/world` prints the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dreamx.checkpoints import native
from dreamx.model.dit import DiT, ViewConfig, add_view
from dreamx.recipes import tiny
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.train import causal
from dreamx.train.causal import CausalStage
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import load

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


def curriculum(root: Path, threads: int = 1) -> Recipe:
    """Three steps for each lane; ``root`` is the folder of a finished ``tiny``."""
    return lane_steps(root, threads, tiny.stage_folder(root, "lookahead_2") / "model", LANES, STEPS)


def lane_steps(root: Path, threads: int, trained: Path, lanes: dict[str, ViewConfig | None], steps: int) -> Recipe:
    """Fresh lanes on the ``trained`` networks, so many training steps of each, a world of each."""
    return tuple(step for name, lane in lanes.items() for step in _lane(root, threads, trained, name, lane, steps))


def _lane(root: Path, threads: int, trained: Path, name: str, lane: ViewConfig | None, steps: int) -> Recipe:
    latents, home = root / "latents.safetensors", root / "lanes" / name
    start, out = home / "start" / "model", home / "causal" / "model"
    run = RunConfig(out.parent, steps, ema=0.98, threads=threads)
    return (
        Step(f"{name}-start", begin, FreshLane(trained, lane, start)),
        Step(f"{name}-causal", causal.main, CausalStage(run, latents, start, out, TEACHING, frames=STRETCH, lr=tiny.LR)),
        Step(f"{name}-world", export_world, WorldExport(root / "autoencoder" / "model", out, home / "world", world=WORLD)),
    )


@dataclass(frozen=True)
class FreshLane:
    """Trained networks that get another camera lane."""

    trained: Path
    """Folder of the networks."""
    lane: ViewConfig | None
    """The lane; None: without one."""
    out: Path
    """Folder of the new networks."""


def begin(cfg: FreshLane) -> None:
    """Write the networks without their camera lane, with a fresh one that is still silent."""
    nets, lane = load(cfg.trained), cfg.lane
    bare = DiT(replace(nets.dit.config, view=None))
    kept = {k: v for k, v in nets.dit.state_dict().items() if ".view." not in k}
    for key, bias in nets.dit.state_dict().items():
        if key.endswith(".view.o.bias"):  # a silent lane still adds this: the main lane takes it over
            kept[key.replace(".view.", ".time.")] = kept[key.replace(".view.", ".time.")] + bias
    bare.load_state_dict(kept)
    nets.dit = bare if lane is None else add_view(bare, lane)
    native.save(cfg.out, nets.parts())
