"""``dreamx eval basic`` and its sisters: a suite, the models, a report."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dreamx.eval import laws, page
from dreamx.eval.measure import code
from dreamx.eval.models import CopyFirst, Model, Ours, Truth, Videos, Warp
from dreamx.eval.report import About, Report, report
from dreamx.eval.runner import Plan, run
from dreamx.eval.suite import shipped
from dreamx.eval.tools import Tools
from dreamx.eval.truth import View, sources
from dreamx.world import World

_BASELINES: dict[str, Model] = {"truth": Truth(), "warp": Warp(), "copy-first": CopyFirst()}


@dataclass(frozen=True)
class SuiteConfig:
    """Measure a world, or somebody's videos, on a suite of held-out scenes, beside baselines and the truth."""

    world: str = "tiny"
    """The name of a shipped world, or the folder of one. Its picture is the size of everything."""
    cases: int | None = None
    """Only so many trials: a fair part of all paths, kinds of place and looks."""
    seed: int | None = None
    """Draw a fresh suite of the same law with this seed; as shipped without."""
    out: Path | None = None
    """The folder that gets the report and keeps films and rows; runs/eval/NAME without."""
    truth: Path = Path("runs/eval/truth")
    """The folder that keeps the true renders."""
    models: tuple[str, ...] = ("ours", "truth", "warp", "copy-first")
    """The rows of the table."""
    videos: tuple[Path, ...] = ()
    """Folders of videos that somebody else made (dreamx eval export says what is wanted); each is a row of the table."""
    processes: int = 0
    """How many processes share the work; 0: one for each core."""
    memory: bool = True
    """Whether the world may use its re-projected memory."""
    camera: bool = True
    """Whether it may use its camera lane."""
    steps: int | None = None
    """Denoising steps a chunk; as the world says without."""
    tools: Tools = Tools()
    """What the scores are taken with; a stand-in without."""
    shown: int = 24
    """How many trials the page shows with their videos."""

    def __post_init__(self) -> None:
        if unknown := [m for m in self.models if m not in ("ours", *_BASELINES)]:
            raise ValueError(f"models: {unknown[0]!r} is not one of ours, {', '.join(_BASELINES)}")
        if missing := [v for v in self.videos if not v.is_dir()]:
            raise ValueError(f"videos: {missing[0]} is not a folder")
        if self.processes < 0:
            raise ValueError(f"processes must be 0 or more, not {self.processes}")
        if self.shown < 0:
            raise ValueError(f"shown must be 0 or more, not {self.shown}")


def basic(cfg: SuiteConfig) -> None:
    """120 paths of 5 seconds."""
    evaluate("basic", cfg)


def long(cfg: SuiteConfig) -> None:
    """100 paths of 30 seconds."""
    evaluate("long", cfg)


def evaluate(name: str, cfg: SuiteConfig) -> Report:
    """Run a suite and write ``report.json`` and ``report.html``."""
    suite = shipped(name).part(cfg.cases) if cfg.seed is None else laws.draw(name, cfg.seed, cfg.cases)
    world = World.open(cfg.world)
    view = View(*world.size, tuple(world.camera.lens.tolist()), world.fps)
    if view.fps != suite.fps:
        raise ValueError(f"world: it makes {view.fps:g} frames a second where the suite's keys are for {suite.fps:g}")
    rows_of = _models(cfg)
    out = cfg.out or Path("runs/eval") / suite.name
    out.mkdir(parents=True, exist_ok=True)
    tools = cfg.tools
    plan = Plan(suite, rows_of, view, out, cfg.truth, tools)
    rows = run(plan, cfg.processes or os.cpu_count() or 1)
    about = About(
        suite=suite.name,
        suite_version=suite.version,
        suite_seed=suite.seed,
        suite_hash=suite.hash,
        trials=len(suite.trials),
        size=world.size,
        fps=view.fps,
        models={m.name: m.identity for m in rows_of},
        measures=tools.names,
        command=_command(name, cfg),
        hardware=f"{os.cpu_count()} cores, torch {torch.__version__}",
        dreamx="",
        simulator=sources(),
        scores=code(),
    )
    whole = report(about, rows)
    suite.save(out / "suite.json")
    whole.save(out / "report.json")
    (out / "report.html").write_text(page.html(whole, plan, cfg.shown), encoding="utf-8")
    _print(whole, out)
    return whole


def _models(cfg: SuiteConfig) -> tuple[Model, ...]:
    ours = Ours(cfg.world, cfg.memory, cfg.camera, cfg.steps)
    return (*(ours if m == "ours" else _BASELINES[m] for m in cfg.models), *(Videos(v.name, v) for v in cfg.videos))


def _command(name: str, cfg: SuiteConfig) -> str:
    words = ["dreamx", "eval", name, "--world", cfg.world]
    words += ["--cases", str(cfg.cases)] if cfg.cases is not None else []
    words += ["--seed", str(cfg.seed)] if cfg.seed is not None else []
    return shlex.join(words)


def _print(whole: Report, out: Path) -> None:
    table = Table(title=f"{whole.about.suite}: {whole.about.trials} trials")
    names = list(dict.fromkeys(n for scores in whole.table.values() for n in scores))
    for head in ("", *names, "failed"):
        table.add_column(head, justify="right" if head else "left")
    for model, scores in whole.table.items():
        cells = (f"{scores[n].mean:.2f}" if n in scores else "-" for n in names)
        table.add_row(model, *cells, str(whole.failed[model]))
    console = Console()
    console.print(table)
    console.print(f"{out / 'report.html'} shows it all", markup=False, highlight=False, soft_wrap=True)
