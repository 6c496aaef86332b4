"""Shapes from colours alone: volume rendering, and a room that is learned without its depth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import micro
import open_room
from dreamx.geometry.camera import Camera, rigid, rotation
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.train import photometric
from dreamx.train.known_places import PlacePictures, PlacesStage, draw, field_loss
from room import HALF, Room

ROOM = PlaceFieldConfig(
    ("here",), (4.0,), height=3.0, cells=32, layers=16, samples=40, far=20.0, levels=(8, 16), entries=2**12, sky=(8, 24)
)


def stage(batch: int) -> PlacesStage:
    return PlacesStage(None, (None,), None, ROOM, batch=batch, shaped=batch // 2)  # pyright: ignore[reportArgumentType]


def wall(at: float) -> PlaceField:
    """Solid from z = ``at`` on."""
    net = micro.field(ROOM)
    z = (torch.arange(ROOM.cells) + 0.5) / ROOM.cells * 8 - 4
    with torch.no_grad():
        net.density[0].copy_(torch.where(z > at, 3.0, -3.0)[None, :, None].expand(ROOM.layers, -1, ROOM.cells))
    return net


def test_light_is_gathered_about_the_surface_and_has_its_colour() -> None:
    torch.manual_seed(0)
    net = wall(2.0)
    ray = torch.tensor([[0.1, -0.1, 1.0], [-0.3, 0.05, 1.0], [0.2, 0.2, -1.0]])
    origin = torch.tensor([[0.3, -1.5, -1.0]]).expand(3, 3)
    jitter = torch.tensor([[-0.3], [0.0], [0.4]])
    made, light, depth = photometric.render_colours(net, 0, origin, ray, jitter)
    assert light.shape == depth.shape and bool((depth.diff(dim=1) >= 0).all()) and bool((depth[:, -1] == ROOM.far).all())
    torch.testing.assert_close(light.sum(1), torch.ones(3), atol=1e-3, rtol=0)
    mean = (light * depth).sum(1).detach()
    assert float((mean[:2] - 3).abs().max()) < 0.25, "one cell is 0.25 m"
    assert float(light[2, -1].detach()) > 0.99, "nothing is behind the camera but the sky"
    surface = net.colour(0, origin, ray, net.stop(0, origin, ray))
    assert float((made - surface).abs().max().detach()) < 0.1


def test_spread_is_the_mean_distance_between_two_parts_of_the_light() -> None:
    rng = torch.Generator().manual_seed(0)
    light = torch.rand(5, 7, generator=rng)
    light = light / light.sum(1, keepdim=True)
    at = torch.rand(5, 7, generator=rng).sort(1).values
    want = (light[:, :, None] * light[:, None] * (at[:, :, None] - at[:, None]).abs()).sum((1, 2)).mean()
    torch.testing.assert_close(photometric._distortion(light, at), want)


def test_large_cells_are_means_of_small_ones_and_pass_gradients_on() -> None:
    net = wall(2.0)
    ray, origin = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.3, -1.5, -1.0]])
    depth = net.samples(ray).expand(1, -1)
    fine = net.reaches(0, origin, ray, depth)
    with net.coarsened(0, 1.0):
        assert torch.equal(net.reaches(0, origin, ray, depth), fine)
    with net.coarsened(0, 4.0):
        coarse = net.reaches(0, origin, ray, depth)
        coarse[:, -1].sum().backward()
    assert float((coarse.exp() - fine.exp()).abs().max().detach()) > 0.01
    assert torch.equal(net.reaches(0, origin, ray, depth), fine)
    grad = net.density[0].grad
    assert grad is not None
    blocks = grad[0, 0].unfold(1, 4, 4).unfold(2, 4, 4)  # 32 cells a side: blocks of four
    assert bool((blocks == blocks[..., :1, :1]).all()) and float(grad.abs().max()) > 0


@pytest.mark.parametrize("jitter", [-0.5, 0.5])
def test_the_ends_of_the_jitter_give_finite_gradients(jitter: float) -> None:
    torch.manual_seed(0)
    net, b = micro.field(ROOM), draw([open_room.pictures(4, seed=1)], stage(64), torch.Generator().manual_seed(0))
    loss = photometric.photometric_loss(net, 0, b.origin, b.ray, b.rgb, torch.full_like(b.jitter, jitter))
    loss.backward()
    assert bool(torch.isfinite(loss)) and all(bool(torch.isfinite(p.grad).all()) for p in net.parameters() if p.grad is not None)


def inside(count: int, seed: int) -> PlacePictures:
    """Pictures from the middle of the painted room with its pillars, in the axes of a place, with their true depth."""
    u = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
    away, around = 2.4 * u[:, 0].sqrt(), 2 * torch.pi * u[:, 1]
    at = torch.stack([away * around.sin(), torch.zeros(count), away * around.cos()], 1)
    pose = rigid(rotation("y", 360 * u[:, 2]), at)
    lens = torch.tensor(open_room.LENS).expand(count, 4)
    room = Room()
    seen = [room.render(Camera(p, k), 24, 24) for p, k in zip(pose, lens, strict=True)]
    pose[:, 1, 3] -= HALF[1]  # its ground is 1.5 m below its middle
    return PlacePictures(torch.stack([v for v, _ in seen]), torch.stack([d for _, d in seen]).half(), Camera(pose, lens))


def test_a_room_is_learned_without_its_depth() -> None:
    torch.manual_seed(0)
    room = replace(ROOM, half=(6.0,), height=3.5, cells=48, levels=(16, 48), entries=2**14)
    cfg = replace(stage(1024), places=room)
    true = inside(120, seed=1)
    flat = [replace(true, depth=torch.zeros_like(true.depth))]
    net = PlaceField(room)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2, betas=(0.9, 0.95))
    steps = 150
    parts: dict[str, Tensor] = {}
    for step in range(steps):
        loss, parts = field_loss(net, draw(flat, cfg, torch.Generator().manual_seed(step)), cfg.shaped, step / steps)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
    assert set(parts) == {"psnr", "shape", "colour"}, "how near surfaces are nobody knows"
    other = inside(8, seed=2)
    seen, want = net.view(0, other.camera, 24, 24), other.video.float() / 127.5 - 1
    mean = want.mean((0, 2, 3))[:, None, None]
    db, plain = (-10 * float(torch.log10((x - want).square().mean() / 4)) for x in (seen.rgb, mean))
    off = float(((seen.depth - other.depth.float()).abs() / other.depth.float()).median())
    assert db > plain + 2, f"{db:.2f} dB, where one colour for all has {plain:.2f}"
    assert off < 0.2, f"the median depth is off by {off:.2f} of itself"
