"""Scores of all frames of a model together, against true renders of the same places: the tables of sets of the suite hold.

A group is a kind of place in a look, a home place or open ground. Two frames a second of all films of the group are compared with
true renders of it from random free poses (``suites.reference_features``); a score is a mean over groups.
"""

from __future__ import annotations

import torch

from dreamx.eval import video_files
from dreamx.eval.metrics.bootstrap import BootstrapMean, bootstrap_mean
from dreamx.eval.metrics.hold import comparable, described
from dreamx.eval.metrics.manifold import density_coverage, kernel_distance, precision_recall
from dreamx.eval.models import VideoModel
from dreamx.eval.progress import Progressing
from dreamx.eval.runner import EvalPlan, film_file
from dreamx.eval.suites.reference_features import reference_features
from dreamx.eval.suites.suite import Trial

_SECONDS = 0.5  # between frames
_FEWEST = 12  # frames that a group must have


def frame_set_scores(plan: EvalPlan) -> dict[str, dict[str, BootstrapMean]]:
    """Precision, recall, density, coverage and kernel distance by model, of all films of a run of the suite hold."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in plan.suite.trials:
        groups.setdefault((trial.kind, trial.style), []).append(trial)
    found: dict[str, dict[str, list[float]]] = {model.name: {} for model in plan.models}
    done = 0
    with Progressing("comparing", len(groups), lambda: (done, "")):
        for (kind, style), trials in groups.items():
            embed = plan.tools.features_of()
            for model in plan.models:
                frames = _frames(plan, model, trials)
                if len(frames) >= _FEWEST:
                    reference = reference_features(kind, style, plan.view, embed, plan.truth)
                    x, truth = comparable(described(frames, embed[1]), reference)
                    precision, recall = precision_recall(x, truth)
                    density, coverage = density_coverage(x, truth)
                    distance = kernel_distance(x, truth)
                    where = trials[0].path.partition("-")[0]
                    named = zip(
                        ("precision", "recall", "density", "coverage", "kernel distance"),
                        (100 * precision, 100 * recall, density, 100 * coverage, distance),
                        strict=True,
                    )
                    for name, value in named:
                        found[model.name].setdefault(f"{where} {name}", []).append(value)
            done += 1
    return {model: {name: bootstrap_mean(values) for name, values in scores.items()} for model, scores in found.items()}


def _frames(plan: EvalPlan, model: VideoModel, trials: list[Trial]) -> torch.Tensor:
    """uint8 ``[N, 3, H, W]`` of all films of these trials that there are; frame 0 was given."""
    every = max(1, round(_SECONDS * plan.view.fps))
    files = [file for trial in trials if (file := film_file(plan, model, trial)).is_file()]
    if not files:
        return torch.zeros(0, 3, plan.view.height, plan.view.width, dtype=torch.uint8)
    return torch.cat([video_files.load_video(file).video[every::every] for file in files])
