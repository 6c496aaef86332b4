"""The detail of memory on pictures in another light, and when a world asks for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import micro
from dreamx.detail import _gauss, add_detail
from dreamx.geometry.controls import Speed, from_keys
from dreamx.geometry.reproject import View
from dreamx.memory import MemoryConfig
from dreamx.world import World


def pictures(seed: int) -> Tensor:
    """Two coarse checks with fine noise, ``[1, 2, 3, 32, 32]``."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 2, 3, 4, 4, generator=rng).repeat_interleave(8, 3).repeat_interleave(8, 4)
    return coarse - 0.5 + 0.4 * (torch.rand(1, 2, 3, 32, 32, generator=rng) - 0.5)


def known(rgb: Tensor, share: float = 1.0) -> View:
    mask = torch.ones_like(rgb[:, :, 0])
    mask[..., int(share * 32) :] = 0
    return View(rgb, torch.ones_like(mask), mask)


def soften(rgb: Tensor) -> Tensor:
    return _gauss(rgb.flatten(0, 1)).unflatten(0, rgb.shape[:2])


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.4, 0.1), (0.25, -0.5)])
def test_detail_comes_back_in_another_light(gain: float, offset: float) -> None:
    sharp = pictures(0)
    true, soft = gain * sharp + offset, gain * soften(sharp) + offset
    before, after = ((x - true).square().mean() for x in (soft, add_detail(soft, known(sharp))))
    assert float(after) < 0.25 * float(before)


def test_nothing_is_added_to_what_has_nothing_in_common() -> None:
    flat = torch.full((1, 2, 3, 32, 32), 0.3)
    assert torch.allclose(add_detail(flat, known(pictures(0))), flat, atol=1e-4)
    other = soften(pictures(1))  # another place
    added = (add_detail(other, known(pictures(0))) - other).square().mean()
    assert float(added) < 0.25 * float((pictures(0) - soften(pictures(0))).square().mean())


def test_only_what_is_known_is_changed() -> None:
    sharp = pictures(0)
    soft = soften(sharp)
    made = add_detail(soft, known(sharp, 0.5))
    assert torch.equal(made[..., 16:], soft[..., 16:])
    assert float((made[..., :16] - sharp[..., :16]).square().mean()) < 0.3 * float((soft - sharp)[..., :16].square().mean())
    assert torch.equal(add_detail(soft, known(sharp, 0.0)), soft)


def small(detail: bool) -> World:
    return micro.world(memory=MemoryConfig(detail=detail))


def walked(world: World, said: str | None) -> Tensor:
    world.reset(torch.randint(0, 256, (3, *world.size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8))
    world.step(from_keys(["w"] * 4, Speed()))
    return world.step(from_keys(["w"] * 4, Speed()), said)


def test_detail_takes_the_place_of_the_hint_while_something_is_told() -> None:
    assert torch.equal(walked(small(True), None), walked(small(False), None))
    assert not torch.equal(walked(small(True), "it rains"), walked(small(False), "it rains"))
    world = small(True)
    walked(world, None)
    dream = world.fork().denoise(from_keys(["w"] * 4, Speed()), "it rains")
    assert dream.told
    assert dream.hint is not None
    with torch.inference_mode():
        pixels, _ = world.vae.push(dream.frames.z[:, 0], world._decoder)
    want = add_detail(pixels.rgb, dream.hint)
    world.decode(world.denoise(from_keys(["w"] * 4, Speed()), "it rains"))
    assert world._bank is not None
    assert world._bank.latest is not None
    assert torch.equal(world._bank.latest.rgb, want[0, -1].half())
    assert not world.denoise(from_keys(["w"] * 4, Speed()), "").told
