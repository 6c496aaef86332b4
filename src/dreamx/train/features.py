"""Stage: train a feature network (``eval.features``) on stills of many places, some of them spoilt by a known amount.

It learns to tell the kind of place, the look, the hour, the things in view, the coarse depth, and what is wrong with a picture. Two are
made, of other seeds and of scenes that do not overlap: one that evaluates, one that rewards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import refuse_held_out
from dreamx.data import stills
from dreamx.data.scene import KINDS, STYLES
from dreamx.data.stills import HOURS, THINGS, Stills
from dreamx.eval.features.faults import FAULTS, spoil
from dreamx.eval.features.net import DEPTHS, FeatureConfig, FeatureNet, Told
from dreamx.train.carded import write_card
from dreamx.train.run import Run, RunConfig


@dataclass(frozen=True)
class FeatureStage:
    """Train a feature network."""

    run: RunConfig
    data: Path
    """A folder of ``dreamx data stills``."""
    out: Path
    """The folder that gets the network."""
    first_seed: int = 0
    """Files of scenes from this seed on are learned from ..."""
    end_seed: int = 1_000_000
    """... up to this one."""
    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of each level of the network."""
    batch: int = 48
    """Pictures a step."""
    lr: float = 2e-3
    """Peak learning rate."""
    often: float = 0.6
    """The share of pictures with a fault."""

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ValueError(f"batch must be 2 or more, not {self.batch}: a fault may need a second picture")


def main(cfg: FeatureStage) -> None:
    """Train, and write ``cfg.out``."""
    run = Run(cfg.run)  # first of all: it seeds
    config = FeatureConfig(KINDS, STYLES, HOURS, THINGS, tuple(FAULTS), cfg.widths)
    net = run.own(FeatureNet(config), cfg.lr, name="features", methods=("features",))
    data = load_stills(cfg.data, range(cfg.first_seed, cfg.end_seed))
    common = data.things.float().mean(0).clamp(0.01, 0.99)
    for pictures, spoilt, at in run.steps(lambda step: draw(data, cfg, run.generator(step))):
        loss, parts = told_loss(net(pictures), data, at, spoilt, common)
        run.update(net, loss, parts)
    run.export(cfg.out, {"features": (net, net.config)})
    write_card(run, cfg.out, (cfg.first_seed, cfg.end_seed), len(data.pictures), cfg.batch)


def load_stills(folder: Path, seeds: range) -> Stills:
    """All stills of files whose first scene lies in ``seeds``. ValueError where there are none."""
    files = [f for f in sorted(folder.glob("stills_*.safetensors")) if int(f.stem.split("_")[1]) in seeds]
    if not files:
        raise ValueError(f"data: {folder} has no stills of scenes {seeds.start} to {seeds.stop - 1}; make some with dreamx data stills")
    for file in files:
        refuse_held_out(int(file.stem.split("_")[1]))
    return stills.cat([stills.load(f) for f in files])


def draw(data: Stills, cfg: FeatureStage, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures ``[batch, 3, H, W]`` in [-1, 1], half mirrored; how much of each fault ``[batch, faults]``; which stills ``[batch]``
    (-1 - i: still i, mirrored)."""
    at = torch.randint(len(data.pictures), (cfg.batch,), generator=rng)
    mirror = torch.rand(cfg.batch, generator=rng) < 0.5
    pictures = data.pictures[at].float() / 127.5 - 1
    pictures = torch.where(mirror[:, None, None, None], pictures.flip(-1), pictures)
    pictures, spoilt = spoil(pictures, rng, cfg.often)
    return pictures, spoilt, torch.where(mirror, -1 - at, at)


def told_loss(told: Told, data: Stills, at: Tensor, spoilt: Tensor, common: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of what it tells wrong: cross entropies of kind, look, hour and things (rare things weigh more), L1 of faults and log-depth."""
    mirrored = at < 0
    at = torch.where(mirrored, -1 - at, at)
    depth = F.adaptive_avg_pool2d(data.depth[at].float().clamp(0.3, 60).log(), DEPTHS)
    depth = torch.where(mirrored[:, None, None], depth.flip(-1), depth)
    outdoors = data.kind[at] != KINDS.index("room")  # indoors the hour does not show
    hour = F.cross_entropy(told.hour, data.hour[at], reduction="none")
    parts = {
        "kind": F.cross_entropy(told.kind, data.kind[at]),
        "look": F.cross_entropy(told.look, data.look[at]),
        "hour": (hour * outdoors).sum() / outdoors.sum().clamp_min(1),
        "things": F.binary_cross_entropy_with_logits(told.things, data.things[at].float(), pos_weight=(0.5 / common).sqrt()),
        "faults": (told.faults - spoilt).abs().mean(),
        "depth": (told.depth - depth).abs().mean(),
    }
    loss = parts["kind"] + parts["look"] + 0.5 * parts["hour"] + 3 * parts["things"] + 6 * parts["faults"] + parts["depth"]
    return loss, {k: v.detach() for k, v in parts.items()}
