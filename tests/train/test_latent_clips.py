"""Clips of several files of latents as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator

import latents_of_chance
from dreamx.data.latent_file import Latents
from dreamx.train.latents import LatentClips

LENS = (0.7, 0.7, 0.5, 0.5)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("first.safetensors", "second.safetensors")]
    for file, clips in zip(found, (2, 6), strict=True):
        latents_of_chance.save(file, clips, 4, 3, LENS)
    return found


def test_a_clip_of_any_file_is_as_likely(files: list[Path]) -> None:
    first, second = map(Latents.load, files)
    both = LatentClips(files[0], 3, (files[1],))
    known, prompts = both.batch(400, Generator().manual_seed(0))
    assert known.hint is not None and known.z.shape == (400, 3, 3, 8, 8) and len(prompts) == 400
    starts = torch.cat([first.z, second.z]).float()[:, :2, 0, 0, 0].flatten()  # where a stretch of three may begin
    of = (known.z[:, 0, 0, 0, 0, None] == starts).float().mean(0).view(8, 2).sum(1)
    assert of.sum() == pytest.approx(1.0)
    assert float(of.min()) > 0.07 and float(of.max()) < 0.18, "an eighth each"
    assert torch.equal(LatentClips(files[0], 3).z, first.z), "without more it is the file alone"


def test_files_that_do_not_go_together(files: list[Path]) -> None:
    there, other = Latents.load(files[1]), files[1].with_name("other.safetensors")
    wrong = (
        (replace(there, vae="another"), "more: .*other.safetensors is of another autoencoder than .*first"),
        (replace(there, hint=None), "more: .*other.safetensors was encoded without memory"),
    )
    for latents, said in wrong:
        latents.save(other)
        with pytest.raises(ValueError, match=said):
            LatentClips(files[0], 2, (other,))
    latents_of_chance.save(other, 2, 3, 3, LENS)
    with pytest.raises(ValueError, match=r"more: clips of .*other.safetensors are \[3, 3, 8, 8\], those of .* \[4, 3, 8, 8\]"):
        LatentClips(files[0], 2, (other,))
