"""From rows to a report: means with intervals, curves by second, what failed. The same rows give the same report."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, geometric_mean

from dreamx import atomic
from dreamx.config import from_json, to_json
from dreamx.eval.metrics.backbones import STAND_INS
from dreamx.eval.metrics.bootstrap import BootstrapMean, bootstrap_mean
from dreamx.eval.metrics.columns import BY_STAND_INS, COLUMNS, PAPER, TABLES, Column, column, named_for
from dreamx.eval.metrics.measure import camera_estimator, own_error_of_estimator
from dreamx.eval.runner import EvalPlan, TrialRow
from dreamx.eval.speed import machine
from dreamx.plaintext import read_json
from dreamx.version import __version__


@dataclass(frozen=True)
class ReportInfo:
    """Subject of a report. ``models``: exact identities; ``measures``: backbone of each score, by name of the score.

    suite_hash: of all trials; only reports with equal ones may be compared. trials: how many, of ``whole``. size: height, width.
    """

    suite: str
    suite_version: int
    suite_seed: int
    suite_hash: str
    trials: int
    whole: int
    size: tuple[int, int]
    fps: float
    models: dict[str, str]
    measures: dict[str, str]
    command: str
    hardware: str
    dreamx: str
    simulator: str
    scores: str


@dataclass(frozen=True)
class Report:
    """table: by model, then score. curves: by model, then score, one mean a second. failed: by model, how many trials."""

    about: ReportInfo
    table: dict[str, dict[str, BootstrapMean]]
    curves: dict[str, dict[str, list[float | None]]]
    failed: dict[str, int]
    rows: list[TrialRow]

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all."""
        atomic.write_text(path, json.dumps(to_json(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> Report:
        """Read what ``save`` wrote, or ``report.json`` in a folder; ValueError names the file."""
        file = path / "report.json" if path.is_dir() else path
        try:
            return from_json(Report, read_json(file))
        except (OSError, ValueError) as e:
            why = str(e).removeprefix(f"{file}: ")
            raise ValueError(f"{file}: not a readable report ({why}); run the suite again") from e


def report_info(plan: EvalPlan, whole: int, measures: dict[str, str], command: str) -> ReportInfo:
    """Describe a plan that was run on this machine by ``command``, on some of the ``whole`` number of trials."""
    suite, view = plan.suite, plan.view
    return ReportInfo(
        suite=suite.name,
        suite_version=suite.version,
        suite_seed=suite.seed,
        suite_hash=suite.hash,
        trials=len(suite.trials),
        whole=whole,
        size=(view.height, view.width),
        fps=view.fps,
        models={m.name: m.identity for m in plan.models},
        measures=measures,
        command=command,
        hardware=machine(),
        dreamx=__version__,
        simulator=plan.code[0],
        scores=plan.code[1],
    )


def build_report(about: ReportInfo, rows: list[TrialRow]) -> Report:
    """Sum up. A score is averaged over the trials that have it; a curve over those that are as long as the longest.

    The curve of sharpness is one of ratios, so its mean is the geometric one: half as sharp and twice as sharp cancel out, and
    one plain wall in the truth does not drown all other trials.
    """
    table: dict[str, dict[str, BootstrapMean]] = {}
    curves: dict[str, dict[str, list[float | None]]] = {}
    for model in about.models:
        good = [r.measured for r in rows if r.model == model and not r.failed]
        names = list(dict.fromkeys(name for m in good for name in m.scores))
        table[model] = {name: bootstrap_mean([m.scores[name] for m in good if name in m.scores]) for name in names}
        curves[model] = {}
        for name in dict.fromkeys(name for m in good for name in m.curves):
            each = [m.curves[name] for m in good if name in m.curves]
            longest = [c for c in each if len(c) == max(map(len, each))]
            mean = geometric_mean if name.startswith("sharpness") else fmean
            seconds = ([v for v in second if v is not None] for second in zip(*longest, strict=True))
            curves[model][name] = [mean(second) if second else None for second in seconds]
    failed = {model: sum(bool(r.failed) for r in rows if r.model == model) for model in about.models}
    return Report(about, table, curves, failed, rows)


def table_layout(whole: Report) -> list[tuple[str, tuple[Column, ...]]]:
    """The tables of a report: a title, and the columns that any of its models has; stand-ins under names of their own."""
    there = {name for scores in whole.table.values() for name in scores}
    more = tuple(column(name) for name in sorted(there) if name not in COLUMNS)
    used = stand_in_columns(whole)
    tables: list[tuple[str, tuple[Column, ...]]] = []
    for title, columns in (*TABLES, ("more", more)):
        paper = columns[: len(PAPER)] == PAPER
        known = tuple(c for c in columns if paper or c.score in there)
        if any(c.score in there for c in known):
            own = paper and any(c.tool in used for c in known)
            tables.append((BY_STAND_INS if own else title, named_for(known, used)))
    return tables


def stand_in_columns(whole: Report) -> set[str]:
    """Return the fields of ``Backbones`` that were stand-ins, and those that an older report did not know of."""
    return {name for name, what in STAND_INS.items() if whole.about.measures.get(name, what) == what}


def camera_readers(rows: list[TrialRow]) -> dict[str, str]:
    """Return the estimator of cameras by flow, and its own error on the true renders among these rows."""
    truths = [r.measured for r in rows if r.model == "truth" and not r.failed]
    return {"sight": camera_estimator(), "sight itself": own_error_of_estimator(truths)}


def all_failed(rows: list[TrialRow]) -> str:
    """A sentence with the first reason where a model could do no trial at all, or ``""``."""
    for model in dict.fromkeys(r.model for r in rows):
        mine = [r for r in rows if r.model == model]
        if all(r.failed for r in mine):
            return f"all {len(mine)} trials of {model} failed; the first, {mine[0].trial}: {mine[0].failed}"
    return ""


def fail_if_all_failed(whole: Report) -> None:
    """Exit code 1, and the first reason, where a model could do no trial at all. The report is written by then."""
    if why := all_failed(whole.rows):
        print(why, file=sys.stderr)
        raise SystemExit(1)


def by_path(whole: Report, score: str) -> dict[str, dict[str, float]]:
    """Mean of a score, by kind of path, then model."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in whole.rows:
        if not row.failed and score in row.measured.scores:
            found.setdefault(row.path, {}).setdefault(row.model, []).append(row.measured.scores[score])
    return {path: {m: sum(v) / len(v) for m, v in models.items()} for path, models in found.items()}
