"""The report as one HTML page that needs nothing else: tables, curves, and for each trial the video beside the truth."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources

from dreamx.eval import films
from dreamx.eval.report import Report
from dreamx.eval.runner import Plan, film_file


def html(report: Report, plan: Plan, shown: int) -> str:
    """The page; the first ``shown`` trials with their videos."""
    about = report.about
    parts = [
        f"<h1>{escape(about.suite)}</h1>",
        _table(report),
        *(_trial(report, plan, n) for n in range(min(shown, about.trials))),
    ]
    shell = (resources.files("dreamx") / "eval" / "page.html").read_text(encoding="utf-8")
    return shell.replace("%TITLE%", escape(f"dreamx eval {about.suite}")).replace("%BODY%", "\n".join(parts))


def _table(report: Report) -> str:
    names = list(dict.fromkeys(n for scores in report.table.values() for n in scores))
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = [
        f"<tr><th>{escape(m)}</th>" + "".join(f"<td>{s[n].mean:.2f}</td>" if n in s else "<td>-</td>" for n in names) + "</tr>"
        for m, s in report.table.items()
    ]
    return f"<div class=wide><table><tr><th></th>{head}</tr>{''.join(rows)}</table></div>"


def _trial(report: Report, plan: Plan, number: int) -> str:
    trial = plan.suite.trials[number]
    cells: list[str] = []
    for model in plan.models:
        file = film_file(plan, model, trial)
        row = next(r for r in report.rows if r.model == model.name and r.trial == trial.id)
        if row.failed or not file.exists():
            cells.append(f"<figure><figcaption>{escape(model.name)}: {escape(row.failed)}</figcaption></figure>")
            continue
        data = base64.b64encode(films.small(films.load(file).video, plan.view.fps)).decode()
        source = f"data:video/mp4;base64,{data}"
        words = f"{escape(model.name)} {row.measured.scores['psnr']:.1f} dB"
        cells.append(f'<figure><video src="{source}" muted loop playsinline></video><figcaption>{words}</figcaption></figure>')
    return f"<section><h3>{escape(trial.id)}</h3><p>{escape(trial.prompt)}</p><div class=films>{''.join(cells)}</div></section>"
