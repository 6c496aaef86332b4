"""``dreamx eval ablate``: worlds that differ in one thing, or one world with several numbers of steps, side by side.

All make the same trials: short beginnings of those of the basic suite, or those of the memory suite or the long one. A row's
difference from the first is taken in pairs, the same trial by the same scores. Time is the processor's, on one thread, a chunk of
each row in turn, so that whatever else runs on the machine falls on all alike. More rows say how to read the scores: what the
memory of the first world that has one shows without a network (hint-copy), the truth itself, and the first picture for ever.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

import torch
import tyro

from dreamx import atomic
from dreamx.bounds import Denoising, OutputFolder, PositiveInt, Threads
from dreamx.config import to_json
from dreamx.eval import folders
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.columns import cell, column
from dreamx.eval.models import CopyFirst, Ours, Truth, VideoModel
from dreamx.eval.preflight import run_checked
from dreamx.eval.reporting import compare
from dreamx.eval.reporting.report import Report, build_report, camera_readers, fail_if_all_failed, report_info
from dreamx.eval.runner import EvalPlan, code_hashes
from dreamx.eval.speed import machine
from dreamx.eval.suites.suite import Suite, shipped_suite
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.geometry.controls import from_keys
from dreamx.geometry.path import format_actions
from dreamx.world import World

#: The scores of a row, in order, by suite.
SHOWN = {
    "basic": ("psnr", "sharpness", "camera by flow", "degrees by flow", "metres by flow"),
    "memory": ("psnr", "sharpness", "psnr back", "gain PSNR", "gain SSIM"),
    "long": ("psnr", "psnr end", "sharpness", "sharpness end", "colour drift"),
}
_WHOLE = {"basic": 5.0, "memory": 10.0, "long": 30.0}  # seconds of a trial


@dataclass(frozen=True)
class AblateConfig:
    """Worlds side by side on the same short held-out paths, as a table in Markdown."""

    worlds: tyro.conf.Positional[tuple[str, ...]]
    """Names of shipped worlds, or folders of worlds; the others are compared with the first."""
    steps: tuple[Denoising, ...] = ()
    """Take each world with so many denoising steps a chunk, one row for each number; as the world says without."""
    suite: Literal["basic", "memory", "long"] = "basic"
    """Where they walk: short ways (5 s), ways that come back (10 s), or long ones (30 s)."""
    cases: PositiveInt = 15
    """How many trials; paths, kinds of place and looks take turns."""
    seconds: float | None = None
    """How much of each trial; None: 2 of basic, all of the others."""
    chunks: PositiveInt = 40
    """How many chunks of each row are timed, after its window is full."""
    memory: bool = True
    """Whether the worlds may use their re-projected memory."""
    out: OutputFolder = Path("runs/eval/ablate")
    """The folder that gets report.json, ablation.md and ablation.json, and keeps films and rows. Started again, it goes on."""
    truth: OutputFolder = Path("runs/eval/truth")
    """The folder that keeps the true renders."""
    processes: Threads = 1
    """How many processes share the work."""

    def __post_init__(self) -> None:
        if not self.worlds:
            raise ValueError("worlds: name at least one world, or a folder of one")
        if any(s < 1 for s in self.steps) or len(set(self.steps)) < len(self.steps):
            raise ValueError(f"steps must be different numbers of 1 or more, not {self.steps}")
        if self.seconds is not None and not 0 < self.seconds <= _WHOLE[self.suite]:
            raise ValueError(
                f"seconds must be more than 0 and at most {_WHOLE[self.suite]:g}, as long as the trials of {self.suite} are, "
                f"not {self.seconds:g}"
            )
        if self.chunks < 1 or self.processes < 1:
            raise ValueError(f"chunks and processes must be 1 or more, not {self.chunks} and {self.processes}")

    @property
    def cut(self) -> float:
        """Seconds of each trial."""
        return self.seconds or (2.0 if self.suite == "basic" else _WHOLE[self.suite])


@dataclass(frozen=True)
class Cost:
    """Cost of a row. ``ms``: the median of processor time for a chunk of ``frames`` video frames, denoised and decoded, on one
    thread. ``parameters`` of the transformer, ``lane`` of them in its camera lane."""

    ms: float
    frames: int
    steps: int
    parameters: int
    lane: int


@dataclass(frozen=True)
class Ablation:
    """Everything that the table shows: the report of the trials, and what each world costs on ``machine``."""

    report: Report
    costs: dict[str, Cost]
    machine: str


def main(cfg: AblateConfig) -> None:
    """Film, score, time, write and print. ValueError when the worlds do not have the same picture."""
    torch.set_num_threads(1)
    done = run_ablation(cfg, first_seconds(shipped_suite(cfg.suite).part(cfg.cases), cfg.cut))
    text = ablation_markdown(done)
    for name, content in (
        ("ablation.json", json.dumps({name: to_json(cost) for name, cost in done.costs.items()}, indent=1) + "\n"),
        ("ablation.md", text),
    ):
        atomic.write_text(cfg.out / name, content)
    sys.stdout.write(text)
    fail_if_all_failed(done.report)


def first_seconds(suite: Suite, seconds: float) -> Suite:
    """The trials of a suite, cut to their first seconds."""
    frames = max(1, round(seconds * suite.fps))
    return replace(suite, trials=tuple(replace(t, keys=format_actions(t.held[:frames])) for t in suite.trials))


def run_ablation(cfg: AblateConfig, suite: Suite) -> Ablation:
    """Every world and number of steps on every trial of ``suite``, then the clock."""
    ours = _rows(cfg)
    worlds = {row.name: row.open() for row in ours}
    views = {name: VideoFormat(*w.size, tuple(w.camera.lens.tolist()), w.fps) for name, w in worlds.items()}
    view = views[ours[0].name]
    for name, other in views.items():
        if other != view or other.fps != suite.fps:
            raise ValueError(
                f"worlds: {name} has {other} where the others have {view} and the suite {suite.fps:g} frames a second"
            )
    remembers = [row for row in ours if row.memory and worlds[row.name].config.memory is not None]
    bare = [replace(row, network=False, name="hint-copy") for row in remembers[:1]]  # what its memory shows, without a network
    models: tuple[VideoModel, ...] = (*ours, *bare, Truth(), CopyFirst())
    plan = EvalPlan(suite, models, view, cfg.out, cfg.truth, Backbones(), code_hashes())
    rows = run_checked(plan, "ablate", folders.ABLATION, cfg.processes)
    measures = plan.tools.names | camera_readers(rows)
    whole = build_report(report_info(plan, len(shipped_suite(suite.name).trials), measures, _command(cfg)), rows)
    suite.save(cfg.out / "suite.json")
    whole.save(cfg.out / "report.json")
    return Ablation(whole, measure_costs(worlds, cfg.chunks), machine())


def measure_costs(worlds: dict[str, World], chunks: int) -> dict[str, Cost]:
    """Walk all worlds in turn, a chunk of each, and take the processor's time."""
    times: dict[str, list[float]] = {name: [] for name in worlds}
    grey = {name: torch.full((3, *w.size), 127, dtype=torch.uint8) for name, w in worlds.items()}
    for name, world in worlds.items():
        world.reset(grey[name], seed=1)
        for _ in range(-(-world.config.sampler.window // world.config.sampler.chunk)):
            world.step(from_keys(["w"] * world.frames_per_step, world.config.speed))
    for i in range(chunks):
        for name, world in worlds.items():
            controls = from_keys([("w", "wj", "l")[i % 3]] * world.frames_per_step, world.config.speed)
            began = time.process_time()
            world.step(controls)
            times[name].append(1000 * (time.process_time() - began))
    return {name: _cost(world, median(times[name])) for name, world in worlds.items()}


def ablation_markdown(done: Ablation) -> str:
    """The table, what it was taken with and on, and what failed."""
    about, costs = done.report.about, done.costs
    base = next(iter(costs))
    columns = [column(name) for name in SHOWN[about.suite]]
    heads = [*(c.head for c in columns), f"PSNR less that of {base}", "ms a chunk (frames)", "parameters (lane)"]
    # Read in the basic suite alone.
    flow = [f"Cameras by flow: {about.measures['sight']}; {about.measures['sight itself']}."] if about.suite == "basic" else []
    lines = [f"    {about.command}", "", "| | " + " | ".join(heads) + " |", "|---" + "|---:" * len(heads) + "|"]
    for name, scores in done.report.table.items():
        cells = [cell(scores[c.score], c.digits) if c.score in scores else "-" for c in columns]
        cells += [_less(done.report, base, name) if name in costs and name != base else "", *_spent(costs.get(name))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{about.trials} held-out trials of the {about.suite} suite (hash {about.suite_hash}); {about.fps:g} frames a second,"
        f" {about.size[0]} x {about.size[1]} pixels. After ± half of the interval of 95 % of the mean (bootstrap over trials);"
        " differences are taken in pairs, with their interval, bold where it leaves out 0.",
        *flow,
        f"ms: processor time on one thread, median, worlds in turn; {done.machine}.",
    ]
    lines += [f"{name}: {failed} trials failed." for name, failed in done.report.failed.items() if failed]
    return "\n".join(lines) + "\n"


def _rows(cfg: AblateConfig) -> list[Ours]:
    """One for each world and number of steps, named by what differs."""
    names = [Path(w).parent.name if Path(w).name == "world" else Path(w).name for w in cfg.worlds]
    if len(set(names)) < len(names):
        raise ValueError(f"worlds: two are called {next(n for n in names if names.count(n) > 1)}; name their folders differently")
    rows: list[Ours] = []
    for world, name in zip(cfg.worlds, names, strict=True):
        for steps in cfg.steps or (None,):
            shown = name if steps is None else f"{name} {steps}"
            rows.append(Ours(world, memory=cfg.memory, steps=steps, name=shown))
    return rows


def _cost(world: World, ms: float) -> Cost:
    sizes = {name: p.numel() for name, p in world.dit.named_parameters()}
    lane = sum(n for name, n in sizes.items() if ".view." in name)
    return Cost(ms, world.frames_per_step, world.config.sampler.steps, sum(sizes.values()), lane)


def _spent(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "", ""
    return f"{cost.ms:.1f} ({cost.frames})", f"{cost.parameters / 1e6:.2f} M ({cost.lane / 1e6:.2f} M)"


def _less(whole: Report, base: str, name: str) -> str:
    found, _ = compare.compare_reports(whole, whole, base, name)
    d = next(d for d in found if d.score == "psnr")
    words = f"{d.b - d.a:+.2f} ({d.low:+.2f} to {d.high:+.2f})"
    return f"**{words}**" if d.real else words


def _command(cfg: AblateConfig) -> str:
    words = ["dreamx", "eval", "ablate", *cfg.worlds, "--cases", str(cfg.cases), "--seconds", f"{cfg.cut:g}"]
    words += [] if cfg.suite == "basic" else ["--suite", cfg.suite]
    words += ["--steps", *map(str, cfg.steps)] if cfg.steps else []
    words += [] if cfg.memory else ["--no-memory"]
    return shlex.join(words)
