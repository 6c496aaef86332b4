"""Films of reports: the same pictures are the same bytes, and what is kept is kept without loss."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.eval import video_files


def moving(height: int, width: int, frames: int = 17) -> Tensor:
    """Soft blots of colour that change, uint8 ``[F, 3, H, W]``."""
    coarse = torch.rand(frames, 3, height // 8 + 1, width // 8 + 1, generator=torch.Generator().manual_seed(0))
    return (F.interpolate(coarse, (height, width), mode="bilinear") * 255).to(torch.uint8)


@pytest.mark.parametrize("size", [(96, 160), (64, 64), (33, 47)])
def test_ten_times_the_same_film_is_ten_times_the_same_file(size: tuple[int, int]) -> None:
    video, rng, made = moving(*size), random.Random(0), set[bytes]()
    for _ in range(10):
        others = [torch.full((rng.randrange(1, 400_000),), 0.5) for _ in range(rng.randrange(1, 30))]  # in the way on the heap
        made.add(video_files.encode_small(video, 16))
        del others
    assert len(made) == 1


def test_a_film_that_is_kept_comes_back(tmp_path: Path) -> None:
    video = moving(48, 80, 33)
    video_files.save_video(tmp_path / "a.mkv", video, 16)
    film = video_files.load_video(tmp_path / "a.mkv")
    assert torch.equal(film.video, video) and film.fps == 16
