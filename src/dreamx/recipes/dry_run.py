"""Table of what a recipe would cost: a row for each training stage, from networks without weights. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from dreamx.budget.fit import duration, gigabytes
from dreamx.budget.gpus import GPUS, USABLE
from dreamx.budget.training_cost import META, TransformerStep, transformer_cost
from dreamx.budget.training_fit import StageLoad, step_seconds, training_need, training_refusal
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.vae import VAEConfig
from dreamx.model.wan_vae import WanVAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.recipes import tiny
from dreamx.recipes.ablations.camera_lane import FreshLane
from dreamx.recipes.distill_load import distill_loader
from dreamx.recipes.picture_load import count_parameters, picture_loader, product_dtype
from dreamx.recipes.reward_load import reward_loader
from dreamx.recipes.step import Recipe
from dreamx.train.autoencoder import AutoencoderStage
from dreamx.train.camera_control import CameraStage
from dreamx.train.causal import CausalStage
from dreamx.train.consistency import ConsistencyStage
from dreamx.train.distill import DistillStage
from dreamx.train.event_tuning import EventsStage
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.reward import RewardStage
from dreamx.train.trainable import freeze

#: Stages that train a transformer.
TransformerStage = CameraStage | CausalStage | MemoryStage | EventsStage | ConsistencyStage

#: Makes a stage's load with so many clips on each GPU (None: its own batch), and with checkpointed blocks or without.
Loader = Callable[[int | None, bool], StageLoad]


@dataclass(frozen=True)
class Hardware:
    """The machine that is asked about: GPUs, how many, and the share of their peak that training is assumed to reach."""

    gpu: str
    gpus: int
    utilisation: float


def cost_table(module: ModuleType, recipe: Recipe, on: Hardware, checkpointed: bool, stage: str | None = None) -> str:
    """The table of a recipe, or of one stage, below what is assumed; then a sentence for each stage that does not fit."""
    gpu = GPUS[on.gpu]
    rows: list[tuple[str, ...]] = [_HEAD]
    said: list[str] = []
    total = 0.0
    for name, loader in stage_loaders(module, recipe).items():
        if stage not in (None, name):
            continue
        load = loader(None, checkpointed)
        need, each = training_need(load, on.gpus), step_seconds(load, gpu, on.utilisation)
        total += each * load.steps
        counts = (f"{load.parameters:,}", f"{load.trained:,}", str(load.batch), str(load.dtype).removeprefix("torch."))
        split = (need.weights, need.gradients, need.optimiser, need.average, need.activations, need.working, need.most)
        time = (f"{load.flop / 1e12:.3g}", duration(each), str(load.steps), duration(each * load.steps))
        rows.append((load.name, *counts, *map(_bytes, split), *time))
        refusal = training_refusal(name, gpu, on.gpus, load.batch, checkpointed, loader)
        said += [] if refusal is None else [refusal]
    if len(rows) == 1:
        return "Nothing is trained.\n"
    peaks = f"{gpu.narrow / 1e12:g} TFLOP/s in bfloat16, {gpu.wide / 1e12:g} in float32"
    blocks = "blocks are computed again in the backward pass" if checkpointed else "blocks keep everything for the backward pass"
    lines = [
        f"{on.gpus} x {on.gpu}: {gigabytes(gpu.memory)} each, of which tensors can have {USABLE:.0%}; {peaks}.",
        f"Assumed: {on.utilisation:.0%} of that peak is reached; {blocks}. Time is of products: small networks take longer.",
        "Bytes on each GPU. Weights, gradients, optimiser and average: float32, sharded over all GPUs (FSDP2). Batch: a GPU.",
        "The peak is less than the sum: gradients come while activations go. Not counted: data, checkpoints, frozen encoders.",
        "",
        *_aligned(rows),
        "",
        f"Training takes {duration(total)} in all, {on.gpus * total / 3600:.3g} GPU hours.",
    ]
    return "\n".join([*lines, *said, ""])


_HEAD = (
    *("stage", "parameters", "trained", "batch", "dtype", "weights", "gradients", "optimiser", "average", "activations"),
    *("working", "peak", "TFLOP", "a step", "steps", "time"),
)


def _bytes(n: float) -> str:
    return gigabytes(n) if n >= 1e7 else f"{n / 1e6:.1f} MB"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    left, *right = ([row[i].rjust(w) if i else row[i].ljust(w) for row in rows] for i, w in enumerate(widths))
    return ["  ".join(cells) for cells in zip(left, *right, strict=True)]


def stage_loaders(module: ModuleType, recipe: Recipe) -> dict[str, Loader]:
    """Functions that say the load of each training stage of a recipe, by its name."""
    known: dict[Path, tuple[DiTConfig, Any]] = {}  # the networks that earlier steps write
    found: dict[str, Loader] = {}
    own = getattr(module, "VAE", None)
    vae = own if isinstance(own, WanVAEConfig) else VAEConfig()  # not trained, or of the last that was
    for step in recipe:
        cfg = step.cfg
        if isinstance(cfg, FreshLane):
            known[cfg.out] = replace(tiny.DIT, view=cfg.lane), tiny.TEXT
        if isinstance(cfg, CameraStage) and cfg.start is None:
            known[cfg.out] = cfg.dit, cfg.text
        if isinstance(cfg, AutoencoderStage) and cfg.start is None:
            vae = cfg.vae
        if isinstance(cfg, TransformerStage):
            nets = known.get(cfg.out) or known.get(cfg.start or cfg.out) or _networks(module)
            if isinstance(cfg, EventsStage) and cfg.text is not None:  # as ``renew_text`` makes them
                nets = (replace(nets[0], text=cfg.text.width), cfg.text)
            known[cfg.out] = nets
            found[step.name] = _transformer(step.name, cfg, nets, module)
        elif isinstance(cfg, DistillStage):
            found[step.name] = _distilled(step.name, cfg, known, module)
        elif isinstance(cfg, RewardStage):
            found[step.name] = _reinforced(step.name, cfg, known, module)
        elif step.trains:
            found[step.name] = picture_loader(step.name, cfg, _size(module), vae)
    return found


def _networks(module: ModuleType) -> tuple[DiTConfig, Any]:
    return getattr(module, "DIT", tiny.DIT), getattr(module, "TEXT", tiny.TEXT)


def _size(module: ModuleType) -> tuple[int, int]:
    """Rows and columns of a recipe's pictures; an ablation follows ``tiny``."""
    size = getattr(module, "SIZE", tiny.SIZE)
    return (size, size) if isinstance(size, int) else size


