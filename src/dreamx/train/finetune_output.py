"""Write a fine-tuned transformer: as the checkpoint that it was, as the world that it was, or its LoRA apart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from dreamx.checkpoints import lora as loras
from dreamx.checkpoints import lora_writer, native, release, transformer
from dreamx.checkpoints.lora import Lora
from dreamx.checkpoints.lora_writer import Naming
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.train.finetune_subject import Subject
from dreamx.world import World

Layout = Literal["dreamx", "official", "diffusers"]
_SHARD = 5 * 10**9  # bytes of a file


def files(subject: Subject, layout: Layout, lora: bool) -> tuple[list[str], list[str]]:
    """Names of the networks, and patterns of the other files, that ``write`` and ``write_lora`` put into a folder."""
    settings = [r"adapter_config\.json"]
    if subject.checkpoint is None:
        return sorted(native.held(subject.place)), []
    if lora:
        return [], [name.replace(".", r"\.") for name in lora_writer.FILES.values()] + settings
    if layout == "dreamx":
        return ["dit", "kind"], [r"README\.md"]
    return ["model"], [r"diffusion_pytorch_model.*", "transformer"]


def write(folder: Path, subject: Subject, state: Mapping[str, Tensor], layout: Layout) -> None:
    """Write the transformer with these weights: a whole world of ours, or a released one in ``layout``, in its own dtype."""
    if subject.checkpoint is None:
        _write_world(folder, subject, state)
        return
    was = subject.checkpoint
    tensors = {k: x.to("cpu", was.dtype) for k, x in state.items()}
    new = Checkpoint(tensors, was.config, was.kind)
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "dreamx":
        transformer.write(folder, new, _card(folder, subject))
        return
    temporary = folder / ".writing"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    to = release.write if layout == "official" else release.write_diffusers
    to(temporary, tensors, was.config, was.kind, None, _SHARD)
    for made in sorted(temporary.iterdir()):
        there = folder / made.name
        if there.is_dir():
            shutil.rmtree(there)
        os.replace(made, there)
    temporary.rmdir()


def write_lora(folder: Path, subject: Subject, lora: Lora, naming: Naming) -> None:
    """Write a LoRA: alone for a released transformer; for a world of ours also the world with it added, and it in ``lora``."""
    loras.check(lora, subject.dit.config)
    if subject.checkpoint is not None:
        lora_writer.write(folder, lora, subject.dit.config, naming)
        return
    _write_world(folder, subject, loras.merge(World.open(subject.place).dit.state_dict(), lora, 1.0))
    lora_writer.write(folder / "lora", lora, subject.dit.config, naming)


def _write_world(folder: Path, subject: Subject, state: Mapping[str, Tensor]) -> None:
    world = World.open(subject.place)
    world.dit.load_state_dict(dict(state))
    world.export(folder)
    if (starts := subject.place / "starts").is_dir():  # pictures to begin from: none of a world's networks
        shutil.copytree(starts, folder / "starts", dirs_exist_ok=True)


def _card(folder: Path, subject: Subject) -> str:
    return f"""# {folder.name}

A video transformer for `dreamx`, fine-tuned by `dreamx train finetune` from `{subject.place.resolve().name}`, whose licence and
limits it shares. Its autoencoder and its text encoder are those of that checkpoint.
"""
