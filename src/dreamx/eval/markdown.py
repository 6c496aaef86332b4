"""The tables of a report as Markdown, to be read in a repository."""

from __future__ import annotations

from dreamx.eval.columns import PAPER, Column, cell
from dreamx.eval.paper import PUBLISHED
from dreamx.eval.report import Report, layout
from dreamx.eval.tools import STAND_INS


def markdown(report: Report) -> str:
    """Headline, tables, what they were taken with, what failed, how it was made."""
    about = report.about
    lines = [f"# {about.suite} suite, {about.trials} of {about.whole} trials", "", f"    {about.command}", ""]
    lines += [
        f"Suite seed {about.suite_seed}, hash {about.suite_hash}; {about.hardware}. Means over trials ± half of their interval"
    ]
    lines += ["of 95 % (bootstrap over trials).", ""]
    for title, columns in layout(report):
        lines += [f"## {title.capitalize()}", "", *_table(report, columns), ""]
    lines += ["## What the scores are taken with", ""]
    lines += [f"- {name}: {what}" for name, what in about.measures.items()]
    failed = [r for r in report.rows if r.failed]
    lines += ["", f"## Failed: {len(failed)} of {len(report.rows)}", "", *(f"- {r.model}, {r.trial}: {r.failed}" for r in failed)]
    return "\n".join(lines).rstrip() + "\n"


def _table(report: Report, columns: tuple[Column, ...]) -> list[str]:
    paper = columns[: len(PAPER)] == PAPER and report.about.suite in PUBLISHED
    stand_in = {c.score for c in columns if c.tool in STAND_INS and report.about.measures[c.tool] == STAND_INS[c.tool]}
    heads = [c.head + ("†" if c.score in stand_in else "") + (" ↓" if c.better < 0 else "") for c in columns]
    lines = ["| | " + " | ".join(heads) + " |", "|---" + "|---:" * len(columns) + "|"]
    for model, scores in report.table.items():
        cells = (cell(scores[c.score], c.digits) if c.score in scores else "-" for c in columns)
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    if paper:
        for row in PUBLISHED[report.about.suite]:
            lines.append(
                f"| *{row.model} ({row.size})* \\* | " + " | ".join(f"*{x:.2f}*" for x in (*row.scores, row.overall)) + " |"
            )
        lines += [
            "",
            "\\* published in DreamX-World 1.0: measured by others, on other data, with other networks. Not comparable.",
        ]
    notes = ["↓ less is better."] if any(c.better < 0 for c in columns) else []
    notes += ["† taken with a stand-in, named below."] if stand_in else []
    said = "; ".join(f"{c.head}: {c.says}" for c in columns)
    return [*lines, "", " ".join([*notes, f"{said}."])]
