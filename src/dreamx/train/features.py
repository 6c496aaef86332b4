"""Stage: train a feature network (``eval.estimators.features``) on stills of many places, some corrupted by a known amount.

It learns to tell the kind of place, the look, the things in view, the coarse depth, and what is wrong with a picture. Two are
made, of other seeds and of scenes that do not overlap: one that evaluates, one that rewards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import BatchSize, InputFolder, OutputFolder, PositiveFloat, Probability
from dreamx.clip import refuse_held_out
from dreamx.data.sim.stills import Stills, load_stills
from dreamx.eval.estimators.features.corruptions import corrupt
from dreamx.eval.estimators.features.net import FeatureConfig, FeatureNet, Predictions
from dreamx.train.model_card import ScoringStage, write_card
from dreamx.train.outputs import claim
from dreamx.train.run import Run


@dataclass(frozen=True)
class FeatureStage(ScoringStage):
    """Train a feature network."""

    data: InputFolder
    """Folder of ``dreamx data stills``."""
    out: OutputFolder
    """Folder of the trained network, in 8 bits."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    """Sizes of the network."""
    batch: BatchSize = 48
    """Pictures a step."""
    lr: PositiveFloat = 2e-3
    """Peak learning rate."""
    corrupt: Probability = 0.6
    """Share of the pictures that are corrupted."""


@dataclass(frozen=True)
class FeatureBatch:
    """``pictures [N, 3, H, W]`` in [-1, 1], ``amounts [N, corruptions]``, and what is true of them, mirrored where they are."""

    pictures: Tensor
    amounts: Tensor
    truth: Stills


def main(cfg: FeatureStage) -> None:
    """Train, and write ``cfg.out``."""
    claim(cfg, "features", ["features"], [cfg.data])
    run = Run(cfg.run)  # first of all: it seeds
    net = run.own(FeatureNet(cfg.features), cfg.lr, name="features", methods=("features",))
    refuse_held_out(cfg.end_seed - 1)
    data, _ = load_stills(cfg.data, range(cfg.first_seed, cfg.end_seed))
    common = data.things.float().mean(0).clamp(0.01, 0.99)
    for now in run.steps(lambda step: draw(data, cfg, run.generator(step))):
        with run.autocast():
            predictions = net(now.pictures)
        loss, parts = prediction_loss(predictions, now, common)
        run.update(net, loss, parts)
    run.export(cfg.out, {"features": (net, net.config)}, {"features": 8})
    write_card(run, cfg.out, (cfg.first_seed, cfg.end_seed), len(data), cfg.batch)


def draw(data: Stills, cfg: FeatureStage, rng: torch.Generator) -> FeatureBatch:
    """``cfg.batch`` stills, half of them mirrored; a pure function of ``rng``."""
    at = torch.randint(len(data), (cfg.batch,), generator=rng)
    mirror = torch.rand(cfg.batch, generator=rng) < 0.5
    pictures = data.pictures[at].float() / 127.5 - 1
    pictures = torch.where(mirror[:, None, None, None], pictures.flip(-1), pictures)
    depth = torch.where(mirror[:, None, None], data.depth[at].flip(-1), data.depth[at])
    pictures, amounts = corrupt(pictures, rng, cfg.corrupt)
    return FeatureBatch(pictures, amounts, Stills(data.pictures[at], depth, data.kind[at], data.look[at], data.things[at]))


def prediction_loss(told: Predictions, now: FeatureBatch, common: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of cross entropies of kind, look, things and corruptions (rare ones weigh more) and of L1 of log depth.

    Amounts of corruptions are soft targets: by L1 their median, 0, would be the answer to every picture.
    """
    truth = now.truth
    things = F.binary_cross_entropy_with_logits(told.things.float(), truth.things.float(), pos_weight=(0.5 / common).sqrt())
    parts = {
        "kind": F.cross_entropy(told.kind.float(), truth.kind),
        "look": F.cross_entropy(told.look.float(), truth.look),
        "things": things,
        "corruptions": F.binary_cross_entropy_with_logits(
            told.corruptions.float(), now.amounts, pos_weight=torch.full_like(now.amounts[0], 4.0)
        ),
        "depth": (told.depth.float() - truth.depth).abs().mean(),
    }
    loss = parts["kind"] + parts["look"] + 3 * things + 4 * parts["corruptions"] + parts["depth"]
    return loss, {k: v.detach() for k, v in parts.items()}
