"""``dreamx bench play``: does a world keep up with its own clock on this machine, and does it stay so?

It walks the world as a player does, dreaming and showing, without the page. Every figure is of one run on one machine; the
real-time factor is seconds of world made per second of waiting.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from dreamx import released
from dreamx.bounds import PositiveFloat, Workers
from dreamx.budget.fit import world_must_fit
from dreamx.checkpoints import native
from dreamx.eval.timed_walk import Clocks, percentiles, time_walk
from dreamx.hardware import processor_has
from dreamx.model.cpu_ops import only_plain
from dreamx.model.precision import INSTRUCTIONS, Precision, dtype_at_play
from dreamx.picture import read_picture
from dreamx.plaintext import brief
from dreamx.play.gallery import read_starts
from dreamx.session import WorldConfig, find


@dataclass(frozen=True)
class PlayBenchConfig:
    """Measure how fast a world plays here."""

    world: str = "tiny"
    """A shipped world's name, or a folder."""
    choice: Annotated[released.Choice, tyro.conf.arg(name="")] = released.AS_IT_IS
    """Settings of a released model."""
    seconds: PositiveFloat = 60.0
    """Seconds of the world that are walked."""
    start: str | None = None
    """Id of the start picture that it is opened with, as home-village; by default a grey picture, which is open ground."""
    threads: Workers = 0
    """CPU threads; 0: as many as torch takes."""
    plain: bool = False
    """Torch's plain matrix products, not the faster ones of oneDNN."""
    precision: Precision | Literal["both"] = "float32"
    """Numbers that convolutions compute in; both: float32, and bfloat16 where the processor has instructions for it."""
    json: bool = False
    """Print JSON alone."""


@dataclass(frozen=True)
class PlayBench:
    """Measurements of one walk. size: rows and columns. Milliseconds for chunks; ``first_frame`` in seconds, from opening the
    files to the first picture.

    ``chunk_ms_by_tenth``: the median of each tenth of the walk; flat where latency does not grow with the session.
    ``cpu_ms_by_tenth``: the mean processor time of a chunk, which other programs change least; views that are dreamt ahead count.
    ``megabytes_by_tenth``: what the process held in memory at the end of each tenth.
    """

    world: str
    size: tuple[int, int]
    threads: int
    precision: str
    steps: int
    chunk_frames: int
    first_frame: float
    real_time_factor: float
    frames_per_second: float
    dream_ms: float
    show_ms: float
    chunk_ms_p50: float
    chunk_ms_p95: float
    chunk_ms_p99: float
    chunk_ms_by_tenth: list[float]
    cpu_ms_by_tenth: list[float]
    megabytes_by_tenth: list[float]
    chunks: int


def measure(cfg: PlayBenchConfig) -> PlayBench:
    """Walk, with a key change now and then, and time every chunk; of ``both`` precisions float32."""
    dtype = dtype_at_play("float32" if cfg.precision == "both" else cfg.precision)
    if cfg.plain:
        only_plain()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    world_must_fit(cfg.world, cfg.choice)
    walked = time_walk(cfg.world, cfg.seconds, _KEYS, Clocks(), dtype, cfg.choice, opening_picture(cfg))
    world, frames, (denoise, decode, cpu) = walked.world, sum(walked.frames), walked.milliseconds()
    chunks = denoise + decode
    spread, rate = percentiles(chunks), 1000 * frames / float(chunks.sum())
    memory = torch.tensor(walked.memory, dtype=torch.float64)
    return PlayBench(
        world=cfg.world,
        size=world.size,
        threads=torch.get_num_threads(),
        precision=str(dtype).removeprefix("torch."),
        steps=world.config.sampler.steps,
        chunk_frames=frames // len(chunks),
        first_frame=walked.first_frame,
        real_time_factor=rate / world.fps,
        frames_per_second=rate,
        dream_ms=float(denoise.mean()),
        show_ms=float(decode.mean()),
        chunk_ms_p50=spread.p50,
        chunk_ms_p95=spread.p95,
        chunk_ms_p99=spread.p99,
        chunk_ms_by_tenth=[round(float(part.median()), 1) for part in chunks.chunk(10)],
        cpu_ms_by_tenth=[round(float(part.mean()), 1) for part in cpu.chunk(10)],
        megabytes_by_tenth=[round(float(part[-1]) / 1e6, 1) for part in memory.chunk(10)],
        chunks=len(chunks),
    )


def opening_picture(cfg: PlayBenchConfig) -> Tensor | None:
    """The start picture, uint8 ``[3, H, W]``; None where none is named. ValueError where the world has none of that name."""
    if cfg.start is None:
        return None
    if released.is_released(cfg.world):
        raise ValueError(f"start: {cfg.world} is a released model, which has no start pictures; leave --start out")
    folder = find(cfg.world)
    known = read_starts(folder / "starts")
    if cfg.start not in known:
        raise ValueError(f"start: {cfg.world} has no start picture {brief(cfg.start)}; it has {', '.join(known) or 'none'}")
    config = native.read_config(folder, "world", WorldConfig)
    return read_picture(known[cfg.start].png, (config.height, config.width))[0]


def main(cfg: PlayBenchConfig) -> None:
    """Print the figures."""
    if cfg.seconds <= 0:
        raise ValueError(f"seconds: {cfg.seconds} is no walk; give a positive number")
    if cfg.precision != "both":
        print_figures(asdict(measure(cfg)), cfg.json)
        return
    able = any(map(processor_has, INSTRUCTIONS))
    kinds: tuple[Precision, ...] = ("float32", "bfloat16") if able else ("float32",)
    found = [asdict(measure(replace(cfg, precision=kind))) for kind in kinds]
    if cfg.json:
        print(json.dumps({figures["precision"]: figures for figures in found}))
        return
    for figures in found:
        print_figures(figures, False)
    if able:
        share = found[0]["chunk_ms_p50"] / found[1]["chunk_ms_p50"]
        print(f"a chunk in bfloat16 is {share:.2f} times as fast as in float32 here")
    else:
        print("this processor has no instructions for bfloat16, so that float32 alone was measured")


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """A line for each, or JSON."""
    lines = (f"{name:18} {value:.3f}" if isinstance(value, float) else f"{name:18} {value}" for name, value in figures.items())
    print(json.dumps(figures) if as_json else "\n".join(lines))


_KEYS = ("w", "wj", "l", "", "s", "d")
