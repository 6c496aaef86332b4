"""The quick truth: a world walks held-out scenes as a player would, and every frame is compared with the true render.

Three paths (a walk of 5 s, a whole turn on the spot, out and back) through each scene; beside the world stand ``hint-copy``, what
its memory shows without its transformer, ``copy-first``, the first frame for ever, and ``warp``, the first frame moved by its
true depth. All get the same true first frame, so frame 0 is not counted. PSNR asks for being right, sharpness for not hiding in a
blur: read both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dreamx import atomic
from dreamx.bounds import NonNegativeInt, OutputFolder, PositiveInt, Seed
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.opengl import CannotDraw, gl
from dreamx.eval import folders
from dreamx.eval.baselines import copy_first
from dreamx.eval.metrics.heading import read_heading
from dreamx.eval.metrics.psnr import gradient_energy, psnr
from dreamx.eval.models import OF_WORLD, rows_of_world, weights_hash
from dreamx.eval.progress import Progressing, watch_frames
from dreamx.eval.reporting.contact_sheet import Strip, contact_sheet
from dreamx.eval.suites.drive import drive as play
from dreamx.eval.suites.true_clips import PATHS, TrueCase, VideoFormat, case_files, held_keys, load_case
from dreamx.geometry.controls import Speed, from_keys
from dreamx.session import Switches
from dreamx.version import __version__
from dreamx.world import World, find

MODELS = ("ours", "hint-copy", "copy-first", "warp")
_BASELINES = ("copy-first", "warp")
_COLUMNS = 9  # frames of a strip of the contact sheet
_READINGS = 20  # of the heading in one turn: 18 degrees apart
_NAMED = 5  # failures that are named below the table


@dataclass(frozen=True)
class QuickConfig:
    """Compare a world with the true render of held-out scenes."""

    world: str = "tiny"
    """The name of a shipped world, or the folder of one."""
    json: bool = False
    """Print the report as JSON and nothing else."""
    out: OutputFolder = Path("runs/eval/quick")
    """The folder that gets quick.json and the contact sheet quick.png, dream above truth."""
    truth: OutputFolder = Path("runs/eval/truth")
    """The folder that keeps the true renders, so that the next run is quicker."""
    scenes: PositiveInt = 16
    """How many held-out scenes; kinds and styles take turns."""
    first_seed: Seed = FIRST_HELD_OUT_SEED
    """The seed of the first of them."""
    sheet: NonNegativeInt = 3
    """How many scenes the contact sheet shows."""
    memory: bool = True
    """Whether the world may use its re-projected memory."""
    camera: bool = True
    """Whether it may use its camera lane (E-PRoPE)."""
    models: tuple[str, ...] = MODELS
    """Rows of the table: ours; hint-copy, no-lane, no-memory, no-words, no-places, no-transformer (ours without that);
    copy-first and warp."""

    def __post_init__(self) -> None:
        if unknown := [m for m in self.models if m not in (*OF_WORLD, *_BASELINES)]:
            raise ValueError(f"models: {unknown[0]!r} is not one of {', '.join((*OF_WORLD, *_BASELINES))}")
        if "ours" not in self.models or len(set(self.models)) < len(self.models):
            raise ValueError(f"models: ours must be among them, and each once, not {', '.join(self.models) or 'none'}")
        if self.scenes < 1:
            raise ValueError(f"scenes must be at least 1, not {self.scenes}")
        if self.first_seed < FIRST_HELD_OUT_SEED:
            raise ValueError(f"first_seed must be {FIRST_HELD_OUT_SEED} or more: scenes below it may have been trained on")


@dataclass
class QuickResult:
    """Every model on one path through one scene: PSNR and gradient energy of frames 1 on, sharpness of the whole.

    ``detail`` has the truth's as well. ``turned``: on a turn, how far the picture is off by quarter turns (``heading``), degrees.
    """

    seed: int
    path: str
    psnr: dict[str, Tensor]
    sharpness: dict[str, float]
    detail: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    turned: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass
class QuickResults:
    """All that went well, all that did not, and the strips to look at."""

    results: list[QuickResult] = field(default_factory=list[QuickResult])
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    strips: list[Strip] = field(default_factory=list[Strip])


def main(cfg: QuickConfig) -> None:
    """Evaluate, write ``quick.json`` and ``quick.png``, print a table or JSON. Exit code 1, with reason, if nothing ran."""
    folder = find(cfg.world)
    world = World.open(cfg.world)
    world.switches = Switches(cfg.memory, cfg.camera)
    rows = rows_of_world(cfg.world, cfg.memory, cfg.camera)
    switched = {name: rows[name].switched(world) for name in cfg.models if name in OF_WORLD[1:]}
    view = VideoFormat(*world.size, tuple(world.camera.lens.tolist()), world.fps)
    seeds = list(range(cfg.first_seed, cfg.first_seed + cfg.scenes))
    if not all(case_files(cfg.truth, seed, path, view)[1].exists() for seed in seeds for path in PATHS):
        gl(view.width, view.height)  # ValueError, before the first minute, where this machine cannot draw
    folders.claim(cfg.out, "quick", folders.QUICK, cfg.truth)
    everything = evaluate(
        world, seeds, lambda seed, path: load_case(cfg.truth, seed, path, view), cfg.sheet, cfg.models, switched
    )
    if not everything.results:
        print(f"all {len(everything.failures)} paths failed; the first: {everything.failures[0]['reason']}", file=sys.stderr)
        raise SystemExit(1)
    report = summarise(everything, view.fps) | {
        "settings": {
            "world": cfg.world,
            "weights": weights_hash(folder),
            "version": __version__,
            "seeds": seeds,
            "size": list(world.size),
            "fps": view.fps,
            "memory": cfg.memory,
            "camera": cfg.camera,
            "models": list(cfg.models),
            "counted": "all frames but frame 0",
        }
    }
    atomic.write_text(cfg.out / "quick.json", json.dumps(report, indent=2) + "\n")
    if everything.strips:
        with atomic.whole(cfg.out / "quick.png") as temporary:
            contact_sheet(everything.strips).save(temporary, "PNG")
    if cfg.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _print(report, cfg)


def evaluate(
    world: World,
    seeds: list[int],
    case: Callable[[int, str], TrueCase],
    sheet: int = 0,
    models: tuple[str, ...] = ("ours", *_BASELINES),
    switched: Mapping[str, World] | None = None,
) -> QuickResults:
    """Walk every path of every seed. One that fails is named and left out for all models.

    ``switched``: the world with one thing switched off, by the names of ``models``.
    """
    out = QuickResults()
    cases = [(seed, path) for seed in seeds for path in PATHS]
    now, part = "", 0.0

    def watch(done: int, frames: int) -> None:
        nonlocal part
        part = done / frames

    with Progressing("evaluating", len(cases), lambda: (len(out.results) + len(out.failures) + part, now)), watch_frames(watch):
        for seed, path in cases:
            now, part = f"scene {seed}, {path}", 0.0
            try:
                known = case(seed, path)
                dream = drive_case(world, known)
                others = {n: drive_case(w, known, n != "no-words") for n, w in (switched or {}).items()}
            except CannotDraw:  # nor can any other be drawn
                raise
            except Exception as error:  # whatever it is, the other scenes go on
                out.failures.append({"seed": seed, "path": path, "reason": f"{type(error).__name__}: {error}"})
                continue
            out.results.append(_score(seed, path, known, {"ours": dream} | others, models))
            if seed < seeds[0] + sheet:
                out.strips.append(_strip(seed, path, known, dream))
    return out


def drive_case(world: World, case: TrueCase, words: bool = True) -> Tensor:
    """Play the keys of a case as a player would: uint8 ``[F, 3, H, W]``, the opening frame first."""
    return play(world, case.truth if words else replace(case.truth, caption=""))


def summarise(everything: QuickResults, fps: float) -> dict[str, Any]:
    """``psnr`` and ``sharpness`` by model and path, both by second as well, and what failed.

    ``way_back``: PSNR of the second half of out and back. ``turned``: by how many degrees a turn is off at each quarter, in the
    mean over the scenes, and its size in the mean; ``truth`` is what the reading makes of true renders.
    """
    report: dict[str, Any] = {"psnr": {}, "sharpness": {}, "by_second": {}, "sharpness_by_second": {}, "way_back": {}}
    models = tuple(everything.results[0].psnr) if everything.results else MODELS
    for model in models:
        for path in PATHS:
            rows = [r for r in everything.results if r.path == path]
            if not rows:
                continue
            dbs = torch.stack([r.psnr[model] for r in rows])  # [scenes, frames]
            sharp = sum(r.sharpness[model] for r in rows) / len(rows)
            seconds = [float(part.mean()) for part in dbs.split(round(fps), dim=1)]
            report["psnr"].setdefault(model, {})[path] = round(float(dbs.mean()), 3)
            report["sharpness"].setdefault(model, {})[path] = round(sharp, 4)
            report["by_second"].setdefault(model, {})[path] = [round(s, 3) for s in seconds]
            detail = [torch.stack([r.detail[m] for r in rows]).split(round(fps), dim=1) for m in (model, "truth")]
            shares = [float((a.mean(1) / b.mean(1)).mean()) for a, b in zip(*detail, strict=True)]
            report["sharpness_by_second"].setdefault(model, {})[path] = [round(s, 3) for s in shares]
            if path == "out_and_back":
                report["way_back"][model] = round(float(dbs[:, dbs.shape[1] // 2 :].mean()), 3)
    turns = [r.turned for r in everything.results if r.turned]
    if turns:
        off = {model: torch.stack([t[model] for t in turns]) for model in ("ours", "truth")}  # [scenes, quarters]
        report["turned"] = {
            model: {"mean": [round(float(x), 2) for x in o.mean(0)], "size": [round(float(x), 2) for x in o.abs().mean(0)]}
            for model, o in off.items()
        }
    report["evaluated"] = {path: sum(r.path == path for r in everything.results) for path in PATHS}
    report["failures"] = everything.failures
    return report


def _score(seed: int, path: str, case: TrueCase, dreams: Mapping[str, Tensor], models: tuple[str, ...]) -> QuickResult:
    truth, dream = case.truth.video[1:], dreams["ours"]
    all_videos = {name: video[1:] for name, video in dreams.items()}
    all_videos |= {"copy-first": copy_first(case.truth.video[0], len(truth)), "warp": case.warp[1:]}
    videos = {model: all_videos[model] for model in models}
    detail = {model: gradient_energy(video) for model, video in (videos | {"truth": truth}).items()}
    whole = float(detail["truth"].mean())  # of the whole path: single frames may show nothing but a plain wall
    return QuickResult(
        seed,
        path,
        {model: psnr(video, truth) for model, video in videos.items()},
        {model: float(detail[model].mean()) / whole for model in models},
        detail,
        _turned(case.truth, dream) if path == "turn360" else {},
    )


def _turned(truth: Clip, dream: Tensor) -> dict[str, Tensor]:
    """Degrees that the picture is off after each quarter of a turn: ``[4]`` for the dream, and for the truth itself."""
    turn = from_keys(held_keys(truth.actions), Speed(fps=truth.fps)).turn[:, 0]
    yaw = torch.cat([turn.new_zeros(1), turn.cumsum(0)])
    off: dict[str, Tensor] = {}
    for model, video in (("ours", dream), ("truth", truth.video)):
        frames, degrees = read_heading(video, yaw, truth.camera.lens[0], max(1, len(turn) // _READINGS))
        quarters = [int((frames - q * len(turn) // 4).abs().argmin()) for q in (1, 2, 3, 4)]
        off[model] = (degrees - yaw[frames])[quarters]
    return off


def _strip(seed: int, path: str, case: TrueCase, dream: Tensor) -> Strip:
    truth = case.truth
    index = torch.linspace(0, len(truth.video) - 1, _COLUMNS).round().long()
    seconds = (index / truth.fps).tolist()
    title = f"scene {seed}, {path.replace('_', ' ')}: {truth.caption}"
    return Strip(title, seconds, dream[index], truth.video[index])


def _print(report: dict[str, Any], cfg: QuickConfig) -> None:
    table = Table(title=f"{cfg.world} on {cfg.scenes} held-out scenes: PSNR in dB (sharpness, 1 = as the truth)")
    for head in ("", *(p.replace("_", " ") for p in PATHS)):
        table.add_column(head, justify="left" if not head else "right")
    for model in report["psnr"]:
        cells = [(report["psnr"][model].get(p), report["sharpness"][model].get(p)) for p in PATHS]
        table.add_row(model, *("-" if db is None else f"{db:.2f} ({sharp:.2f})" for db, sharp in cells))
    console = Console()
    console.print(table)
    failures = report["failures"]
    lines = [f"left out: scene {f['seed']}, {f['path']}: {f['reason']}" for f in failures[:_NAMED]]
    if len(failures) > _NAMED:
        lines.append(f"left out: {len(failures) - _NAMED} more of {cfg.scenes * len(PATHS)}, all named in quick.json")
    lines.append(f"{cfg.out / 'quick.json'} has every second of it, {cfg.out / 'quick.png'} shows dream above truth")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
