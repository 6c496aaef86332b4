"""``dreamx bench engine --ablate``: each way to be faster on its own, and all together, against the plain engine.

Every row is the same walk (``bench.same_walk``): same noise, words and keys, so that what its pictures differ by is due to the
technique. PSNR is that of the mean square error over all frames; 99 dB are equal frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dreamx.bench.calibrate import Calibration, calibrate, context_noise
from dreamx.bench.same_walk import PLAIN, Technique, Walk, WalkMade, distance_from
from dreamx.budget import machine
from dreamx.budget.plan import Plan
from dreamx.fast.fused_blocks import fuse
from dreamx.fast.fused_kernels import triton_is_here
from dreamx.fast.int8 import quantise
from dreamx.fast.residual_reuse import reuse_residuals
from dreamx.hardware import processor_has
from dreamx.model.attention_backends import INT8
from dreamx.model.dit import DiT
from dreamx.model.precision import INSTRUCTIONS
from dreamx.model.vae import VAEConfig


@dataclass(frozen=True)
class AblationRow:
    """One technique. pass_ms, chunk_ms: means, skipped passes and decoding included; fps: video frames a second.

    cpu_ms: processor time of a chunk, which other programs on the machine change least; None on a GPU. weights: bytes of the
    transformer. memory: most bytes of tensors on a GPU, None on a CPU. psnr: dB to the plain walk. features: mean distance
    (1 - cosine) of ``eval.estimators.features``.
    """

    name: str
    pass_ms: float
    chunk_ms: float
    fps: float
    cpu_ms: float | None
    weights: int
    memory: float | None
    psnr: float
    features: float


@dataclass(frozen=True)
class SpeedAblation:
    """All rows, the plain one first and all together last, and the settings that they were walked with."""

    config: str
    device: str
    torch: str
    threads: int
    dtype: str
    chunks: int
    rows: tuple[AblationRow, ...]
    calibration: Calibration


def ablate(plan: Plan, walk: Walk, chunks: int, device: torch.device, calibration: Calibration | None = None) -> SpeedAblation:
    """Walk once for each technique. ``calibration`` None: measured first, by as many chunks."""
    fused = device.type == "cuda" and triton_is_here()
    plain = walk(PLAIN, chunks)
    found = calibration or calibrate(plan, walk, chunks, 35.0, plain)
    rows = [_row("plain", plain, plain)]
    rows += [_row(t.name, walk(t, chunks), plain) for t in techniques(plan, found, fused)]
    dtype = str(plan.dtype).removeprefix("torch.")
    return SpeedAblation(
        plan.name, machine.name(device), torch.__version__, torch.get_num_threads(), dtype, chunks, tuple(rows), found
    )


def techniques(plan: Plan, found: Calibration, fused: bool = False) -> list[Technique]:
    """List what can be tried here, the last being all together; ``fused``: with kernels in Triton, which want a GPU."""
    noise, low = context_noise(plan), isinstance(plan.decoder, VAEConfig) and any(map(processor_has, INSTRUCTIONS))

    def reuse(dit: DiT) -> DiT:
        return reuse_residuals(dit, found.reuse, noise)

    def small(dit: DiT) -> DiT:
        return quantise(dit, found.int8, found.errors)

    each = [
        Technique("residual reuse", reuse),
        Technique("int8 layers", small),
        Technique("int8 attention", backend=INT8),
        *([Technique("bfloat16 decoder", decoder=torch.bfloat16)] if low else []),
    ]
    if fused:
        each.append(Technique("fused kernels", fuse))
    decoder = torch.bfloat16 if low else torch.float32
    return [*each, Technique("all together", lambda dit: reuse(fuse(small(dit)) if fused else small(dit)), INT8, decoder)]


def table(found: SpeedAblation) -> list[str]:
    """The rows in columns."""
    widths = {
        "pass ms": 10,
        "chunk ms": 10,
        "cpu ms": 9,
        "fps": 8,
        "weights MB": 12,
        "memory GB": 11,
        "PSNR dB": 9,
        "features": 10,
    }
    head = " " * 18 + "".join(f"{name:>{width}}" for name, width in widths.items())
    where = f"{found.device}, {found.threads} threads, torch {found.torch}"
    lines = [f"{found.config}, {found.chunks} chunks, {found.dtype}, {where}", head]
    for r in found.rows:
        memory = "-" if r.memory is None else f"{r.memory / 1e9:.2f}"
        cpu = "-" if r.cpu_ms is None else f"{r.cpu_ms:.1f}"
        shown = f"{r.name:18}{r.pass_ms:10.2f}{r.chunk_ms:10.1f}{cpu:>9}{r.fps:8.2f}{r.weights / 1e6:12.1f}"
        lines.append(f"{shown}{memory:>11}{r.psnr:9.2f}{r.features:10.4f}")
    return lines


def _row(name: str, made: WalkMade, plain: WalkMade) -> AblationRow:
    near, features = distance_from(made, plain)
    seconds, passes = sum(made.chunks), made.passes
    return AblationRow(
        name,
        1000 * sum(passes) / max(1, len(passes)),
        1000 * seconds / len(made.chunks),
        made.frames / seconds,
        None if made.cpu is None else 1000 * made.cpu / len(made.chunks),
        made.weights,
        made.memory,
        near,
        features,
    )
