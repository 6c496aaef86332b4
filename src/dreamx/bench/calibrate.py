"""``dreamx calibrate``: how far passes may be skipped and layers rounded before pictures change, measured on one checkpoint.

One walk in full precision tells how passes of a chunk differ, to which the polynomial of residual reuse is fitted, and the error
of each layer in 8 bits. Then the walk is repeated with candidates, from the fastest on; the first whose pictures are near enough
to the plain ones (``target``, PSNR in dB over all frames together) is taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dreamx import atomic
from dreamx.bench.same_walk import PLAIN, Technique, Walk, WalkMade, psnr_of_all, walk_of
from dreamx.bounds import OutputFile, PositiveFloat, PositiveInt, Threads
from dreamx.budget import plan as plans
from dreamx.budget.plan import Plan
from dreamx.config import from_json, to_json
from dreamx.devices import device_of
from dreamx.fast.int8 import Int8Config, int8_layers, measure_int8_errors, quantise
from dreamx.fast.residual_reuse import PassChange, ReuseConfig, block_stack, reuse_residuals
from dreamx.model.dit import DiT
from dreamx.plaintext import brief, named, read_json

_DEGREE = 4  # of the polynomial, as TeaCache has it
_REACHES = (1.0, 0.5, 0.25)  # shares of the guesses that a threshold lets pass
_MEASURED = 4  # chunks for the errors of layers
_SHARES = (1.0, 0.75, 0.5, 0.25)  # of the layers, those with the smallest errors, that are rounded


@dataclass(frozen=True)
class CalibrateConfig:
    """Find the threshold of residual reuse and the layers for 8 bits, for one checkpoint."""

    config: str = "tiny"
    """A world by its name or folder, a transformer's checkpoint, or w5b with random weights, to see that it runs."""
    out: OutputFile | None = None
    """Write what was found here, as JSON; dreamx bench engine --ablate --calibration reads it."""
    target: PositiveFloat = 35.0
    """Least PSNR, in dB, of a walk to the plain one with the same noise."""
    chunks: PositiveInt = 30
    """Length of the walk."""
    random_weights: bool = False
    """Do not read weights."""
    size: str | None = None
    """Picture size, HEIGHTxWIDTH in pixels; by default that of the config."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Numbers to compute in; by default those of the weights, and for released models on a CPU float32."""
    device: str | None = None
    """cuda, cuda:1 or cpu; by default the GPU where there is one."""
    threads: Threads | None = None
    """CPU threads; by default what torch chooses."""

    def __post_init__(self) -> None:
        if self.target >= 99:
            raise ValueError(f"target must be below 99, which equal frames have, not {self.target:g}")


@dataclass(frozen=True)
class Candidate:
    """One setting that was walked with. ``saved``: share of the passes that were skipped, or of the layers that are rounded."""

    what: str
    value: float
    saved: float
    psnr: float


@dataclass(frozen=True)
class Calibration:
    """Result for one checkpoint. ``errors``: of each layer in 8 bits. A threshold of 0 and a ``most_error`` of 0 mean that no
    candidate was good enough."""

    config: str
    chunks: int
    target: float
    reuse: ReuseConfig
    int8: Int8Config
    errors: dict[str, float]
    tried: tuple[Candidate, ...]


def main(cfg: CalibrateConfig) -> None:
    """Measure, print, and write the file."""
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    p, walk = planned(cfg.config, cfg.size, cfg.dtype, cfg.device, cfg.random_weights)
    found = calibrate(p, walk, cfg.chunks, cfg.target)
    for line in lines(found):
        print(line)
    if cfg.out is not None:
        atomic.write_json(cfg.out, to_json(found))


def planned(name: str, size: str | None, dtype: str | None, device: str | None, random: bool) -> tuple[Plan, Walk]:
    """The plan of a config on its device, and its walk. ValueError where it has no weights."""
    p = plans.plan_of(name, plans.read_size(size), None if dtype is None else plans.DTYPES[dtype])
    if p.folder is None and not random:
        raise ValueError(f"random-weights: {p.name} has no weights here; say --random-weights, or name a checkpoint's folder")
    if p.world and p.folder is not None and not random:
        for field, given in (("size", size), ("dtype", dtype), ("device", device)):
            if given not in (None, "cpu"):
                raise ValueError(
                    f"{field}: a world walks at its own size and in its own numbers, on the CPU; leave --{field} out"
                )
    here = device_of(device)
    p = replace(p, dtype=plans.on(p, here).dtype, lent=False) if dtype is None else p
    walk = walk_of(p, here, random)
    return replace(p, world=p.world and not random), walk  # random networks walk, and write, as those of a checkpoint


def read_calibration(file: Path) -> Calibration:
    """Read what ``dreamx calibrate --out`` wrote. ValueError names the file and the key."""
    with named(f"calibration: {file}"):
        return from_json(Calibration, read_json(file))


