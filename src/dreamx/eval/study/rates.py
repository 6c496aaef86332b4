"""Statistics of the answers: shares of wins, ties and losses of A, their intervals, and agreement of people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dreamx.eval.study.answers import QUESTIONS, Answer

_DRAWS = 2000


@dataclass(frozen=True)
class Rate:
    """A share in percent, and the interval that holds 95 % of the bootstrap."""

    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class PreferenceRates:
    """A's wins, ties and losses of one question; ``agreement``: Krippendorff's alpha, None where no trial has two answers."""

    win: Rate
    tie: Rate
    lose: Rate
    agreement: float | None


@dataclass(frozen=True)
class Rates:
    """Rates by question. ``left``: how often the left video was preferred, in percent of all that was no tie: 50 is fair."""

    verdicts: dict[str, PreferenceRates]
    answers: int
    people: int
    trials: int
    left: float | None


def rates(answers: Sequence[Answer], seed: int = 0) -> Rates:
    """ValueError without answers. Intervals draw trials and keep each with all its answers: answers to one trial are alike."""
    if not answers:
        raise ValueError("there are no answers yet")
    names = sorted({a.trial for a in answers})
    verdicts: dict[str, PreferenceRates] = {}
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(names), size=(_DRAWS, len(names)))
    for question in QUESTIONS:
        counts = np.zeros((len(names), 3))
        for a in answers:
            counts[names.index(a.trial), 1 - a.verdict(question)] += 1
        shares = counts[drawn].sum(1)
        shares = 100 * shares / shares.sum(1, keepdims=True)
        mean = 100 * counts.sum(0) / counts.sum()
        low, high = np.percentile(shares, [2.5, 97.5], axis=0)
        win, tie, lose = (Rate(float(m), float(x), float(y)) for m, x, y in zip(mean, low, high, strict=True))
        verdicts[question] = PreferenceRates(win, tie, lose, alpha(answers, question))
    sides = [choice for a in answers for choice in a.said.values() if choice != "tie"]
    left = 100 * sides.count("left") / len(sides) if sides else None
    return Rates(verdicts, len(answers), len({a.person for a in answers}), len(names), left)


def alpha(answers: Sequence[Answer], question: str) -> float | None:
    """Krippendorff's alpha of win, tie, lose as steps of a scale: 1 all agree, 0 as by chance, below: they disagree on purpose.

    Differences count squared (a win against a loss four times a win against a tie). 1 when everybody always says the same.
    """
    by_trial: dict[str, list[int]] = defaultdict(list)
    for a in answers:
        by_trial[a.trial].append(a.verdict(question))
    several = [said for said in by_trial.values() if len(said) > 1]
    if not several:
        return None
    values = np.array([v for said in several for v in said], dtype=float)
    n = len(values)
    seen = sum(_squares(np.array(said, dtype=float)) / (len(said) - 1) for said in several) / n
    chance = _squares(values) / (n * (n - 1))
    return 1.0 if chance == 0 else float(1 - seen / chance)


def _squares(x: np.ndarray) -> float:
    """The sum of squared differences over all ordered pairs."""
    return float(((x[:, None] - x[None]) ** 2).sum())


def table(found: Rates, a: str, b: str) -> str:
    """Return the rates as a table for the terminal."""
    lines = [
        f"{a} against {b}: {found.answers} answers, {found.people} people, {found.trials} trials",
        f"{'':10} {'win':>20} {'tie':>20} {'lose':>20}   agreement",
    ]
    for question, v in found.verdicts.items():
        cells = " ".join(f"{f'{r.percent:.1f} [{r.low:.1f}, {r.high:.1f}]':>20}" for r in (v.win, v.tie, v.lose))
        lines.append(f"{question:10} {cells}   {'-' if v.agreement is None else f'{v.agreement:.2f}'}")
    if found.left is not None:
        lines.append(f"the left video was preferred in {found.left:.1f} % of all answers that were no tie (50 is fair)")
    return "\n".join(lines)
