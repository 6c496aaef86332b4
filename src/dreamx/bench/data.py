"""``dreamx bench data``: what does a dataset cost beside bare rendering, and does memory stay flat over many clips?

Rates are of one process. On a machine that does other things, too, the share by processor time is the one to believe.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from dreamx.bench import print_figures
from dreamx.bounds import Pixels, PositiveInt
from dreamx.clip import Clip
from dreamx.data.engine import Local, run_engine
from dreamx.data.sim.simulated import SimulateConfig, Simulated
from dreamx.geometry.camera import Camera
from dreamx.hardware import resident_memory


@dataclass(frozen=True)
class DataBenchConfig:
    """Measure how fast clips are rendered, bare and into a dataset, and the memory of a long run."""

    scenes: PositiveInt = 2
    """Scenes that are rendered, bare and into a dataset."""
    clips: PositiveInt = 4
    """Clips of each."""
    frames: PositiveInt = 81
    """Frames of a clip."""
    width: Pixels = 64
    """Pixels."""
    height: Pixels = 64
    """Pixels."""
    many: PositiveInt = 1000
    """Small clips that are packed for the memory measurement."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class DataBench:
    """``bare``, ``whole``: frames a second of rendering alone (walks, pictures, depth) and of the whole way into a dataset;
    ``share`` of the bare rate, by the clock and by processor time; ``megabytes_by_tenth``: of this process, over ``many``."""

    bare: float
    whole: float
    share: float
    share_of_processor: float
    bytes_a_frame: float
    many: int
    megabytes_by_tenth: list[float]


def measure(cfg: DataBenchConfig) -> DataBench:
    """Render bare and into a dataset, the same clips; then many small ones."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source = Simulated(SimulateConfig(Path(scratch), ("walk",), cfg.scenes, cfg.clips, cfg.frames, cfg.width, cfg.height))
        source.clip(0)  # opens the driver
        run_engine(Many(1), (), f"{scratch}/one", Local(processes=1))  # loads the libraries
        frames = cfg.frames * len(source.names)
        began, began_work = time.perf_counter(), time.process_time()
        for i in range(len(source.names)):
            source.clip(i)
        bare, bare_work = time.perf_counter() - began, time.process_time() - began_work
        source.clip(0)
        began, began_work = time.perf_counter(), time.process_time()
        run_engine(source, (), f"{scratch}/dataset", Local(processes=1))
        whole, whole_work = time.perf_counter() - began, time.process_time() - began_work
        size = sum(p.stat().st_size for p in Path(scratch, "dataset").rglob("*") if p.is_file())
        _SEEN.clear()
        run_engine(Many(cfg.many), (), f"{scratch}/many", Local(processes=1))
    tenth = max(1, len(_SEEN) // 10)
    memory = [round(max(_SEEN[i : i + tenth]) / 1e6, 1) for i in range(0, len(_SEEN), tenth)]
    return DataBench(frames / bare, frames / whole, bare / whole, bare_work / whole_work, size / frames, cfg.many, memory)


def main(cfg: DataBenchConfig) -> None:
    """Print the figures."""
    if min(cfg.scenes, cfg.clips, cfg.frames, cfg.many) < 1:
        raise ValueError("scenes, clips, frames and many must be 1 or more")
    print_figures(asdict(measure(cfg)), cfg.json)


@dataclass(frozen=True)
class Many:
    """Small clips of noise; notes how much memory the process has when each is made."""

    count: int

    @property
    def names(self) -> list[str]:
        """The id of every clip."""
        return [f"noise-{i}" for i in range(self.count)]

    def clip(self, i: int) -> Clip:
        """Noise, from a camera that stands still."""
        _SEEN.append(resident_memory())
        rng = torch.Generator().manual_seed(i)
        video = torch.randint(0, 256, (9, 3, 32, 32), generator=rng, dtype=torch.uint8)
        camera = Camera(torch.eye(4).expand(9, 4, 4), torch.tensor([1.0, 1.0, 0.5, 0.5]).expand(9, 4))
        return Clip(video, camera, torch.zeros(9, 8), torch.rand(9, 32, 32, generator=rng).half(), 16.0, f"noise {i}", seed=i)


_SEEN: list[int] = []
