"""A toy checkpoint, clips encoded for it, and fine-tuning of it; torchrun runs ``finetune_house.py ROOT NAME ...``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Literal

import torch

from dreamx.clip import Clip
from dreamx.data.encode import EncodeConfig, encode
from dreamx.interrupt import leave
from dreamx.recipes import wan_micro
from dreamx.recipes.wan_micro import StandIn
from dreamx.train import finetune
from dreamx.train.adapters import AdapterConfig
from dreamx.train.finetune import FinetuneStage
from dreamx.train.run_config import RunConfig
from repo import TESTS

STEPS = 4


def stand_in(root: Path, kind: Literal["causal", "cam"] = "causal") -> Path:
    """The released architecture at toy size, as it is downloaded."""
    wan_micro.write(StandIn(root / kind, kind))
    return root / kind


def clips(root: Path, count: int = 2) -> Path:
    """Some of the committed clips: 21 frames of 32 x 32, six latents."""
    (root / "clips").mkdir(parents=True, exist_ok=True)
    for path in sorted((TESTS / "files/micro").glob("*_00.safetensors"))[:count]:
        Clip.load(path).save(root / "clips" / path.name)
    return root / "clips"


def encoded(root: Path, world: Path) -> Path:
    """Latents and embedded captions of these clips."""
    file = root / "latents.safetensors"
    encode(EncodeConfig(clips(root), world, file, reverse=False, text=world, processes=1))
    return file


def stage(root: Path, name: str, world: Path, data: Path, **more: object) -> FinetuneStage:  # tests alone have such signatures
    """A run of a few steps in ``root / name``, whose run and networks lie beside each other."""
    run = RunConfig(root / name / "run", STEPS, ema=None, save_seconds=None, save_steps=2, threads=1)
    return FinetuneStage(run, world, data, root / name / "out", **({"batch": 4, "lr": 1e-3} | more))  # pyright: ignore[reportArgumentType]


def named(root: Path, name: str) -> FinetuneStage:
    """The runs that several processes are compared in: ``full...`` and ``lora...``."""
    more: dict[str, object] = {"train": "lora", "lora": AdapterConfig(4, 8.0)} if name.startswith("lora") else {}
    return stage(root, name, root / "causal", root / "latents.safetensors", **more)


def losses(root: Path, name: str) -> list[float]:
    """One a step, from the log."""
    return [json.loads(line)["loss"] for line in (root / name / "run/log.jsonl").read_text().splitlines()]


def as_killed(root: Path, name: str, other: str) -> None:
    """Copy a finished run as it was when the checkpoint of its second step was written; its log is torn, as of a killed one."""
    shutil.copytree(root / name, root / other)
    shutil.rmtree(root / other / "run/checkpoints" / f"step-{STEPS:08d}")
    for made in (root / other / "out").iterdir():
        if not made.name.startswith("."):
            made.unlink()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[2:]:
        finetune.main(named(Path(sys.argv[1]), wanted))
    leave(0)
