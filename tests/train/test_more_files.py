"""Stages that learn from several files of latents: all of them are read, and one that does not fit is named first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dreamx.data.latent_file import Latents
from dreamx.recipes import micro
from dreamx.train import camera_control, causal, distill
from dreamx.train.camera_control import CameraStage
from dreamx.train.causal import CausalStage
from dreamx.train.distill import DistillStage
from dreamx.train.latents import LatentClips
from dreamx.train.run_config import RunConfig
from dreamx.train.teacher_forcing import TeachingConfig
from repo import TESTS

START = TESTS / "golden/start"
LATENTS = START / "latents.safetensors"


def both_ways(root: Path, more: tuple[Path, ...]) -> Callable[[], None]:
    run = RunConfig(root / "run", 1, threads=1)
    return lambda: camera_control.main(CameraStage(run, LATENTS, root / "model", micro.DIT, micro.TEXT, batch=1, more=more))


def forward(root: Path, more: tuple[Path, ...]) -> Callable[[], None]:
    run, teaching = RunConfig(root / "run", 1, threads=1), TeachingConfig(batch=1, chunk=1, windows=((3, 1),))
    return lambda: causal.main(CausalStage(run, LATENTS, START / "camera", root / "model", teaching, more=more))


def student(root: Path, more: tuple[Path, ...]) -> Callable[[], None]:
    run, nets = RunConfig(root / "run", 1, threads=1), START / "camera"
    cfg = DistillStage(run, LATENTS, nets, root / "model", nets, more=more)
    chunk = replace(cfg.sampler, chunk=1, steps=1)
    return lambda: distill.main(replace(cfg, sampler=chunk, stream=replace(cfg.stream, window=3, overlap=1, lengths=(3,))))


@pytest.mark.parametrize("stage", [both_ways, forward, student])
def test_all_files_are_read_and_one_that_does_not_fit_is_named(
    stage: Callable[[Path, tuple[Path, ...]], Callable[[], None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Latents.load(LATENTS)
    short, camera = tmp_path / "short.safetensors", whole.camera[:, :-1].map(lambda x: x.contiguous())
    hint = None if whole.hint is None else whole.hint[:, :-1].contiguous()
    replace(whole, z=whole.z[:, :-1].contiguous(), camera=camera, hint=hint).save(short)
    with pytest.raises(ValueError, match=r"more: clips of .*short\.safetensors are"):
        stage(tmp_path / "a", (short,))()
    assert not list(tmp_path.glob("a/model/*.safetensors"))
    read: list[int] = []
    plain = LatentClips.both  # `batch` calls it

    def counting(self: LatentClips, *given: object) -> object:
        read.append(len(self.z))
        return plain(self, *given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(LatentClips, "both", counting)
    stage(tmp_path / "b", (LATENTS, LATENTS))()
    assert set(read) == {3 * len(whole.z)}
    assert (tmp_path / "b/model/dit.safetensors").exists()
