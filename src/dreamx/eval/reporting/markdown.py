"""The tables of a report as Markdown, to be read in a repository."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

from dreamx.eval.metrics.bootstrap import BootstrapMean
from dreamx.eval.metrics.columns import HOLD_CURVES, HOLD_PATHS, OVERALL, PAPER, STILL, Column, cell
from dreamx.eval.reporting.published import NOT_COMPARABLE, PUBLISHED, PUBLISHED_TITLE
from dreamx.eval.reporting.report import Report, stand_in_columns, table_layout


def report_markdown(report: Report) -> str:
    """Headline, tables, what they were taken with, what failed, how it was made."""
    about = report.about
    lines = [f"# {about.suite} suite, {about.trials} of {about.whole} trials", "", f"    {about.command}", ""]
    lines += [
        f"Suite seed {about.suite_seed}, hash {about.suite_hash}; {about.hardware}. Means over trials ± half of their interval"
    ]
    lines += ["of 95 % (bootstrap over trials).", ""]
    for title, columns in table_layout(report):
        lines += [f"## {title.capitalize()}", "", *_table(report, columns), ""]
    lines += _published(report)
    lines += _by_second(report)
    lines += ["## What the scores are taken with", ""]
    lines += [f"- {name}: {what}" for name, what in about.measures.items()]
    failed = [r for r in report.rows if r.failed]
    lines += ["", f"## Failed: {len(failed)} of {len(report.rows)}", "", *(f"- {r.model}, {r.trial}: {r.failed}" for r in failed)]
    return "\n".join(lines).rstrip() + "\n"


def _table(report: Report, columns: tuple[Column, ...]) -> list[str]:
    marked = stand_in_columns(report)
    heads = [c.head + ("†" if c.tool in marked else "") + (" ↓" if c.better < 0 else "") for c in columns]
    lines = _lines(heads, {model: [_value(scores, c) for c in columns] for model, scores in report.table.items()})
    notes = ["↓ less is better."] if any(c.better < 0 for c in columns) else []
    notes += ["† taken with a stand-in, named below."] if any(c.tool in marked for c in columns) else []
    notes += [STILL] if any(c.score == "artifact" for c in columns) else []
    said = "; ".join(f"{c.head}: {c.says}" for c in columns)
    return [*lines, "", " ".join([*notes, f"{said}."])]


def _published(report: Report) -> list[str]:
    rows = PUBLISHED.get(report.about.suite, ())
    if not rows:
        return []
    figures = {f"*{r.model} ({r.size})*": [f"*{x:.2f}*" for x in (*r.scores, r.overall)] for r in rows}
    lines = _lines([c.head for c in (*PAPER, OVERALL)], figures)
    return [f"## {PUBLISHED_TITLE}", "", *lines, "", NOT_COMPARABLE, ""]


def _by_second(report: Report) -> list[str]:
    """Tables of the suite hold: how a walk goes on, in spans of seconds, a row for each path and model."""
    lines: list[str] = []
    for name, what in HOLD_CURVES.items():
        if name not in _SPANNED:
            continue
        rows: dict[str, list[str]] = {}
        for path, words in HOLD_PATHS.items():
            for model, curves in report.curves.items():
                curve = curves.get(f"{name} {path}", [])
                spans = ([v for v in curve[a:b] if v is not None] for a, b in pairwise(_SPANS))
                if curve:
                    rows[f"{words}: {model}"] = [f"{fmean(s):.{_SPANNED[name]}f}" if s else "-" for s in spans]
        if rows:
            heads = [f"{a} to {b} s" for a, b in pairwise(_SPANS)]
            lines += [f"## By second: {what}", "", *_lines(heads, rows), ""]
    return lines


_SPANS = (0, 5, 10, 15, 20, 30, 45, 60)  # seconds
_SPANNED = {"alive": 0, "psnr unseen": 1, "sharpness": 2}  # digits


def _lines(heads: list[str], rows: dict[str, list[str]]) -> list[str]:
    lines = ["| | " + " | ".join(heads) + " |", "|---" + "|---:" * len(heads) + "|"]
    return lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]


def _value(scores: dict[str, BootstrapMean], c: Column) -> str:
    return cell(scores[c.score], c.digits) if c.score in scores else "-"
