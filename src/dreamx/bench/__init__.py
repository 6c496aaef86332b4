"""``dreamx bench play``: does a world keep up with its own clock on this machine, and does it stay so?

It walks the world as a player does, dreaming and showing, without the page. Every figure is of one run on one machine; the
real-time factor is seconds of world made per second of waiting.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

import torch

from dreamx.bounds import PositiveFloat, Workers
from dreamx.budget.machine import resident_memory
from dreamx.geometry.controls import from_keys
from dreamx.model.cpu_ops import only_plain
from dreamx.world import World


@dataclass(frozen=True)
class PlayBenchConfig:
    """Measure how fast a world plays here."""

    world: str = "tiny"
    """A shipped world's name, or a folder."""
    seconds: PositiveFloat = 60.0
    """Seconds of the world that are walked."""
    threads: Workers = 0
    """CPU threads; 0: as many as torch takes."""
    plain: bool = False
    """Torch's plain matrix products, not the faster ones of oneDNN."""
    json: bool = False
    """Print JSON alone."""


@dataclass(frozen=True)
class PlayBench:
    """Measurements of one walk. Milliseconds for chunks; ``first_frame`` in seconds, from opening the files to the first picture.

    ``chunk_ms_by_tenth``: the median of each tenth of the walk; flat where latency does not grow with the session.
    ``megabytes_by_tenth``: what the process held in memory at the end of each tenth.
    """

    world: str
    threads: int
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
    megabytes_by_tenth: list[float]
    chunks: int


def measure(cfg: PlayBenchConfig) -> PlayBench:
    """Walk, with a key change now and then, and time every chunk."""
    if cfg.plain:
        only_plain()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    began = time.perf_counter()
    world = World.open(cfg.world)
    world.reset(torch.full((3, *world.size), 127, dtype=torch.uint8), seed=1)
    first_frame = time.perf_counter() - began
    dreams: list[float] = []
    shows: list[float] = []
    memory: list[int] = []
    frames = 0
    while frames < cfg.seconds * world.fps:
        controls = from_keys([_KEYS[len(dreams) // 8 % len(_KEYS)]] * world.frames_per_step, world.config.speed)
        start = time.perf_counter()
        dream = world.denoise(controls)
        middle = time.perf_counter()
        frames += len(world.decode(dream))
        dreams.append(middle - start)
        shows.append(time.perf_counter() - middle)
        memory.append(resident_memory())
    chunks = torch.tensor(dreams) + torch.tensor(shows)
    p50, p95, p99 = (1000 * float(chunks.quantile(q)) for q in (0.5, 0.95, 0.99))
    return PlayBench(
        world=cfg.world,
        threads=torch.get_num_threads(),
        steps=world.config.sampler.steps,
        chunk_frames=frames // len(chunks),
        first_frame=first_frame,
        real_time_factor=frames / world.fps / float(chunks.sum()),
        frames_per_second=frames / float(chunks.sum()),
        dream_ms=1000 * sum(dreams) / len(dreams),
        show_ms=1000 * sum(shows) / len(shows),
        chunk_ms_p50=p50,
        chunk_ms_p95=p95,
        chunk_ms_p99=p99,
        chunk_ms_by_tenth=[round(1000 * float(part.median()), 1) for part in chunks.chunk(10)],
        megabytes_by_tenth=[round(float(part[-1]) / 1e6, 1) for part in torch.tensor(memory, dtype=torch.float64).chunk(10)],
        chunks=len(chunks),
    )


def main(cfg: PlayBenchConfig) -> None:
    """Print the figures."""
    if cfg.seconds <= 0:
        raise ValueError(f"seconds: {cfg.seconds} is no walk; give a positive number")
    figures = asdict(measure(cfg))
    if cfg.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:18} {value:.3f}" if isinstance(value, float) else f"{name:18} {value}")


_KEYS = ("w", "wj", "l", "", "s", "d")
