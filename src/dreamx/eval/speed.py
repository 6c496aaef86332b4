"""``dreamx eval speed``: is a world as fast at the end of a long session as at its beginning, and how long does a key take?

The world is walked as a player walks, dreaming and showing, without page and network. Figures are of one machine at one time,
and are written with its name.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx import atomic
from dreamx.bounds import OutputFolder, PositiveFloat, Workers
from dreamx.config import to_json
from dreamx.eval import folders
from dreamx.eval.models import weights_hash
from dreamx.eval.timed_walk import Clocks, Percentiles, percentiles, time_walk
from dreamx.hardware import processor_name
from dreamx.world import find

_KEYS = ("w", "wj", "l", "", "s", "d", "wl", "j")
_PARTS = 10


@dataclass(frozen=True)
class SpeedConfig:
    """Measure how fast a world runs here, and whether it stays so."""

    world: str = "tiny"
    """The name of a shipped world, or the folder of one."""
    seconds: PositiveFloat = 120.0
    """Of the world, not of the clock: the length of the session."""
    threads: Workers = 0
    """Of the processor; 0: as many as torch likes."""
    out: OutputFolder = Path("runs/eval/speed")
    """The folder that gets speed.json and speed.md."""

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"seconds must be a positive number, not {self.seconds}")
        if self.threads < 0:
            raise ValueError(f"threads must be 0 or more, not {self.threads}")


@dataclass(frozen=True)
class Interval:
    """A stretch of the session, from one second of the world to another: chunk times on the clock and on the processor, and
    megabytes of the process at its end."""

    start: float
    end: float
    chunk_ms: Percentiles
    cpu_ms: Percentiles
    megabytes: float


@dataclass(frozen=True)
class SpeedReport:
    """chunk_ms: to make and decode a chunk, on the clock. cpu_ms: the same as processor time of all threads together: with one
    thread it leaves out waiting for others, though not what sharing a core's units and caches with them costs. key_ms: from a key
    to the first picture that obeys it (``key_to_frame``).

    frames_per_second: made in the mean; real_time: that by the frames a second that the world plays at. first_frame_ms: from
    opening the files to the first picture. parts: against session length. load: jobs that ran on the machine when it began, in
    the mean of a minute, this one not counted; None where the system does not say.
    """

    world: str
    weights: str
    command: str
    machine: str
    load: float | None
    threads: int
    chunk_frames: int
    chunks: int
    first_frame_ms: float
    chunk_ms: Percentiles
    cpu_ms: Percentiles
    key_ms: Percentiles
    frames_per_second: float
    real_time: float
    parts: tuple[Interval, ...]


def main(cfg: SpeedConfig) -> None:
    """Measure, write, print."""
    folders.claim(cfg.out, "speed", folders.SPEED)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    words = ["dreamx", "eval", "speed", "--world", cfg.world, "--seconds", f"{cfg.seconds:g}"]
    words += ["--threads", str(cfg.threads)] if cfg.threads else []
    speed = measure_speed(cfg.world, cfg.seconds, Clocks(), words)
    text = speed_markdown(speed)
    for name, content in (("speed.json", json.dumps(to_json(speed), indent=1) + "\n"), ("speed.md", text)):
        atomic.write_text(cfg.out / name, content)
    print(text)


def measure_speed(name: str, seconds: float, clocks: Clocks, command: list[str]) -> SpeedReport:
    """One session of so many seconds of the world, started by ``command``."""
    load = cpu_load()
    walked = time_walk(name, seconds, _KEYS, clocks)
    fps, made, memory = walked.world.fps, walked.frames, [held / 2**20 for held in walked.memory]
    denoise, decode, cpu = walked.milliseconds()
    chunk = denoise + decode
    ends = torch.tensor(made).cumsum(0) / fps
    parts: list[Interval] = []
    at = 0
    for piece in torch.arange(len(made)).chunk(_PARTS):
        first_one, last = int(piece[0]), int(piece[-1])
        stretch = slice(first_one, last + 1)
        parts.append(Interval(float(at), float(ends[last]), percentiles(chunk[stretch]), percentiles(cpu[stretch]), memory[last]))
        at = float(ends[last])
    rate = sum(made) / float(chunk.sum()) * 1000
    return SpeedReport(
        world=name,
        weights=weights_hash(find(name)),
        command=shlex.join(command),
        machine=machine(),
        load=load,
        threads=torch.get_num_threads(),
        chunk_frames=made[-1],
        chunks=len(made),
        first_frame_ms=1000 * walked.first_frame,
        chunk_ms=percentiles(chunk),
        cpu_ms=percentiles(cpu),
        key_ms=percentiles(key_to_frame(chunk, made[-1] / fps * 1000)),
        frames_per_second=rate,
        real_time=rate / fps,
        parts=tuple(parts),
    )


def key_to_frame(chunk: Tensor, lasts: float) -> Tensor:
    """Milliseconds from keys to the first pictures that obey them, of chunk times ``[N]`` in ms; a chunk plays for ``lasts`` ms.

    Keys come at ten even moments of every round. The world makes one chunk while another plays, so a round is as long as the
    longer of the two; a key waits for the end of the round it comes in, then for its chunk to be made.
    """
    rounds = chunk[:-1].clamp(min=lasts)
    moments = (torch.arange(10, dtype=chunk.dtype) + 0.5) / 10
    return (rounds[:, None] * (1 - moments) + chunk[1:, None]).flatten() if len(chunk) > 1 else chunk


def machine() -> str:
    """Describe the machine of a report in words."""
    return f"{processor_name()}, {os.cpu_count()} cores, torch {torch.__version__}"


def cpu_load() -> float | None:
    """Jobs that ran on this machine in the last minute, in the mean; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def speed_markdown(speed: SpeedReport) -> str:
    """Write the report as a page of a repository."""
    rows = (("a chunk, on the clock", speed.chunk_ms), ("a chunk, processor time", speed.cpu_ms), ("key to frame", speed.key_ms))
    others = "" if speed.load is None else f" {speed.load:.1f} other jobs ran on the machine when it began."
    threads = f"{speed.threads} thread{'s' * (speed.threads != 1)}"
    lines = [f"# Speed of {speed.world}", "", f"    {speed.command}", ""]
    lines += [f"{speed.machine}, {threads}; weights {speed.weights}.{others}", ""]
    lines += ["| ms | p50 | p95 | p99 |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {s.p50:.0f} | {s.p95:.0f} | {s.p99:.0f} |" for name, s in rows]
    lines += ["", "Key to frame is from a key press to the first picture that obeys it, without browser and network."]
    lines += [
        "Processor time of one thread leaves out waiting for other jobs, though not what sharing a core and its caches with"
    ]
    lines += ["them costs.", ""]
    lines += [f"{speed.frames_per_second:.1f} frames a second, {speed.real_time:.1f} times what it plays at, in chunks of"]
    lines += [f"{speed.chunk_frames} frames; the first picture after {speed.first_frame_ms:.0f} ms.", ""]
    lines += ["| seconds walked | chunk p50, ms | p95 | p99 | processor p50, ms | p95 | MB of memory |", "|---|" + "---:|" * 6]
    for p in speed.parts:
        figures = (p.chunk_ms.p50, p.chunk_ms.p95, p.chunk_ms.p99, p.cpu_ms.p50, p.cpu_ms.p95, p.megabytes)
        lines += [f"| {p.start:.0f} to {p.end:.0f} | " + " | ".join(f"{x:.0f}" for x in figures) + " |"]
    return "\n".join(lines) + "\n"
