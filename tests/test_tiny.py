"""The world we ship: it opens, it shows the picture it was given, and it turns the way one looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamx.eval.metrics.psnr import gradient_energy, psnr, sharpness
from dreamx.geometry import from_keys
from dreamx.play.gallery import read_starts
from dreamx.standpoint import Standpoint
from dreamx.world import World, find

STARTS = find("tiny") / "starts"


@pytest.fixture(scope="module")
def tiny() -> World:
    return World.open("tiny")


def pictures() -> dict[str, tuple[Tensor, str]]:
    return {
        name: (torch.from_numpy(np.array(Image.open(STARTS / f"{name}.png").convert("RGB"))).permute(2, 0, 1), start.prompt)
        for name, start in read_starts(STARTS).items()
    }


def shift(a: Tensor, b: Tensor, most: int = 20) -> int:
    """How many pixels the content of ``a [3, H, W]`` went to the right in ``b``, by the best match of what both show."""
    a, b = a.float(), b.float()
    w = a.shape[-1]

    def error(s: int) -> float:
        left, right = (a[..., : w - s], b[..., s:]) if s >= 0 else (a[..., -s:], b[..., : w + s])
        return float((left - right).square().mean())

    return min(range(-most, most + 1), key=error)


def test_the_gallery_has_every_kind_of_place_in_every_look() -> None:
    starts = read_starts(STARTS)
    home = [start for start in starts.values() if start.home]
    assert (len(starts), len(home)) == (36, 12)
    assert all(start.home or start.prompt.startswith("Style: ") for start in starts.values())
    assert list(starts.values())[:12] == home, "the places that it knows come first"


def test_it_knows_the_home_places_of_its_gallery(tiny: World) -> None:
    assert tiny.places is not None
    names = tiny.places.config.names
    assert len(names) == 6
    assert sorted(at.place for at in tiny.standpoints.values()) == sorted([*names, *names])


@pytest.mark.parametrize("name", ["home-village", "home-workshop"])
def test_at_home_a_whole_turn_ends_where_it_began(tiny: World, name: str) -> None:
    """Fifteen seconds, nearly all of it out of sight when it began: right and as sharp at the end, by what it knows by heart."""
    picture, prompt = pictures()[name]
    opening = tiny.reset(picture, prompt, seed=1)[0]
    frames = torch.cat([tiny.step(from_keys(["l"] * tiny.frames_per_step)) for _ in range(60)])
    assert float(psnr(frames[-1:], opening[None])) > 18
    assert float(sharpness(frames[-1:], opening[None])) > 0.6
    behind = tiny.reset(picture, prompt, seed=1, at=Standpoint("nowhere", torch.eye(4)))[0]
    lost = torch.cat([tiny.step(from_keys(["l"] * tiny.frames_per_step)) for _ in range(30)])
    assert torch.equal(behind, opening)
    energies = gradient_energy(torch.stack([frames[119], lost[-1]]))
    assert float(energies[0]) > 1.5 * float(energies[1]), "without it, what lies behind is fog"


def test_it_shows_the_picture_it_was_given(tiny: World) -> None:
    for picture, prompt in pictures().values():
        opening = tiny.reset(picture, prompt, seed=1)[0]
        error = (opening.float() - picture.float()).square().mean()
        assert -10 * torch.log10(error / 255**2) > 25


@pytest.mark.parametrize(("key", "way"), [("l", -1), ("j", 1)])
def test_it_turns_the_way_one_looks(tiny: World, key: str, way: int) -> None:
    """8 frames of 1.5 degrees are 12 of the 70 degrees that 64 pixels show: about 11 pixels, in the median over the gallery."""
    shifts: list[int] = []
    for picture, prompt in pictures().values():
        opening = tiny.reset(picture, prompt, seed=1)[0]
        frames = torch.cat([tiny.step(from_keys([key] * tiny.frames_per_step)) for _ in range(2)])
        shifts.append(way * shift(opening, frames[-1]))
    assert 6 <= torch.tensor(shifts).float().median() <= 16, shifts


def test_ten_seconds_later_there_is_still_a_picture(tiny: World) -> None:
    for name, (picture, prompt) in list(pictures().items())[::4]:
        tiny.reset(picture, prompt, seed=1)
        frames = torch.cat([tiny.step(from_keys(["wj"] * tiny.frames_per_step)) for _ in range(40)])
        last = frames[-1].float()
        assert 20 < last.mean() < 235, name
        assert last.std() > 8, name
