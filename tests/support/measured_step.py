"""Measure real training steps of a small transformer on the CPU, in bytes, and print them as JSON: ``measured_step.py CASES``.

Storages are counted, not the memory of the process: what autograd keeps is what ``saved_tensors_hooks`` see, and what is alive at
once is what every operation of torch makes, until it is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import latents_of_chance
from dreamx.budget.count import BytesLedger
from dreamx.flow import velocity_loss
from dreamx.model import attention
from dreamx.model.word_encoder import WordConfig
from dreamx.recipes import wan_micro
from dreamx.train.latents import LatentClips
from dreamx.train.teacher_forcing import TeachingConfig, teach
from dreamx.train.trainable import Trainable, freeze
from dreamx.train.trained_networks import Networks

LATENTS, CHUNK, WINDOW, SINKS = 9, 3, 6, 3
DIT = replace(wan_micro.DIT, layers=5, hint=True)  # deeper than the stand-in, so that what blocks keep is nearly all
TEXT = WordConfig(width=DIT.text, heads=2, rows=512, words=64)


def measure(batch: int, dtype: str, train: tuple[str, ...] | None, checkpointed: bool, rows: bool) -> dict[str, int]:
    """One step of teacher forcing: draw, forwards, backwards, AdamW with its average. rows: attend as on a GPU, rows by rows."""
    torch.manual_seed(0)
    attention.learns_here = _never if rows else _learns_here
    with TemporaryDirectory() as folder:
        file = Path(folder) / "latents.safetensors"
        latents_of_chance.save(file, 4, LATENTS, DIT.channels, (0.7, 0.7, 0.5, 0.5))
        data = LatentClips(file)
    nets = Networks.new(DIT, TEXT)
    freeze(nets, train, "nets")
    own = Trainable("nets", nets, 1e-3, (0.9, 0.95), 0.01, average=True)
    if checkpointed:
        for block in nets.dit.blocks:
            block.forward = _again(block.forward)
    state = own.tensors()
    optimiser = sum(x.nbytes for k, x in state.items() if "/exp_avg" in k)
    average = sum(x.nbytes for k, x in state.items() if "/average/" in k)
    cfg = TeachingConfig(batch=batch, chunk=CHUNK, windows=((WINDOW, SINKS),))
    now = teach(cfg, data, torch.Generator().manual_seed(0))
    weights = {p.untyped_storage()._cdata for p in nets.parameters()}
    kept: dict[int, tuple[StorageWeakRef, int]] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return x.detach()

    flops = FlopCounterMode(display=False)
    # Its hooks on modules keep what checkpointed blocks would let go.
    with nullcontext() if checkpointed else flops, BytesLedger() as ledger:
        with saved_tensors_hooks(keep, lambda x: x):
            with nullcontext() if dtype == "float32" else torch.autocast("cpu", torch.bfloat16):
                v = now.velocity(nets, now.noisy)
            loss = velocity_loss(v, now.target, now.noisy.sigma > 0, now.weight)
        saved = sum(n for ref, n in kept.values() if not ref.expired())
        own.backward(loss, 1.0)
        gradients = sum(p.grad.nbytes for p in nets.parameters() if p.grad is not None)
        own.apply(1e-3, 0.9)
    return {
        "parameters": sum(p.numel() for p in nets.parameters()),
        "weights": sum(p.nbytes for p in nets.parameters()),
        "gradients": gradients,
        "optimiser": optimiser,
        "average": average,
        "activations": saved,
        "flop": flops.get_total_flops(),  # torch counts neither oneDNN's products (float32) nor fused attention on a CPU
        "beside": ledger.peak,  # most bytes alive beside weights, optimiser and average
    }


_learns_here = attention.learns_here


def _never(q: Tensor) -> bool:
    return False


def _again(forward: Callable[..., Tensor]) -> Callable[..., Any]:
    return lambda *given: checkpoint(forward, *given, use_reentrant=False)


if __name__ == "__main__":
    print(json.dumps([measure(b, d, None if t is None else tuple(t), c, r) for b, d, t, c, r in json.loads(sys.argv[1])]))