def calibration_for(file: Path, plan: Plan) -> Calibration:
    """Read the calibration of a plan's transformer. ValueError, before anything is walked, where the file is of another: by its
    name, or by its layers."""
    found = read_calibration(file)
    with torch.device("meta"):
        layers = set(int8_layers(DiT(plan.dit)))
    if found.config == plan.name and set(found.errors) == layers:
        return found
    made = f"made for {brief(found.config)}" if found.config != plan.name else "made for a network of that name with other layers"
    raise ValueError(
        f"calibration: {file} was {made}, and this is {plan.name}; make one with dreamx calibrate, or leave --calibration out"
    )


def calibrate(plan: Plan, walk: Walk, chunks: int, target: float, plain: WalkMade | None = None) -> Calibration:
    """Walk, fit, and try. ``plain``: a walk of as many chunks with nothing changed, if there is one already."""
    plain = plain or walk(PLAIN, chunks)
    changes = block_stack(walk(Technique("", lambda dit: reuse_residuals(dit, None)), chunks).dit).changes
    errors = measure_int8_errors(plain.dit, lambda net: walk(Technique("", lambda _: net), min(_MEASURED, chunks)))
    tried: list[Candidate] = []
    noise = context_noise(plan)
    chosen: list[ReuseConfig] = [ReuseConfig(0.0, least_sigma=noise)]
    best = 0.0
    for first_block in (False, True):
        config = ReuseConfig(0.0, fit_changes(changes, first_block), first_block, noise)
        for threshold in thresholds(changes, config):
            now = replace(config, threshold=threshold)
            made = walk(Technique("", lambda dit, now=now: reuse_residuals(dit, now, noise)), chunks)
            stack = block_stack(made.dit)
            share = stack.skipped / max(1, stack.passes)
            what = "first block" if first_block else "modulated input"
            tried.append(Candidate(what, threshold, share, psnr_of_all(made.pictures, plain.pictures)))
            if tried[-1].psnr >= target:
                if share > best:
                    chosen, best = [now], share
                break
    limit = 0.0
    for share in _SHARES:
        bound = sorted(errors.values())[max(0, round(share * len(errors)) - 1)]
        now8 = Int8Config(bound)
        made = walk(Technique("", lambda dit, now8=now8: quantise(dit, now8, errors)), chunks)
        rounded = sum(e <= bound for e in errors.values()) / len(errors)
        tried.append(Candidate("int8", bound, rounded, psnr_of_all(made.pictures, plain.pictures)))
        if tried[-1].psnr >= target:
            limit = bound
            break
    return Calibration(plan.name, chunks, target, chosen[0], Int8Config(limit), errors, tuple(tried))


def context_noise(plan: Plan) -> float:
    """Noise level at which a plan's walk writes finished frames."""
    if plan.world and plan.folder is not None:
        from dreamx.checkpoints import native
        from dreamx.session import WorldConfig

        return native.read_config(plan.folder, "world", WorldConfig).sampler.context_noise
    return 0.1  # of bench.stopwatch


def fit_changes(changes: Sequence[PassChange], first_block: bool) -> tuple[float, ...]:
    """Polynomial, highest power first, from the change of what is watched to that of the residual, by least squares."""
    x, y = _pairs(changes, first_block)
    degree = min(_DEGREE, len(set(x)) - 1)
    if degree < 1:
        return (1.0, 0.0)
    return tuple(float(c) for c in np.polyfit(x, y, degree))


def thresholds(changes: Sequence[PassChange], config: ReuseConfig) -> list[float]:
    """Thresholds to try, the fastest first: just above so large a share of the guesses of single passes."""
    x, _ = _pairs(changes, config.first_block)
    guesses = sorted(max(0.0, float(np.polyval(config.fit, value))) for value in x)
    if not guesses:
        return []
    picks = [guesses[max(0, round(share * len(guesses)) - 1)] * 1.001 + 1e-9 for share in _REACHES]
    return list(dict.fromkeys([2 * picks[0], *picks]))


def lines(found: Calibration) -> list[str]:
    """The result in words."""
    worst = sorted(found.errors.items(), key=lambda item: -item[1])
    shown = [f"  {name:24} {100 * error:6.2f} %" for name, error in worst]
    rows = [f"  {c.what:16} {c.value:10.4g}   {100 * c.saved:5.1f} % saved   {c.psnr:6.2f} dB" for c in found.tried]
    by = "by the first block" if found.reuse.first_block else "by the modulated input"
    reuse = f"threshold {found.reuse.threshold:.4g}, {by}" if found.reuse.threshold else "none: no threshold was good enough"
    kept = [name for name, error in found.errors.items() if not error <= found.int8.most_error]
    return [
        f"{found.config}, {found.chunks} chunks, pictures to be within {found.target:g} dB of the plain ones",
        "error of each layer in 8 bits:",
        *shown,
        "tried:",
        *rows,
        f"residual reuse: {reuse}",
        f"int8: {len(found.errors) - len(kept)} of {len(found.errors)} layers",
        json.dumps(to_json(found.reuse)),
    ]


def _pairs(changes: Sequence[PassChange], first_block: bool) -> tuple[list[float], list[float]]:
    x = [c.first if first_block else c.modulated for c in changes]
    return x, [c.residual_after_first if first_block else c.residual for c in changes]
