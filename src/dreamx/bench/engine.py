"""``dreamx bench engine``: the stopwatch of the engine: one transformer and one decoder, without page, memory or player.

It fills the window, then makes chunks and times them: whole chunks, single passes, single decodings. Random weights are as fast
as learned ones, so the 5B is measured at full size without having it. Words are random, too; the text encoder is not timed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Literal

import torch

from dreamx.bench.ablation import SpeedAblation, ablate, table
from dreamx.bench.calibrate import calibration_for, planned
from dreamx.bench.shared_rows import must_share, shared_rows
from dreamx.bench.stopwatch import networks, run
from dreamx.bounds import InputFile, PositiveInt, Threads
from dreamx.budget import fit, machine, plan
from dreamx.budget.fit import Need, PredictedPace
from dreamx.budget.machine import MachineSpeed
from dreamx.budget.plan import Plan
from dreamx.config import to_json
from dreamx.devices import device_of
from dreamx.fast.compiled_blocks import can_compile
from dreamx.model.attention_backends import BACKENDS, TORCH, AttentionBackend, chosen_by_torch

_PATIENCE = 900.0  # seconds that a CPU may take, as counted, where nobody asked for the CPU


@dataclass(frozen=True)
class EngineBenchConfig:
    """Measure how fast the transformer and the decoder run here, and what share of the machine's peak that is."""

    config: str = "tiny"
    """What to run: w5b (DreamX-World-5B), a world by its name or folder, or a transformer's checkpoint."""
    random_weights: bool = False
    """Do not read weights; of w5b there are none to read."""
    size: str | None = None
    """Picture size, HEIGHTxWIDTH in pixels; by default that of the config, 704x1280 for w5b."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """What to compute in; by default what the weights are in, and for released models on a CPU float32."""
    attention: Literal["flash", "cudnn", "efficient", "math", "plain", "int8"] | None = None
    """Kernel of attention (model/attention_backends.py); by default the one that torch chooses."""
    device: str | None = None
    """cuda, cuda:1 or cpu; by default the GPU where there is one."""
    chunks: PositiveInt | None = None
    """Chunks that are timed, after the window is full; by default 5, and 30 to ablate."""
    threads: Threads | None = None
    """CPU threads; by default what torch chooses."""
    ablate: bool = False
    """One row for each way to be faster, and one for all together: time, memory, and distance to the plain pictures."""
    calibration: InputFile | None = None
    """Settings of these, as dreamx calibrate --out wrote them; by default measured first."""
    compile: bool = False
    """With --ablate: rows for compiled blocks and a compiled decoder, too; compiling takes minutes on a CPU."""
    processes: PositiveInt | None = None
    """With --ablate: rows for so many processes that share each frame by its rows, 2 or more."""
    json: bool = False
    """Print JSON alone."""


@dataclass(frozen=True)
class EngineBench:
    """Measurements of a transformer and its decoder. Milliseconds are medians; frames are video frames; memory is in bytes.

    fps_latents: frames a second without decoding them; fps: with. pass_ms: one pass of the transformer. decode_ms: one latent
    frame. pass_tflop: counted products and attentions of a pass. peak_tflops: what one large product makes here, in TFLOP/s;
    share_of_peak: what a pass makes of that. first_frame_s: from an empty window to the first decoded picture, the first call of
    everything. memory: the most that was held at once, on a GPU by tensors, on a CPU by the process on top of what it had before.
    predicted: what counting and half a second of measuring say (``dreamx doctor``).
    """

    config: str
    size: tuple[int, int]
    device: str
    torch: str
    threads: int
    dtype: str
    attention: str
    parameters: int
    tokens: int
    passes: int
    chunk_frames: int
    fps_latents: float
    fps: float | None
    real_time_factor: float
    chunk_ms: float
    pass_ms: float
    decode_ms: float | None
    first_frame_s: float
    pass_tflop: float
    peak_tflops: float
    share_of_peak: float
    memory: float | None
    predicted_pass_ms: float
    predicted_memory: float


def measure(cfg: EngineBenchConfig) -> EngineBench:
    """Build, fill the window, time. ValueError where that cannot be done here, with what it would need."""
    chunks = 5 if cfg.chunks is None else cfg.chunks
    if chunks < 1:
        raise ValueError(f"chunks: {chunks} is none to time; give 1 or more")
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    p = plan.plan_of(cfg.config, plan.read_size(cfg.size), None if cfg.dtype is None else plan.DTYPES[cfg.dtype])
    if p.folder is None and not cfg.random_weights:
        raise ValueError(f"random-weights: {p.name} has no weights here; say --random-weights, or name a checkpoint's folder")
    device = device_of(cfg.device)
    gpu, p = fit.need(p), replace(p, dtype=plan.on(p, device).dtype) if cfg.dtype is None else p
    need, work = fit.need(p), p.one_pass()
    if device.type == "cpu" and cfg.device is None:
        _refuse_ages(p, gpu)
    fit.must_fit(p, device, need.making)
    speed = machine.probe(device, p.dtype)
    backend = _backend(cfg.attention, device, p.dtype)
    with torch.inference_mode():
        chosen = cfg.attention or chosen_by_torch(device, p.dtype, p.dit.width // p.dit.heads)
        machine.forget_peak(device)
        before = machine.peak_memory(device)
        dit, decoder = networks(p, device, cfg.random_weights)
        times = run(p, dit, decoder, device, chunks, backend)
    peak, frames, chunk, one = machine.peak_memory(device), p.past.chunk * p.group, median(times.chunks), median(times.passes)
    decoding = median(times.decodings) if times.decodings else None
    whole = chunk + p.past.chunk * (decoding or 0.0)
    return EngineBench(
        config=p.name,
        size=p.size,
        device=machine.name(device),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        dtype=str(p.dtype).removeprefix("torch."),
        attention=chosen,
        parameters=p.weights(),
        tokens=p.tokens,
        passes=p.passes,
        chunk_frames=frames,
        fps_latents=frames / chunk,
        fps=None if decoding is None else frames / whole,
        real_time_factor=frames / p.fps / whole,
        chunk_ms=1000 * chunk,
        pass_ms=1000 * one,
        decode_ms=None if decoding is None else 1000 * decoding,
        first_frame_s=times.first,
        pass_tflop=work.flop / 1e12,
        peak_tflops=speed.flop / 1e12,
        share_of_peak=work.flop / one / speed.flop,
        memory=None if peak is None or before is None else peak - before,
        predicted_pass_ms=1000 * fit.pace(p, speed, device).one_pass,
        predicted_memory=need.making,
    )


def main(cfg: EngineBenchConfig) -> None:
    """Print the figures, as a table or as JSON."""
    if cfg.ablate:
        found = _ablation(cfg)
        print(json.dumps(to_json(found)) if cfg.json else "\n".join(table(found)))
        return
    for name, given in (("calibration", cfg.calibration), ("compile", cfg.compile or None), ("processes", cfg.processes)):
        if given is not None:
            raise ValueError(f"{name}: it is read for --ablate alone; say that, too, or leave it out")
    r = measure(cfg)
    if cfg.json:
        print(json.dumps(asdict(r)))
        return
    print(
        f"{r.config} at {r.size[0]}x{r.size[1]}, {r.parameters / 1e6:,.1f} million parameters, {r.dtype}, {r.attention} attention"
    )
    print(f"{r.device}, {r.threads} threads, torch {r.torch}")
    for name, words in rows(r):
        print(f"  {name:24} {words}")


def _ablation(cfg: EngineBenchConfig) -> SpeedAblation:
    if cfg.attention is not None:
        raise ValueError("attention: --ablate compares kernels of attention itself; leave it out")
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    device = device_of(cfg.device)
    if cfg.compile and not can_compile(device):
        raise ValueError("compile: torch compiles with a C++ compiler, on a GPU with triton, and none is here; leave it out")
    p, walk = planned(cfg.config, cfg.size, cfg.dtype, cfg.device, cfg.random_weights)
    if cfg.processes is not None:
        must_share(p, device, cfg.processes)
    calibration = None if cfg.calibration is None else calibration_for(cfg.calibration, p)
    found = ablate(p, walk, cfg.chunks or 30, device, calibration, cfg.compile)
    if cfg.processes is None:
        return found
    return replace(found, rows=(*found.rows, *shared_rows(p, device, found.chunks, cfg.processes, cfg.random_weights)))


def rows(r: EngineBench) -> list[tuple[str, str]]:
    """The figures in words."""
    memory = "unknown" if r.memory is None else fit.gigabytes(r.memory)
    found = [
        ("frames per second", f"{r.fps_latents:.2f} without decoding" + ("" if r.fps is None else f", {r.fps:.2f} with")),
        ("real-time factor", f"{r.real_time_factor:.3f}"),
        ("chunk", f"{r.chunk_ms:.1f} ms for {r.chunk_frames} frames, {r.passes} passes"),
        ("pass", f"{r.pass_ms:.2f} ms, counted {r.pass_tflop:.4g} TFLOP (predicted {r.predicted_pass_ms:.2f} ms)"),
        ("share of matmul peak", f"{r.share_of_peak:.2f} of {r.peak_tflops:.4g} TFLOP/s measured here"),
    ]
    if r.decode_ms is not None:
        found.append(("decoding", f"{r.decode_ms:.1f} ms a latent frame"))
    found.append(("first frame", f"{r.first_frame_s:.2f} s"))
    found.append(("memory", f"{memory} (predicted {fit.gigabytes(r.predicted_memory)})"))
    return found


def _refuse_ages(p: Plan, gpu: Need) -> None:
    """ValueError where a CPU would take too long, in one sentence that says what would do. ``gpu``: what it needs on a GPU."""
    slow: MachineSpeed = machine.probe(torch.device("cpu"), p.dtype)
    pace: PredictedPace = fit.pace(p, slow, torch.device("cpu"))
    rounds = 1 + -(-p.window // p.past.chunk)
    if rounds * pace.chunk > _PATIENCE:
        raise ValueError(
            f"{p.name} at {p.size[0]}x{p.size[1]} needs a GPU with {fit.gigabytes(gpu.making)} free, and none is here; on this "
            f"CPU a pass would take about {fit.duration(pace.one_pass)}, the whole bench {fit.duration(rounds * pace.chunk)} "
            "(--device cpu tries all the same)"
        )


def _backend(name: str | None, device: torch.device, dtype: torch.dtype) -> AttentionBackend:
    """Return that attention backend. ValueError where it does not run on this device in this dtype."""
    backend = TORCH if name is None else BACKENDS[name]
    if not backend.runs_on(device, dtype):
        raise ValueError(f"attention: torch has no {name} attention for {dtype} on {device.type}; leave it out")
    return backend
