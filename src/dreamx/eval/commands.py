"""The suite commands (``dreamx eval basic``, ``long``, ``memory``, ``events``, ``hold``, ``draw``).

They run models on a suite and write its report; ``draw`` writes a suite.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from dreamx import atomic
from dreamx.bounds import (
    Denoising,
    InputFile,
    InputFolder,
    NonNegativeFloat,
    NonNegativeInt,
    OutputFile,
    OutputFolder,
    PositiveInt,
    Seed,
    WebAddress,
    Workers,
)
from dreamx.eval import folders
from dreamx.eval.frame_sets import frame_set_scores
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.vlm_judge import VLMJudge
from dreamx.eval.models import OF_WORLD, CopyFirst, Truth, VideoModel, Videos, Warp, rows_of_world
from dreamx.eval.preflight import run_checked
from dreamx.eval.reporting import html
from dreamx.eval.reporting.markdown import report_markdown
from dreamx.eval.reporting.report import Report, build_report, camera_readers, fail_if_all_failed, report_info, table_layout
from dreamx.eval.runner import EvalPlan, TrialRow, code_hashes
from dreamx.eval.suites import suite_paths
from dreamx.eval.suites.event_trials import classifier_note
from dreamx.eval.suites.suite import SHIPPED, Suite, shipped_suite
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.world import World

_BASELINES: dict[str, VideoModel] = {"truth": Truth(), "warp": Warp(), "copy-first": CopyFirst()}


@dataclass(frozen=True)
class SuiteConfig:
    """Measure a world, or somebody's videos, on a suite of held-out scenes, beside baselines and the truth."""

    world: str = "tiny"
    """The name of a shipped world, or the folder of one. Its picture is the size of everything."""
    cases: PositiveInt | None = None
    """Only so many trials: a fair part of all paths, kinds of place and looks."""
    seed: Seed | None = None
    """Draw a fresh suite of the same law with this seed; as shipped without."""
    out: OutputFolder | None = None
    """The folder that gets the report and keeps films and rows; runs/eval/NAME without."""
    truth: OutputFolder = Path("runs/eval/truth")
    """The folder that keeps the true renders."""
    models: tuple[str, ...] = ("ours", "hint-copy", "truth", "warp", "copy-first")
    """Rows of the table: ours; hint-copy (what memory shows, without a network); no-lane, no-memory, no-words, no-places,
    no-transformer (ours without that); truth, warp and copy-first."""
    videos: tuple[InputFolder, ...] = ()
    """Folders of videos that somebody else made (docs/eval.md says what is wanted); each is a row of the table."""
    processes: Workers = 0
    """How many processes share the work; 0: one for each core."""
    memory: bool = True
    """Whether the world may use its re-projected memory."""
    camera: bool = True
    """Whether it may use its camera lane."""
    steps: Denoising | None = None
    """Denoising steps a chunk; as the world says without."""
    shown: NonNegativeInt = 24
    """How many trials the page shows with their videos."""
    moments: tuple[NonNegativeFloat, ...] = ()
    """Also write sheet.png: at these seconds (0 5 10) the first model above the truth, for each trial shown."""
    quality: InputFile | None = None
    """A network for the quality of pictures (MUSIQ), TorchScript or ONNX (docs/eval.md); a named stand-in without, as below."""
    flow: InputFile | None = None
    """A network for motion (RAFT)."""
    middle: InputFile | None = None
    """A network for the picture between two (AMT)."""
    distance: InputFile | None = None
    """A network for perceptual distance (LPIPS)."""
    dino: InputFile | None = None
    """A network for what is where (DINOv2), of the memory suite, as the next two; in hold its features take the place of ours."""
    vpr: InputFile | None = None
    """A network that describes places (visual place recognition)."""
    points: InputFile | None = None
    """A network that matches points of two pictures (SuperPoint and LightGlue)."""
    clip: InputFile | None = None
    """The picture side of CLIP, for CLIP-V."""
    trust_code: bool = False
    """Also open exported programs (.pt2), which may run any code on this machine: for files that you made yourself."""
    judge: WebAddress | None = None
    """The address of a vision-language model that judges artifacts, before /chat/completions; the key in DREAMX_JUDGE_KEY."""
    judge_model: str = ""
    """Its name there."""

    @property
    def tools(self) -> Backbones:
        """Return the networks that the scores are taken with."""
        judge = None if self.judge is None else VLMJudge(self.judge, self.judge_model)
        networks = (self.quality, self.flow, self.middle, self.distance)
        return Backbones(*networks, judge, self.dino, self.vpr, self.points, self.clip, self.trust_code)

    def __post_init__(self) -> None:
        if (self.judge is None) != (not self.judge_model):
            raise ValueError("judge: give both its address, judge, and its name there, judge_model")
        if not (self.models or self.videos):
            raise ValueError(f"models: name some of {', '.join((*OF_WORLD, *_BASELINES))}, or give folders of videos")
        if unknown := [m for m in self.models if m not in (*OF_WORLD, *_BASELINES)]:
            raise ValueError(f"models: {unknown[0]!r} is not one of {', '.join((*OF_WORLD, *_BASELINES))}")
        if missing := [v for v in self.videos if not v.is_dir()]:
            raise ValueError(f"videos: {missing[0]} is not a folder")
        if self.processes < 0:
            raise ValueError(f"processes must be 0 or more, not {self.processes}")
        if self.shown < 0:
            raise ValueError(f"shown must be 0 or more, not {self.shown}")
        if any(not 0 <= second < float("inf") for second in self.moments):
            raise ValueError(f"moments must be seconds of 0 or more, not {', '.join(map(str, self.moments))}")


