"""What is looked at while a video is made: is there still a picture, and its colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.generate.health import Correction, VideoHealth, is_noise, to_lab, to_rgb


def test_lab_correction() -> None:
    colours = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(to_rgb(to_lab(colours)), colours)
    white, red = to_lab(torch.tensor([[[[255, 255]], [[255, 0]], [[255, 0]]]], dtype=torch.uint8))[0, :, 0].T.tolist()
    assert white == pytest.approx([100, 0, 0], abs=0.02)
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    opening = colours[0] // 2 + 40
    drifted = (opening.float() * 0.7 + torch.tensor([60.0, 0.0, 20.0])[:, None, None]).to(torch.uint8)[None]
    whole, half = Correction(opening, 1.0)(drifted), Correction(opening, 0.5)(drifted)
    far = [float((to_lab(x).mean((2, 3)) - to_lab(opening[None]).mean((2, 3))).norm()) for x in (drifted, half, whole)]
    assert far[2] < 1.0 < far[1] < far[0]


def noise(seed: int, frames: int = 16) -> Tensor:
    return torch.randint(0, 256, (frames, 3, 32, 32), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def test_health() -> None:
    ramp = torch.linspace(0, 255, 32).to(torch.uint8).expand(3, 32, 32)
    assert is_noise(noise(0)[0]) and not is_noise(ramp)
    black = torch.zeros(16, 3, 32, 32, dtype=torch.uint8)
    for frames, said in ((black, "to frame 11, are black"), (noise(1), "are pure noise")):
        with pytest.raises(ValueError, match=said):
            VideoHealth(ramp).look(frames)
        VideoHealth(frames[0]).look(frames)  # what begins so may go on so
        health = VideoHealth(ramp)
        for _ in range(4):
            health.look(frames[:11])
            health.look(ramp[None])  # a walk through the dark
