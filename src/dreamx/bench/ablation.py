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
from dreamx.fast.compiled_blocks import compile_blocks
from dreamx.fast.compiled_decoder import compile_decoder
from dreamx.fast.fp8 import quantise_fp8
from dreamx.fast.fused_blocks import fuse
from dreamx.fast.fused_kernels import triton_is_here
from dreamx.fast.int8 import quantise
from dreamx.fast.residual_reuse import reuse_residuals
from dreamx.hardware import processor_has
from dreamx.model.attention_backends import INT8
from dreamx.model.dit import DiT
from dreamx.model.precision import INSTRUCTIONS
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE

_WARM = 3  # chunks before the walk that counts, for what compiles


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


def ablate(
    plan: Plan,
    walk: Walk,
    chunks: int,
    device: torch.device,
    calibration: Calibration | None = None,
    compiled: bool = False,
) -> SpeedAblation:
    """Walk once for each technique, those that compile after a short walk. ``calibration`` None: measured first, by as many
    chunks."""
    fused = device.type == "cuda" and triton_is_here()
    plain = walk(PLAIN, chunks)
    found = calibration or calibrate(plan, walk, chunks, 35.0, plain)
    rows = [row_of("plain", plain, plain)]
    for t in techniques(plan, found, fused, device if compiled else None):
        if t.compiles:
            walk(t, _WARM)
        rows.append(row_of(t.name, walk(t, chunks), plain))
    dtype = str(plan.dtype).removeprefix("torch.")
    return SpeedAblation(
        plan.name, machine.name(device), torch.__version__, torch.get_num_threads(), dtype, chunks, tuple(rows), found
    )


def techniques(plan: Plan, found: Calibration, fused: bool = False, compiled: torch.device | None = None) -> list[Technique]:
    """List what can be tried here, the last being all together; ``fused``: with kernels in Triton, which want a GPU;
    ``compiled``: with what is compiled for this device, each alone."""
    noise, low = context_noise(plan), isinstance(plan.decoder, VAEConfig) and any(map(processor_has, INSTRUCTIONS))

    def reuse(dit: DiT) -> DiT:
        return reuse_residuals(dit, found.reuse, noise)

    def small(dit: DiT) -> DiT:
        return quantise(dit, found.int8, found.errors)

    each = [
        Technique("residual reuse", reuse),
        Technique("int8 layers", small),
        Technique("fp8 layers", quantise_fp8),
        Technique("int8 attention", backend=INT8),
        *([Technique("bfloat16 decoder", decoder=torch.bfloat16)] if low else []),
    ]
    if fused:
        each.append(Technique("fused kernels", fuse))
    if compiled is not None:
        each.append(Technique("compiled blocks", compile_blocks, compiles=True))
        if compiled.type == "cuda":
            each.append(Technique("CUDA graphs", lambda dit: compile_blocks(dit, "reduce-overhead"), compiles=True))
        if isinstance(plan.decoder, VAEConfig):
            each.append(Technique("compiled decoder", show=_compiled, compiles=True))
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


def _compiled(vae: VAE | WanVAE) -> VAE | WanVAE:
    return compile_decoder(vae) if isinstance(vae, VAE) else vae


def row_of(name: str, made: WalkMade, plain: WalkMade) -> AblationRow:
    """The figures of a walk; ``plain``: the walk that its pictures are compared with."""
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
