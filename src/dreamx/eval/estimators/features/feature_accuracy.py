"""``dreamx eval features``: what feature networks tell of true renders of scenes that nobody trains on.

Two come with the package, ``evaluation`` for tables and ``reward`` for training, as with classifiers of events
(``eval.estimators.events.event_accuracy``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from dreamx.bounds import InputFolder, OutputFolder, PositiveInt, Seed
from dreamx.checkpoints import native
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data.sim.stills import Stills, StillsConfig, load_stills, stills
from dreamx.eval.estimators.features.corruptions import CORRUPTIONS, corrupt
from dreamx.eval.estimators.features.net import FeatureConfig, FeatureNet
from dreamx.eval.estimators.shipped import AccuracyConfig, ShippedName, measure_each, open_asked, read_own
from dreamx.eval.metrics.manifold import inside

#: Where the networks ``evaluation`` and ``reward`` are.
NETS = Path(__file__).with_name("nets")
_BATCH = 64  # pictures that go through a network at once


@dataclass(frozen=True)
class FeaturesConfig(AccuracyConfig):
    """Measure feature networks on true renders."""

    scenes: PositiveInt = 120
    """So many; a fifth are visits of home places, from other points than in training."""
    views: PositiveInt = 8
    """Pictures of each random scene; three times as many of a home place."""
    first_seed: Seed = FIRST_HELD_OUT_SEED + 960_000
    """Of the scenes."""
    folder: OutputFolder = Path("runs/eval/features")
    """The renders are kept here, and features.json is written here."""
    learned: tuple[InputFolder, ...] = ()
    """Folders of networks that dreamx train features wrote; none: the two that come with dreamx."""


@dataclass(frozen=True)
class FeatureAccuracy:
    """Accuracy on true renders that nobody trained on. kind, look: shares named rightly. yes, no: shares of the things in view,
    and of those that are not, of which it says so. depth: mean error of log metres. corruptions: correlation of the amounts
    read with those put in. alive, corrupted: shares inside the features' manifold of other true renders, as they are, and
    corrupted by half (mean over the corruptions)."""

    pictures: int
    kind: float
    look: float
    yes: float
    no: float
    depth: float
    corruptions: float
    alive: float
    corrupted: float

    def __str__(self) -> str:
        return (
            f"on {self.pictures} true renders that nobody trained on it names the kind of {100 * self.kind:.1f} % and the look of"
            f" {100 * self.look:.1f} %, sees {100 * self.yes:.1f} % of the things in view and denies {100 * self.no:.1f} %"
            f" of all others, is off by {100 * self.depth:.1f} % in depth, reads corruptions with a correlation of"
            f" {self.corruptions:.2f},"
            f" and finds {100 * self.alive:.1f} % alive, {100 * self.corrupted:.1f} % where they are corrupted by half"
        )


def main(cfg: FeaturesConfig) -> None:
    """Render what is missing, ask of every picture, print what came of it."""
    asked = open_asked(cfg, "features", "stills", "features", NETS, load_features)
    plan = StillsConfig(cfg.folder / "stills", cfg.scenes, cfg.views, first_seed=cfg.first_seed, evaluation=True)
    stills(plan)
    held, _ = load_stills(plan.out, range(cfg.first_seed, cfg.first_seed + cfg.scenes))

    def measure(name: str, net: FeatureNet) -> FeatureAccuracy:
        own, each = measure_accuracy(net, held)
        for corruption, (correlation, alive) in each.items():
            print(f"  {name}: {corruption}: correlation {correlation:.2f}, alive at half of it {100 * alive:.1f} %", flush=True)
        return own

    measure_each(cfg, "features", "features", asked, measure)


def measure_accuracy(net: FeatureNet, held: Stills, seed: int = 0) -> tuple[FeatureAccuracy, dict[str, tuple[float, float]]]:
    """All together, and by corruption: the correlation of amounts, and the share that is alive when corrupted by half.

    Every second picture is the truth whose manifold the others (corrupted: half of these) are compared with. ValueError for fewer
    than 16 pictures.
    """
    if len(held) < 16:
        raise ValueError(f"features are measured on 16 pictures or more, not {len(held)}")
    rng = torch.Generator().manual_seed(seed)
    pictures = held.pictures.float() / 127.5 - 1
    with torch.inference_mode():
        whole = features_of(net, held.pictures)
        told = net.predict(whole)
        spoiled, amounts = corrupt(pictures, rng, 0.8)
        read = torch.cat([net(part).corruptions.sigmoid() for part in spoiled.split(_BATCH)])
    kind, look, things, depth = told.kind, told.look, told.things, told.depth
    truth, others = whole[::2], pictures[1::4]
    each: dict[str, tuple[float, float]] = {}
    for i, (name, planted) in enumerate(CORRUPTIONS.items()):
        half = planted(others, torch.full((len(others), 1, 1, 1), 0.5), rng)
        correlation = float(torch.corrcoef(torch.stack([read[:, i], amounts[:, i]]))[0, 1])
        each[name] = correlation, float(inside(features_of(net, half), truth).double().mean())
    yes = things > 0
    own = FeatureAccuracy(
        len(held),
        float((kind.argmax(1) == held.kind).float().mean()),
        float((look.argmax(1) == held.look).float().mean()),
        float(yes[held.things].float().mean()),
        float((~yes)[~held.things].float().mean()),
        float((depth - held.depth).abs().mean()),
        sum(c for c, _ in each.values()) / len(each),
        float(inside(whole[1::2], truth).double().mean()),
        sum(a for _, a in each.values()) / len(each),
    )
    return own, each


def features_of(net: FeatureNet, pictures: Tensor) -> Tensor:
    """Features ``[N, D]`` of pictures ``[N, 3, H, W]``, uint8 or in [-1, 1]."""
    with torch.inference_mode():
        return torch.cat([net.features(part) for part in pictures.split(_BATCH)])


def load_features(folder: Path) -> FeatureNet:
    """Load what the stage wrote. ValueError where it is not a feature network's folder."""
    return native.load(folder, "features", FeatureNet, FeatureConfig).eval()


@lru_cache(maxsize=2)
def shipped_features(name: ShippedName) -> tuple[FeatureNet, FeatureAccuracy]:
    """The network that tables use, or that for rewards, and its own accuracy, as it was measured by this command."""
    return load_features(NETS / name), read_own(NETS / name, FeatureAccuracy)


def features_hash(name: ShippedName) -> str:
    """Eight hex digits of the weights of a shipped network."""
    return hashlib.sha256((NETS / name / "features.safetensors").read_bytes()).hexdigest()[:8]
