"""``dreamx eval compare``: which differences between two reports are larger than the noise.

Trials are compared in pairs, the same trial by the same scores, so that what makes one trial harder than another cancels out. A
difference counts when the interval of 95 % of its mean (bootstrap over trials) does not hold 0. Of twenty differences that are
none, one will look like one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from dreamx.bounds import InputFolder
from dreamx.eval.metrics.bootstrap import resample_means
from dreamx.eval.metrics.columns import column
from dreamx.eval.reporting.report import Report
from dreamx.eval.runner import TrialRow
from dreamx.eval.suites.suite import Suite

_FEW = 12  # trials: with fewer a bootstrap is too sure


@dataclass(frozen=True)
class CompareConfig:
    """Two reports, or two models of one report."""

    a: tyro.conf.Positional[InputFolder]
    """A folder that dreamx eval has written a report to."""
    b: tyro.conf.Positional[InputFolder]
    """Another, of the same suite; or the same once more, for another model of it."""
    model: str = "ours"
    """Whose rows of the first."""
    with_model: str | None = None
    """Whose rows of the second; the same without."""


@dataclass(frozen=True)
class Difference:
    """Difference of one score: the means over the trials that both have, ``b - a``, its interval, and does that leave out 0."""

    score: str
    a: float
    b: float
    low: float
    high: float
    trials: int

    @property
    def real(self) -> bool:
        """Larger than the noise."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """Say in words which is better, or that it is within the noise."""
        better = column(self.score).better
        if not self.real:
            return "within the noise"
        return "differs" if not better else "B is better" if better * (self.low + self.high) > 0 else "B is worse"


def main(cfg: CompareConfig) -> None:
    """Print every score of both, and what to make of the difference. ValueError when they cannot be compared."""
    a, b = read_report(cfg.a), read_report(cfg.b)
    other = cfg.with_model or cfg.model
    found, notes = compare_reports(a, b, cfg.model, other)
    table = Table(title=f"{a.about.suite}: A is {cfg.model} of {cfg.a}, B is {other} of {cfg.b}")
    for head in ("", "A", "B", "B - A", "95 %", "trials", ""):
        table.add_column(head, justify="right" if head else "left")
    for d in found:
        digits = column(d.score).digits
        interval = f"{d.low:+.{digits}f} to {d.high:+.{digits}f}"
        means = (f"{d.a:.{digits}f}", f"{d.b:.{digits}f}", f"{d.b - d.a:+.{digits}f}")
        table.add_row(column(d.score).head, *means, interval, str(d.trials), d.verdict)
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def read_report(folder: Path) -> Report:
    """The report of a folder. ValueError when its suite is not the one it says: somebody changed the file."""
    whole = Report.load(folder)
    suite = folder / "suite.json"
    if folder.is_dir() and suite.is_file() and (got := Suite.load(suite).hash) != whole.about.suite_hash:
        raise ValueError(f"{suite}: its hash is {got} where the report says {whole.about.suite_hash}; run the suite again")
    return whole


def compare_reports(a: Report, b: Report, model: str, other: str) -> tuple[list[Difference], list[str]]:
    """Every score that both have, taken with the same tools, and notes on what was left out.

    ValueError: other suites, another truth, a model that is not there, no trial in common.
    """
    if a.about.suite_hash != b.about.suite_hash:
        raise ValueError(
            f"the suites differ ({_suite(a)} and {_suite(b)}), so nothing can be compared; run both on the same trials"
        )
    for whole, name in ((a, model), (b, other)):
        if name not in whole.about.models:
            raise ValueError(f"model: {name!r} is not in the report; it has {', '.join(whole.about.models)}")
    left, right = _good(a, model), _good(b, other)
    both = [t for t in left if t in right]
    if not both:
        raise ValueError("no trial went well in both reports; see what failed in report.json")
    if odd := [t for t in both if left[t].truth != right[t].truth]:
        raise ValueError(f"the true renders differ, as of trial {odd[0]}: another simulator drew them; run both here")
    notes: list[str] = []
    if dropped := max(len(left), len(right)) - len(both):
        notes.append(f"{dropped} trials that failed in one of them are left out")
    if len(both) < _FEW:
        notes.append(f"{len(both)} trials are few: the intervals are narrower than they should be")
    if a.about.scores != b.about.scores:
        notes.append("the code of the scores differs between the reports; run both again to be sure")
    found: list[Difference] = []
    for score in left[both[0]].measured.scores:
        tool = column(score).tool
        used = [m if score == "overall" else m.get(tool) for m in (a.about.measures, b.about.measures)]
        if used[0] != used[1]:
            notes.append(f"{column(score).head} is left out: it was not taken with the same tool in both")
            continue
        pairs = [(left[t].measured.scores.get(score), right[t].measured.scores.get(score)) for t in both]
        known = torch.tensor([(x, y) for x, y in pairs if x is not None and y is not None], dtype=torch.float64)
        if len(known):
            means = resample_means(known[:, 1] - known[:, 0])
            low, high = (float(means.quantile(q)) for q in (0.025, 0.975))
            found.append(Difference(score, float(known[:, 0].mean()), float(known[:, 1].mean()), low, high, len(known)))
    return found, notes


def _good(whole: Report, model: str) -> dict[str, TrialRow]:
    return {r.trial: r for r in whole.rows if r.model == model and not r.failed}


def _suite(whole: Report) -> str:
    about = whole.about
    return f"{about.suite} of {about.trials} trials, seed {about.suite_seed}, {about.suite_hash}"