def _latent(module: ModuleType) -> tuple[int, int]:
    shrink = getattr(module, "VAE", tiny.VAE).shrink
    rows, cols = _size(module)
    return rows // shrink, cols // shrink


def _transformer(
    name: str,
    cfg: TransformerStage,
    nets: tuple[DiTConfig, Any],
    module: ModuleType,
) -> Loader:
    (dit, text), latent = nets, _latent(module)
    frames = cfg.frames or getattr(module, "FRAMES", tiny.FRAMES)
    teaching, train, packing = None, None, None
    if isinstance(cfg, CameraStage):
        given, train = cfg.batch, cfg.train
    else:
        how = cfg.packing if isinstance(cfg, MemoryStage) else cfg.teaching
        given, (window, sinks) = how.batch, max(how.windows)  # the widest: the most is seen
        teaching = (how.chunk, window, sinks)
    if isinstance(cfg, MemoryStage):
        packing = (cfg.packing.targets, cfg.packed.frames)  # the most that is recalled
    both = _both(dit, text)
    freeze(both, train, name)
    block = count_parameters(both["dit"].get_submodule("blocks.0"))
    parameters = count_parameters(both)
    twice = isinstance(cfg, ConsistencyStage)  # the teacher, and the averaged student, look once each

    def load(batch: int | None, checkpointed: bool) -> StageLoad:
        batch, dtype = batch or given, product_dtype(cfg)
        step = TransformerStep(dit, latent, frames, batch, text.words, teaching, dtype, train, False, checkpointed, packing)
        return StageLoad(
            name=name,
            parameters=parameters,
            trained=count_parameters(both, trained=True),
            block=block,
            cost=transformer_cost(step),
            steps=cfg.run.steps,
            batch=batch,
            dtype=dtype,
            copies=parameters if twice else 0,
            passes=2 if twice else 0,
            average=cfg.run.ema is not None,
        )

    return load


def _distilled(name: str, cfg: DistillStage, known: dict[Path, tuple[DiTConfig, Any]], module: ModuleType) -> Loader:
    """The stage distill, of networks that earlier steps write."""
    start, teacher = (known.get(folder) or _networks(module) for folder in (cfg.start, cfg.teacher or cfg.start))
    known[cfg.out] = start
    both = [_both(*nets) for nets in (start, teacher)]
    counts = count_parameters(both[0]), count_parameters(both[1]), count_parameters(both[0]["dit"].get_submodule("blocks.0"))
    return distill_loader(name, cfg, start[0], _latent(module), start[1].words, counts, product_dtype(cfg))


def _reinforced(name: str, cfg: RewardStage, known: dict[Path, tuple[DiTConfig, Any]], module: ModuleType) -> Loader:
    """The stage reward, of a student that an earlier step writes."""
    start = known.get(cfg.start) or _networks(module)
    known[cfg.out] = start
    both = _both(*start)
    counts = count_parameters(both), count_parameters(both["dit"].get_submodule("blocks.0"))
    return reward_loader(name, cfg, start[0], _latent(module), start[1].words, counts, product_dtype(cfg))


def _both(dit: DiTConfig, text: Any) -> nn.ModuleDict:
    """The networks of a stage without weights; a text encoder of a release is not trained, and none of them."""
    with META:
        return nn.ModuleDict({"dit": DiT(dit)} | ({"text": WordEncoder(text)} if isinstance(text, WordConfig) else {}))