def basic(cfg: SuiteConfig) -> None:
    """120 paths of 5 seconds."""
    fail_if_all_failed(evaluate_suite("basic", cfg))


def long(cfg: SuiteConfig) -> None:
    """100 paths of 30 seconds."""
    fail_if_all_failed(evaluate_suite("long", cfg))


def events(cfg: SuiteConfig) -> None:
    """52 things that happen in 5 seconds."""
    fail_if_all_failed(evaluate_suite("events", cfg))


def memory(cfg: SuiteConfig) -> None:
    """60 paths of 10 seconds that come back."""
    fail_if_all_failed(evaluate_suite("memory", cfg))


def hold(cfg: SuiteConfig) -> None:
    """96 walks of 15 to 60 seconds, at home and on open ground."""
    fail_if_all_failed(evaluate_suite("hold", cfg))


@dataclass(frozen=True)
class DrawConfig:
    """Draw a suite by its law and write it down."""

    name: tyro.conf.Positional[str]
    """Name of the suite: basic, long, memory, events or hold."""
    out: OutputFile
    """File to write (.json)."""
    seed: Seed = 0
    """Seed of the draw; 0 gives the shipped suite."""
    cases: PositiveInt | None = None
    """Only the first so many trials."""


def draw_suite_file(cfg: DrawConfig) -> None:
    """Write the suite and print its hash, which belongs into suite.SHIPPED where it is to be shipped."""
    _refuse_other(cfg)
    suite = suite_paths.draw_suite(cfg.name, cfg.seed, cfg.cases)
    suite.save(cfg.out)
    print(f"{cfg.out}: {len(suite.trials)} trials, hash {suite.hash}")


def _refuse_other(cfg: DrawConfig) -> None:
    """ValueError where another file is in the place of this suite: known before the minutes that drawing it takes."""
    if not cfg.out.exists():
        return
    try:
        there = Suite.load(cfg.out)
        same = (there.name, there.seed) == (cfg.name, cfg.seed) and cfg.cases in (None, len(there.trials))
    except ValueError:
        same = False
    if not same:
        raise ValueError(f"out: {cfg.out} is there already and not this suite; remove it or give another name")


def evaluate_suite(name: str, cfg: SuiteConfig) -> Report:
    """Run a suite and write ``report.json``, ``report.md`` and ``report.html``."""
    fixed = cfg.seed is None and name in SHIPPED
    suite = shipped_suite(name).part(cfg.cases) if fixed else suite_paths.draw_suite(name, cfg.seed or 0, cfg.cases)
    world = World.open(cfg.world)
    view = VideoFormat(*world.size, tuple(world.camera.lens.tolist()), world.fps)
    if view.fps != suite.fps:
        raise ValueError(f"world: it makes {view.fps:g} frames a second where the suite's keys are for {suite.fps:g}")
    rows_of = _models(cfg)
    tools = cfg.tools
    out = cfg.out or Path("runs/eval") / suite.name
    plan = EvalPlan(suite, rows_of, view, out, cfg.truth, tools, code_hashes())
    rows = run_checked(plan, name, folders.SUITE, cfg.processes or os.cpu_count() or 1)
    measures = tools.names | _readers(name, rows, tools)
    whole = build_report(report_info(plan, suite_paths.LAWS[name].trials, measures, command_line(name, cfg)), rows)
    if name == "hold":
        sets = frame_set_scores(plan)
        whole = replace(whole, table={model: scores | sets[model] for model, scores in whole.table.items()})
    suite.save(out / "suite.json")
    whole.save(out / "report.json")
    atomic.write_text(out / "report.md", report_markdown(whole))
    atomic.write_text(out / "report.html", html.report_html(whole, plan, cfg.shown))
    if cfg.moments:
        html.report_sheet(whole, plan, cfg.shown, cfg.moments, out / "sheet.png")
    _print(whole, out)
    return whole


def _readers(name: str, rows: list[TrialRow], tools: Backbones) -> dict[str, str]:
    """The networks of ours that a suite is scored with, and how good they are."""
    if name == "hold":
        return {"features": tools.features_of()[0]}
    if name == "events":
        return {"classifier": classifier_note()}
    return camera_readers(rows) if name == "basic" else {}


def _models(cfg: SuiteConfig) -> tuple[VideoModel, ...]:
    named = _BASELINES | rows_of_world(cfg.world, cfg.memory, cfg.camera, cfg.steps)
    return (*(named[m] for m in cfg.models), *(Videos(v.name, v) for v in cfg.videos))


def command_line(name: str, cfg: SuiteConfig) -> str:
    """Return the command for the same report, without folders of this machine and the number of processes."""
    here = ("out", "truth", "processes")
    words = ["dreamx", "eval", name, "--world", cfg.world]
    for field in fields(cfg):
        value = getattr(cfg, field.name)
        if value == field.default or field.name in (*here, "world"):
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words += [f"--no-{flag}"]  # all that can be switched are on by default
        else:
            words += [f"--{flag}", *map(_word, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print(whole: Report, out: Path) -> None:
    console = Console()
    console.width = max(console.width, 100)  # a table that is cut says nothing
    for title, columns in table_layout(whole):
        table = Table(title=f"{whole.about.suite}, {whole.about.trials} trials: {title}")
        for head in ("", *(c.head for c in columns)):
            table.add_column(head, justify="right" if head else "left")
        for model, scores in whole.table.items():
            cells = (f"{scores[c.score].mean:.{c.digits}f}" if c.score in scores else "-" for c in columns)
            table.add_row(model, *cells)
        console.print(table)
    lines = [f"{whole.failed[m]} of {whole.about.trials} trials of {m} failed" for m in whole.about.models if whole.failed[m]]
    lines += [f"{out / 'report.html'} shows it all"]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
