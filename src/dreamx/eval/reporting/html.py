"""The report as one HTML page that needs nothing else: tables, curves, and for each trial the video beside the truth."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources
from pathlib import Path

from dreamx import atomic
from dreamx.eval import video_files
from dreamx.eval.metrics.columns import CURVES, OVERALL, PAPER, STILL, Column, cell
from dreamx.eval.reporting import svg
from dreamx.eval.reporting.contact_sheet import Strip, contact_sheet
from dreamx.eval.reporting.published import NOT_COMPARABLE, PUBLISHED, PUBLISHED_TITLE
from dreamx.eval.reporting.report import Report, by_path, stand_in_columns, table_layout
from dreamx.eval.runner import EvalPlan, TrialRow, film_file
from dreamx.eval.suites.ground_truth import true_clip
from dreamx.eval.suites.suite import Trial


def report_html(report: Report, plan: EvalPlan, shown: int) -> str:
    """The page; the first ``shown`` trials with their videos."""
    about = report.about
    part = f"The first {about.trials} of {about.whole} trials" if about.trials < about.whole else f"{about.trials} trials"
    parts = [
        f"<h1>{escape(about.suite)} suite</h1>",
        f"<p><code>{escape(about.command)}</code></p>",
        f'<p class="note">Suite seed {about.suite_seed}, hash {about.suite_hash}; {escape(about.hardware)}.</p>',
        f"<p>{part}, {about.size[1]} x {about.size[0]} pixels, {about.fps:g} frames a second. Every figure is a mean over"
        " trials; after ± half of its interval of 95 % (bootstrap over trials).</p>",
        *(_table(report, title, columns) for title, columns in table_layout(report)),
        _published(report),
        _tools(report),
        _drift(report),
        _paths(report),
        _failures(report),
        "<h2>Trials</h2><p>Videos of a trial play together; touch one to stop or go on. The path is seen from above, the start"
        " looks up; ticks are where the camera looks.</p>"
        if shown
        else "",
        *(_trial(report, plan, trial) for trial in plan.suite.trials[:shown]),
        _about(report),
    ]
    shell = (resources.files("dreamx") / "eval" / "reporting" / "page.html").read_text(encoding="utf-8")
    return shell.replace("%TITLE%", escape(f"dreamx eval {about.suite}")).replace("%BODY%", "\n".join(p for p in parts if p))


def report_sheet(report: Report, plan: EvalPlan, shown: int, moments: tuple[float, ...], out: Path) -> None:
    """A picture: the first model at these seconds above the truth, a strip for each of the first ``shown`` trials it can do."""
    model = plan.models[0]
    failed = {r.trial for r in report.rows if r.model == model.name and r.failed}
    strips: list[Strip] = []
    for trial in plan.suite.trials[:shown]:
        if trial.id in failed:
            continue
        at = [min(round(second * plan.view.fps), trial.frames - 1) for second in moments]
        video, truth = video_files.load_video(film_file(plan, model, trial)).video, true_clip(trial, plan.view, plan.truth).video
        strips.append(Strip(f"{trial.id} ({trial.style} {trial.kind})", [i / plan.view.fps for i in at], video[at], truth[at]))
    if strips:
        with atomic.whole(out) as temporary:
            contact_sheet(strips).save(temporary, format="PNG", optimize=True)


def _table(report: Report, title: str, columns: tuple[Column, ...]) -> str:
    marked = stand_in_columns(report)
    rows: list[str] = []
    for number, (model, scores) in enumerate(report.table.items()):
        cells = "".join(_cell(cell(scores[c.score], c.digits)) if c.score in scores else "<td>-</td>" for c in columns)
        rows.append(f'<tr><th><b class="key c{number}"></b>{escape(model)}</th>{cells}</tr>')
    notes = ["† a stand-in, named below."] if any(c.tool in marked for c in columns) else []
    notes += ["↓ less is better."] if any(c.better < 0 for c in columns) else []
    notes += [STILL] if any(c.score == "artifact" for c in columns) else []
    said = "".join(f"<li><b>{escape(c.head)}</b>: {escape(c.says)}</li>" for c in columns)
    meant = f"<details><summary>What the columns mean</summary><ul>{said}</ul></details>"
    return _framed(title.capitalize(), _heads(columns, marked), rows, escape(" ".join(notes))) + meant


def _published(report: Report) -> str:
    """Render published scores of others, in a table of its own."""
    rows = [
        f'<tr class="published"><th>{escape(row.model)} ({row.size})</th>'
        + "".join(f"<td>{x:.2f}</td>" for x in (*row.scores, row.overall))
        + "</tr>"
        for row in PUBLISHED.get(report.about.suite, ())
    ]
    return _framed(PUBLISHED_TITLE, _heads((*PAPER, OVERALL), set()), rows, NOT_COMPARABLE) if rows else ""


def _heads(columns: tuple[Column, ...], marked: set[str]) -> str:
    heads: list[str] = []
    for c in columns:
        marks = ("†" if c.tool in marked else "") + ("<i> ↓</i>" if c.better < 0 else "")
        heads.append(f'<th title="{escape(c.says)}">{escape(c.head)}{marks}</th>')
    return "".join(heads)


def _framed(title: str, heads: str, rows: list[str], note: str) -> str:
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p class="note">{note}</p>'
    )


def _cell(text: str) -> str:
    mean, _, spread = text.partition(" ")
    return f"<td>{mean} <small>{spread}</small></td>"


def _tools(report: Report) -> str:
    items = "".join(f"<li>{escape(name)}: {escape(what)}</li>" for name, what in report.about.measures.items())
    return f"<details><summary>What the scores are taken with</summary><ul>{items}</ul></details>"


def _drift(report: Report) -> str:
    charts: list[str] = []
    for score, what in CURVES.items():
        # The truth is a straight line, and PSNR's of 99 dB would flatten all others; how much of it is alive is a ceiling.
        lines = {m: c[score] if m != "truth" or score.startswith("alive") else [] for m, c in report.curves.items() if score in c}
        if any(lines.values()):
            charts.append(f"<figure><figcaption>{escape(what)}</figcaption>{svg.curve_chart(lines, what)}</figure>")
    keys = "".join(f'<span><b class="key c{i}"></b>{escape(m)}</span>' for i, m in enumerate(report.curves) if m != "truth")
    return f'<h2>Drift by second</h2><p class="keys">{keys}</p><div class="charts">{"".join(charts)}</div>' if charts else ""


def _paths(report: Report) -> str:
    table = by_path(report, "psnr")
    if not table:
        return ""
    models = [m for m in report.about.models if m != "truth"]
    heads = "".join(f"<th>{escape(m)}</th>" for m in models)
    rows = "".join(
        f"<tr><th>{escape(path)}</th>" + "".join(f"<td>{m[k]:.2f}</td>" if k in m else "<td>-</td>" for k in models) + "</tr>"
        for path, m in table.items()
    )
    return (
        f'<h2>PSNR by path</h2><div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _failures(report: Report) -> str:
    failed = [r for r in report.rows if r.failed]
    if not failed:
        return ""
    items = "".join(f"<li>{escape(r.model)}, {escape(r.trial)}: {escape(r.failed)}</li>" for r in failed)
    return f"<h2>Failed: {len(failed)} of {len(report.rows)}</h2><ul>{items}</ul>"


def _trial(report: Report, plan: EvalPlan, trial: Trial) -> str:
    rows = {r.model: r for r in report.rows if r.trial == trial.id}
    cells = [_film(plan, trial, rows[model.name], model.name) for model in plan.models]
    try:
        path = svg.path_plan(true_clip(trial, plan.view, plan.truth).camera)
    except ValueError:  # the trial has failed, and says so
        path = ""
    said = "".join(f"<br>at {s.at:g} s: {escape(s.words or 'no more of it')}" for s in trial.said)
    words = f"<p>{escape(trial.prompt)}{said}<br><code>{escape(_shortened(trial.keys))}</code></p>"
    return (
        f'<section class="trial"><h3>{escape(trial.id)} <small>{escape(trial.style)} {escape(trial.kind)}</small></h3>'
        f'<div class="films">{"".join(cells)}<figure>{path}<figcaption>path</figcaption></figure></div>{words}</section>'
    )


def _film(plan: EvalPlan, trial: Trial, row: TrialRow, name: str) -> str:
    model = next(m for m in plan.models if m.name == name)
    file = film_file(plan, model, trial)
    if row.failed or not file.is_file():
        return f"<figure><figcaption>{escape(name)}: {escape(row.failed or 'no video')}</figcaption></figure>"
    data = base64.b64encode(video_files.encode_small(video_files.load_video(file).video, plan.view.fps)).decode()
    figures = [f"{row.measured.scores[s]:.{d}f} {u}" for s, d, u in (("psnr", 1, "dB"),) if s in row.measured.scores]
    words = "<br>".join([escape(name), *figures]) if name != "truth" else "truth"
    return (
        f'<figure><video src="data:video/mp4;base64,{data}" muted loop playsinline preload="metadata"></video>'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _shortened(keys: str, most: int = 90) -> str:
    return keys if len(keys) <= most else keys[:most].rpartition(",")[0] + ", ..."


def _about(report: Report) -> str:
    about = report.about
    lines = {
        "command": about.command,
        "suite": f"{about.suite}, version {about.suite_version}, seed {about.suite_seed}, hash {about.suite_hash}",
        "machine": about.hardware,
        "dreamx": about.dreamx,
        "code": f"simulator {about.simulator}, scores {about.scores}",
        **{f"model {name}": what for name, what in about.models.items()},
    }
    rows = "".join(f"<tr><th>{escape(k)}</th><td><code>{escape(v)}</code></td></tr>" for k, v in lines.items())
    return f'<h2>How it was made</h2><div class="wide"><table class="about"><tbody>{rows}</tbody></table></div>'
