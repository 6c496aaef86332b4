"""Stage: train a classifier of events (``eval.estimators.events``) on clips with an event, and the same clips without it.

A batch is rows of three: a record's window where it happens; the same window of the clip without the event; and a window of
another time of the clip, where it does not happen yet or no more. Dreams are neither sharp nor steady: half of the windows are
blurred, some are noisy, and in some the picture fades as time goes on. None of that is an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import BatchSize, InputFolder, NonNegativeFloat, PositiveFloat, Probability
from dreamx.clip import Clip, refuse_held_out
from dreamx.data.clip_list import clip_files
from dreamx.eval.estimators.events.event_classifier import Classifier, ClassifierConfig
from dreamx.eval.estimators.events.records import SCENIC, EventRecord, event_records
from dreamx.eval.estimators.events.window import SLACK, region, window
from dreamx.train.augment import degrade
from dreamx.train.model_card import ScoringStage, write_card
from dreamx.train.outputs import claim
from dreamx.train.run import Run


@dataclass(frozen=True)
class ClassifierStage(ScoringStage):
    """Train a classifier of events."""

    data: InputFolder
    """Folder of the subsets events and still of ``dreamx data simulate``."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """Sizes of the network."""
    batch: BatchSize = 24
    """Records in a step, three windows of each."""
    lr: PositiveFloat = 1.5e-3
    """Peak learning rate."""
    others: NonNegativeFloat = 1.0
    """Weight of all the kinds that are not asked for, together."""
    vary: NonNegativeFloat = 0.12
    """How much colours are varied."""
    spoil: Probability = 0.5
    """Probability of blurring a record's pictures; half of it of fading them, or of noise."""


@dataclass(frozen=True)
class Example:
    """A record, with the videos uint8 ``[F, 3, H, W]`` in which it happens and does not, where its thing is ``[F, H, W]``, and
    all records of the clip."""

    record: EventRecord
    told: Tensor
    still: Tensor
    where: Tensor
    fps: float
    everything: tuple[EventRecord, ...]


@dataclass(frozen=True)
class Batch:
    """``windows [N, T, 4, S, S]``, ``answers [N, kinds]`` 0 or 1, and how much each counts, ``weight [N, kinds]``."""

    windows: Tensor
    answers: Tensor
    weight: Tensor


def main(cfg: ClassifierStage) -> None:
    """Train, and write ``cfg.out``."""
    claim(cfg, "classifier", ["classifier"], [cfg.data])
    run = Run(cfg.run)  # first of all: it seeds
    net = run.own(Classifier(cfg.classifier), cfg.lr, name="classifier")
    by_kind, clips = load_examples(cfg.data, range(cfg.first_seed, cfg.end_seed))
    for now in run.steps(lambda step: draw(by_kind, cfg, run.generator(step))):
        logits = net(now.windows)
        each = F.binary_cross_entropy_with_logits(logits, now.answers, reduction="none")
        asked = now.weight == 1
        right = ((logits > 0) == (now.answers > 0.5))[asked].float().mean()
        # A mean over what was asked, however many windows were dropped.
        run.update(net, (each * now.weight).sum() / asked.sum(), {"right": right})
    run.export(cfg.out, {"classifier": (net, net.config)}, {"classifier": 8})
    write_card(run, cfg.out, (cfg.first_seed, cfg.end_seed), clips, cfg.batch)


def load_examples(folder: Path, seeds: range) -> tuple[dict[str, list[Example]], int]:
    """Load the records of these scenes by kind (a clip's file is named after its scene), and count their clips.

    ValueError when there are none, or a clip is not there without its event.
    """
    found: dict[str, list[Example]] = {}
    files = [f for f in clip_files(folder) if "_events_" in f.name and int(f.stem.split("_")[0]) in seeds]
    for path in files:
        without = path.with_name(path.name.replace("_events_", "_still_"))
        if not without.is_file():
            raise ValueError(f"{path}: {without.name} is not beside it; simulate the subsets events and still together")
        told, still = Clip.load(path), Clip.load(without)
        refuse_held_out(told.seed)
        if told.segments is None or still.segments is None:
            raise ValueError(f"{path}: clips with segments are needed; simulate them again")
        everything = tuple(event_records(told))
        for record in everything:
            where = region([told.segments, still.segments], record.ids)
            found.setdefault(record.kind, []).append(Example(record, told.video, still.video, where, told.fps, everything))
    if not found:
        raise ValueError(f"{folder}: no event of scenes {seeds.start} to {seeds.stop - 1}; simulate some, or choose other seeds")
    return found, len(files)


def draw(by_kind: dict[str, list[Example]], cfg: ClassifierStage, rng: torch.Generator) -> Batch:
    """``cfg.batch`` records, all kinds equally often, three windows of each; a pure function of ``rng``.

    One answer of a window counts whole, that to the record's own kind; of the others only what surely is not there. A window of
    another time that meets the record all the same does not count at all.
    """
    kinds, answered = sorted(by_kind), cfg.classifier.kinds
    windows: list[Tensor] = []
    fades: list[bool] = []
    answers = torch.zeros(3 * cfg.batch, len(answered))
    weight = torch.full_like(answers, cfg.others / len(answered))  # all other kinds together count as one, by default
    for row in range(0, 3 * cfg.batch, 3):
        of_kind = by_kind[kinds[int(torch.randint(len(kinds), (1,), generator=rng))]]
        example = of_kind[int(torch.randint(len(of_kind), (1,), generator=rng))]
        record, own = example.record, answered.index(example.record.kind)
        # Jitter of time, place and size: at play the event is not exactly where and when the truth has it.
        early, late, right, down, scale = (torch.rand(5, generator=rng) - 0.5).tolist()
        then, elsewhen = (record.start + 0.2 * early, record.end + 0.2 * late), _elsewhen(example, rng)
        for video, span in ((example.told, then), (example.still, then), (example.told, elsewhen)):
            windows.append(window(video, example.where, span, example.fps, (0.2 * right, 0.2 * down), 1.1 + 0.4 * scale))
            fades.append(record.kind not in SCENIC)  # a change of light or weather is a fade itself
        for at, span in ((row, then), (row + 2, elsewhen)):
            for other in example.everything:  # who knows how much of it is in the cut-out
                if _meet(other, span):
                    weight[at, answered.index(other.kind)] = 0.0
        answers[row, own] = 1.0
        weight[row : row + 2, own] = 1.0
        if weight[row + 2, own] == 0:
            weight[row + 2] = 0.0
        else:
            weight[row + 2, own] = 1.0
    return Batch(degrade(torch.stack(windows), torch.tensor(fades), cfg.spoil, cfg.vary, rng), answers, weight)


def _meet(record: EventRecord, span: tuple[float, float]) -> bool:
    return record.start - SLACK < span[1] and span[0] < record.end + SLACK


def _elsewhen(example: Example, rng: torch.Generator) -> tuple[float, float]:
    """A span as long as the record's somewhere else in the clip; where there is no room it meets it, and does not count."""
    record, seconds = example.record, (len(example.told) - 1) / example.fps
    long = record.end - record.start
    start = float(torch.rand(1, generator=rng)) * max(seconds - long, 0.0)
    return start, start + long
