"""``dreamx eval classifiers``: how often classifiers of events are right on true renders of scenes that nobody trains on.

Two come with the package, ``evaluation`` for tables and ``reward`` for training, as with readers of cameras
(``eval.estimators.pose.pose_accuracy``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from dreamx.bounds import InputFolder, OutputFolder, PositiveInt, Seed
from dreamx.checkpoints import native
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig, clip_path
from dreamx.eval.estimators.events.event_classifier import Classifier, ClassifierConfig
from dreamx.eval.estimators.events.records import EventRecord, event_records
from dreamx.eval.estimators.events.window import region, window
from dreamx.eval.estimators.shipped import AccuracyConfig, ShippedName, measure_each, open_asked, read_own

#: Where the networks ``evaluation`` and ``reward`` are.
NETS = Path(__file__).with_name("nets")


@dataclass(frozen=True)
class ClassifiersConfig(AccuracyConfig):
    """Measure classifiers of events on true renders."""

    scenes: PositiveInt = 120
    """So many, with two events in each, and each event once more without it happening."""
    first_seed: Seed = FIRST_HELD_OUT_SEED + 950_000
    """Of the scenes."""
    folder: OutputFolder = Path("runs/eval/classifiers")
    """The renders are kept here, and classifiers.json is written here."""
    learned: tuple[InputFolder, ...] = ()
    """Folders of networks that dreamx train classifier wrote; none: the two that come with dreamx."""


@dataclass(frozen=True)
class OwnAccuracy:
    """Accuracy on true renders: ``yes``, the share of records that happened to which it says yes; ``no`` and ``other``, the
    shares to which it says no, of the same records where nothing happened and of what other things did not happen there."""

    records: int
    yes: float
    no: float
    other: float

    def __str__(self) -> str:
        return (
            f"on {self.records} records of true renders that nobody trained on it says yes to {100 * self.yes:.1f} % of what"
            f" happened, no to {100 * self.no:.1f} % where nothing did, and to {100 * self.other:.1f} % of what else could have"
        )


@dataclass(frozen=True)
class EventPair:
    """One record: the window in which it happened, the same of the truth without it, and all kinds that are going on there."""

    kind: str
    told: Tensor
    still: Tensor
    going_on: frozenset[str]


def main(cfg: ClassifiersConfig) -> None:
    """Render what is missing, ask of every record, print what came of it, by kind."""
    asked = open_asked(cfg, "classifiers", "clips", "classifier", NETS, load_classifier)
    clips, subsets, seed = cfg.folder / "clips", ("events", "still"), cfg.first_seed
    plan = SimulateConfig(clips, subsets, cfg.scenes, 2, width=64, height=64, first_seed=seed, evaluation=True, held_out=True)
    simulate(plan)
    pairs = [p for told, still in counterfactual_pairs(plan) for p in event_pairs(told, still)]

    def measure(name: str, net: Classifier) -> OwnAccuracy:
        own, kinds = measure_accuracy(net, pairs)
        for kind, (count, yes, no) in kinds.items():
            print(f"  {name}: {kind}: {count} records, yes {100 * yes:.0f} %, no {100 * no:.0f} %", flush=True)
        return own

    measure_each(cfg, "classifiers", "classifier", asked, measure)


def counterfactual_pairs(plan: SimulateConfig) -> Iterator[tuple[Clip, Clip]]:
    """The clips that ``plan`` left: each event, and the same without it."""
    for seed in range(plan.first_seed, plan.first_seed + plan.scenes):
        for index in range(plan.clips):
            told, still = (clip_path(plan, seed, subset, index) for subset in ("events", "still"))
            if told.exists() and still.exists():
                yield Clip.load(told), Clip.load(still)


def event_pairs(told: Clip, still: Clip) -> list[EventPair]:
    """Pair what is seen of each record in a clip and in the same clip without the event."""
    assert told.segments is not None
    assert still.segments is not None
    found: list[EventPair] = []
    everything = event_records(told)
    for record in everything:
        where, span = region([told.segments, still.segments], record.ids), (record.start, record.end)
        seen, other = (window(clip.video, where, span, told.fps) for clip in (told, still))
        found.append(EventPair(record.kind, seen, other, frozenset(r.kind for r in everything)))
    return found


def measure_accuracy(net: Classifier, pairs: list[EventPair]) -> tuple[OwnAccuracy, dict[str, tuple[int, float, float]]]:
    """All together, and by kind: how many records, yes to what happened, no to what did not. ValueError without any."""
    if not pairs:
        raise ValueError("there is no record to measure the classifier on")
    kinds = net.config.kinds
    with torch.inference_mode():
        yes = torch.cat([net(torch.stack([p.told for p in part])) for part in _parts(pairs)]) > 0
        fooled = torch.cat([net(torch.stack([p.still for p in part])) for part in _parts(pairs)]) > 0
    asked = torch.tensor([kinds.index(p.kind) for p in pairs])
    row = torch.arange(len(pairs))
    absent = torch.tensor([[k not in p.going_on for k in kinds] for p in pairs])
    right, wrong = yes[row, asked], fooled[row, asked]
    own = OwnAccuracy(
        len(pairs), float(right.float().mean()), float((~wrong).float().mean()), float((~yes[absent]).float().mean())
    )
    by_kind: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for pair, a, b in zip(pairs, right.tolist(), wrong.tolist(), strict=True):
        by_kind[pair.kind].append((a, not b))
    return own, {k: (len(v), fmean(a for a, _ in v), fmean(b for _, b in v)) for k, v in sorted(by_kind.items())}


def _parts(pairs: list[EventPair], size: int = 64) -> Iterator[list[EventPair]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def recognised(net: Classifier, video: Tensor, told: Clip, still: Clip) -> list[tuple[EventRecord, bool]]:
    """Pair each record of the story of ``told`` with whether it is seen in ``video``, uint8 ``[F, 3, H, W]`` of the same path.
    ValueError where it is of another path."""
    if video.shape != told.video.shape:
        raise ValueError(f"the video is {tuple(video.shape)} and the truth {tuple(told.video.shape)}; they must be of one path")
    assert told.segments is not None
    assert still.segments is not None
    asked = event_records(told)
    segments = [told.segments, still.segments]
    seen = [window(video, region(segments, r.ids), (r.start, r.end), told.fps) for r in asked]
    with torch.inference_mode():
        logits = net(torch.stack(seen))
    return [(r, bool(logits[i, net.config.kinds.index(r.kind)] > 0)) for i, r in enumerate(asked)]


def load_classifier(folder: Path) -> Classifier:
    """Load the classifier that the stage wrote. ValueError where it is not a classifier's folder."""
    return native.load(folder, "classifier", Classifier, ClassifierConfig).eval()


@lru_cache(maxsize=2)
def shipped_classifier(name: ShippedName) -> tuple[Classifier, OwnAccuracy]:
    """The classifier that tables use, or that for rewards, and its own accuracy, as it was measured by this command."""
    return load_classifier(NETS / name), read_own(NETS / name, OwnAccuracy)
