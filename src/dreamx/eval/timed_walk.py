"""Walk a world as a player does, denoising and decoding, without page and network, and time every chunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dreamx.decoding import compute_in
from dreamx.geometry.controls import from_keys
from dreamx.hardware import resident_memory
from dreamx.released import AS_IT_IS, Choice
from dreamx.world import World

_HELD = 8  # chunks for which the same keys are held


@dataclass(frozen=True)
class Clocks:
    """Clocks in seconds: wall time, and processor time of this process."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass
class WalkTimes:
    """Seconds of one walk: from opening the files to the first picture, then by chunk: wall time to denoise and to decode it, and
    processor time of both (``seconds``). ``frames`` made by each chunk, ``memory`` in bytes that the process held after it."""

    world: World
    first_frame: float
    seconds: list[tuple[float, float, float]] = field(default_factory=list)  # no tensors, which would be in the way of others
    frames: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def milliseconds(self) -> Tensor:
        """Milliseconds to denoise, to decode, and of processor time: float64 ``[3, N]``."""
        return 1000 * torch.tensor(self.seconds, dtype=torch.float64).T


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of times in milliseconds: the median, and what 95 and 99 of 100 do not exceed."""

    p50: float
    p95: float
    p99: float


def percentiles(times: Tensor) -> Percentiles:
    """Percentiles of times ``[N]``, milliseconds."""
    return Percentiles(*(float(times.quantile(q)) for q in (0.5, 0.95, 0.99)))


def time_walk(
    name: str,
    seconds: float,
    keys: Sequence[str],
    clocks: Clocks,
    dtype: torch.dtype = torch.float32,
    choice: Choice = AS_IT_IS,
    opening: Tensor | None = None,
) -> WalkTimes:
    """Open the world ``name`` and walk so many seconds of it, with the next of ``keys`` every 8 chunks; ``choice``: of size and
    device, for a released one; ``opening``: its first picture, uint8 ``[3, H, W]``, None: a grey one."""
    began = clocks.wall()
    world = World.open(name, choice)
    compute_in(world.vae, dtype)
    world.reset(torch.full((3, *world.size), 127, dtype=torch.uint8) if opening is None else opening, seed=1)
    walked = WalkTimes(world, clocks.wall() - began)
    while sum(walked.frames) < seconds * world.fps:
        held = keys[len(walked.frames) // _HELD % len(keys)]
        controls = from_keys([held] * world.frames_per_step, world.config.speed)
        start, cpu = clocks.wall(), clocks.cpu()
        dream = world.denoise(controls)
        middle = clocks.wall()
        frames = len(world.decode(dream))
        walked.seconds.append((middle - start, clocks.wall() - middle, clocks.cpu() - cpu))
        walked.frames.append(frames)
        walked.memory.append(resident_memory())
    return walked
