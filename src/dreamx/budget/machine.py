"""The machine: what computes here, how much memory is free, how fast it is. Looking is free; ``probe`` takes half a second."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from dreamx.hardware import processor_name
from dreamx.model.cpu_ops import linear


@dataclass(frozen=True)
class MachineSpeed:
    """Measured speed of a device."""

    flop: float
    """Operations per second, in large products."""
    moved: float
    """Bytes per second that a plain copy writes."""
    call: float
    """Seconds of the smallest operation: the cost of calling one."""


CPU = torch.device("cpu")


def name(device: torch.device) -> str:
    """Return the maker's name of the processor or the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def free_memory(device: torch.device) -> float | None:
    """Bytes free on the device, for a CPU of the machine and its container; None where that is unknown."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if sys.platform != "linux":
        return None
    return available(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))


def available(meminfo: Path, group: Path) -> float | None:
    """Return the bytes that Linux reports as available, at most those left to its control group; None if unknown."""
    try:
        words = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = 1024.0 * int(words["MemAvailable"].split()[0])  # with caches that the system would give back
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = int((group / "memory.max").read_text())  # "max": none
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, float(max(0, limit - used)))


def probe(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> MachineSpeed:
    """Measure; the fastest of several tries counts, because whatever else runs here only ever slows one down."""
    return probe_both(device, dtype, seconds)[0]


def probe_both(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> tuple[MachineSpeed, MachineSpeed]:
    """Measure: how fast the machine is when it has nothing else to do (the fastest of several tries), and how fast it is now (the
    mean of them)."""
    size = 1024 if device.type == "cpu" else 8192  # large enough for full speed: matrices of 4 and 256 MiB in float32
    with torch.inference_mode():
        layer = nn.Linear(size, size, bias=False, device=device, dtype=dtype)
        x, small = torch.ones(size, size, device=device, dtype=dtype), torch.ones(8, device=device, dtype=dtype)
        big = torch.ones(2**24, device=device, dtype=dtype)  # 64 MiB of float32: more than the caches of most processors
        into = torch.empty_like(big)
        products = _tries(lambda: linear(layer, x), device, 0.6 * seconds)
        copies = _tries(lambda: into.copy_(big), device, 0.2 * seconds)
        calls = _tries(lambda: _often(small), device, 0.2 * seconds)
    quiet, now = (MachineSpeed(2.0 * size**3 / of(products), into.nbytes / of(copies), of(calls) / _OFTEN) for of in (min, fmean))
    return quiet, now


_OFTEN = 50


def _often(x: Tensor) -> None:
    for _ in range(_OFTEN):
        torch.add(x, x)


def _tries(run: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Seconds of each try; the first call of all is not one."""
    run()
    tries: list[float] = []
    end = time.perf_counter() + seconds
    while not tries or time.perf_counter() < end:
        synchronize(device)
        began = time.perf_counter()
        run()
        synchronize(device)
        tries.append(time.perf_counter() - began)
    return tries


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """Let ``peak_memory`` count from here; where a system cannot do that, it counts from the start of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # 5 resets the peak of resident memory


def peak_memory(device: torch.device) -> float | None:
    """Most bytes ever held at once: of tensors on a GPU; of this whole process on a CPU, None where that is unknown."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if os.name != "posix":
        return None
    import resource

    # Kilobytes on Linux, bytes on macOS.
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
