"""Memory stage: teach the causal network to look at recalled frames, and to bear errors of its own in memory and history."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.bounds import FrameCount, InputFile, OutputFolder, PositiveFloat
from dreamx.flow import velocity_loss
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.train.error_bank import ErrorBank, ErrorBankConfig, recycle, spared_rows
from dreamx.train.latents import LatentClips
from dreamx.train.memory_packing import PackedBatch, PackingConfig, check_packing, pack
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import load


@dataclass(frozen=True)
class MemoryStage:
    """Train the networks to make chunks from recalled frames and history."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFile
    """File of latents, of clips longer than ``frames``."""
    start: StartFolder
    """Folder of networks to go on from."""
    out: OutputFolder
    """Folder of the trained networks."""
    packing: PackingConfig = PackingConfig()
    """Batches of packed samples."""
    packed: PackedMemoryConfig = PackedMemoryConfig()
    """What is recalled; a world that plays the networks has the same (``past.packed``)."""
    bank: ErrorBankConfig | None = ErrorBankConfig()
    """Errors that memory and history are perturbed by; None: they stay clean."""
    frames: FrameCount = 12
    """Latent frames of a stretch, history and targets; frames before it are recalled."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""


def main(cfg: MemoryStage) -> None:
    """Train and write ``cfg.out``."""
    claim(cfg, "memory", ["dit", "text"], [cfg.data, cfg.start])
    data, run = LatentClips(cfg.data, cfg.frames), Run(cfg.run)
    check_packing(cfg.packing, cfg.packed, data)
    nets = run.own(load(cfg.start), cfg.lr)
    data.refuse_other(nets.dit.config.channels)
    _, _, c, h, w = data.z.shape
    bank = None if cfg.bank is None else ErrorBank(cfg.bank, cfg.packing.targets, (c, h, w), cfg.packing.shift)
    if bank is not None:
        run.keep(bank.tensors())

    def batch(step: int) -> tuple[PackedBatch, torch.Generator]:
        rng = run.generator(step)
        return pack(cfg.packing, cfg.packed, data, rng), rng

    for clean, rng in run.steps(batch):
        now = clean if bank is None else perturbed(clean, bank, cfg.packing.chunk, rng)
        with run.autocast():
            v = now.velocity(nets)
        run.update(nets, velocity_loss(v, now.target, now.noisy.sigma > 0))
        if bank is not None:  # after the update, which refuses what is not finite
            bank.add(v, now.target, now.noisy.sigma, now.place)
    run.export(cfg.out, nets.parts())


def perturbed(batch: PackedBatch, bank: ErrorBank, chunk: int, rng: torch.Generator) -> PackedBatch:
    """A batch whose memory and history have stored errors; history those of the place that it lies at, memory of any place."""
    spared = spared_rows(bank.cfg, len(batch.prompts), rng)
    chunks = -(-len(batch.past) // chunk)
    where: Tensor = torch.arange(len(batch.past)) // chunk * bank.places // chunks
    past = recycle(batch.past, bank, where.expand(len(spared), -1), spared, rng)
    if batch.memory is None:
        return replace(batch, past=past)
    anywhere = torch.randint(bank.places, (len(spared), len(batch.memory)), generator=rng)
    return replace(batch, past=past, memory=recycle(batch.memory, bank, anywhere, spared, rng))
