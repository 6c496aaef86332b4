"""Several processes: every stage trains under torchrun, and torchrun takes no flag of ours for one of its own."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch.distributed.run import get_args_parser

import event_house
import latents_of_chance
from dreamx.checkpoints import native
from dreamx.cli import COMMANDS
from dreamx.clip import Clip
from dreamx.flags import flags, parse
from dreamx.recipes import micro
from repo import TESTS
from torchrun_stages import FILES
from two_processes import in_two


def test_every_stage_trains_in_two_processes(tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    (given / "clips").mkdir(parents=True)
    for path in sorted((TESTS / "files/micro").glob("*_00.safetensors")):
        Clip.load(path).save(given / "clips" / path.name)
    torch.manual_seed(0)
    latents_of_chance.save(given / "latents.safetensors", 2, micro.FRAMES, micro.VAE.latent, micro.WORLD.lens)
    event_house.pairs(given / "events", 3)
    event_house.eventful(given / "latents.safetensors", given / "eventful.safetensors")  # by one process, not by both at once
    in_two(TESTS / "support/torchrun_stages.py", str(given), str(out), cwd=tmp_path)
    for stage, parts in FILES.items():
        assert len((out / stage / "log.jsonl").read_text().splitlines()) == 2, stage
        manifest = json.loads((out / stage / "checkpoints/step-00000002/manifest.json").read_text())
        assert {"own-0.pt", "own-1.pt"} <= manifest["files"].keys(), stage
        for part in parts:
            held = native.read(out / stage / "model" / f"{part}.safetensors")
            assert all(bool(t.isfinite().all()) for t in held.values()), stage


@pytest.mark.parametrize("command", sorted(COMMANDS["train"]))
def test_torchrun_reads_over_every_flag_of_ours(command: str) -> None:
    """A beginning of two flags of its own, as ``--start`` is, is an error to it even behind the command."""
    module, function = COMMANDS["train"][command][0].split(":")
    config = get_type_hints(getattr(import_module(module), function))["cfg"]
    given = [word for flag in flags(config) if flag != "--start" for word in (flag, "x")]  # it is read, and documented as --from
    read = get_args_parser().parse_args(["--nproc-per-node", "2", "-m", "dreamx", "train", command, *given])
    assert read.training_script_args == ["train", command, *given]


def test_start_is_still_read(tmp_path: Path) -> None:
    module, function = COMMANDS["train"]["causal"][0].split(":")
    config = get_type_hints(getattr(import_module(module), function))["cfg"]
    (tmp_path / "d").touch()
    words = ["--run.folder", "r", "--run.steps", "1", "--data", str(tmp_path / "d"), "--out", "o"]
    both = [parse(config, [*words, flag, str(tmp_path)], "dreamx train causal") for flag in ("--from", "--start")]
    assert both[0] == both[1]
    assert both[0].start == tmp_path


@pytest.mark.slow
def test_the_readmes_words(tmp_path: Path) -> None:
    words = ["-m", "dreamx", "train", "autoencoder", "--data", str(TESTS / "files/micro"), "--batch", "1"]
    words += ["--vae.latent", "4", "--vae.encoder", "8", "12", "16", "--vae.decoder", "8", "12", "16"]
    for number, start in enumerate(([], ["--from", str(tmp_path / "0/model")])):
        folder = tmp_path / str(number)
        places = ["--run.folder", str(folder), "--out", str(folder / "model"), "--run.steps", "2", *start]
        in_two(*words, *places, cwd=tmp_path)
        assert (folder / "model/vae.safetensors").is_file()
