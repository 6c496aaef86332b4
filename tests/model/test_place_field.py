"""Fields of places: where rays stop, what is read there, and that a place is learned from pictures with depth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import micro
import open_room
from dreamx.geometry.camera import Camera, rays, rigid, rotation
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.train.known_places import PlacesStage, draw, field_loss
from open_room import LENS

SMALL = PlaceFieldConfig(
    ("here", "there"),
    (4.0, 8.0),
    height=3.0,
    cells=32,
    layers=16,
    samples=40,
    far=20.0,
    levels=(8, 16),
    entries=2**12,
    sky=(8, 24),
)


def cameras(x: float, z: float, *degrees: float) -> Camera:
    poses = torch.stack([rigid(rotation("y", torch.tensor(d)), torch.tensor((x, -1.5, z))) for d in degrees])
    return Camera(poses, torch.tensor(LENS).expand(len(degrees), 4))


def test_a_view_is_a_function_of_place_and_pose() -> None:
    torch.manual_seed(0)
    net = micro.field(SMALL)
    seen = net.view(0, cameras(1, 2, 30, 75), 6, 8)
    assert seen.rgb.shape == (2, 3, 6, 8)
    assert seen.depth.shape == seen.known.shape == (2, 6, 8)
    assert bool((seen.known == 1).all() and (seen.depth > 0).all() and (seen.depth <= SMALL.far).all())
    torch.testing.assert_close(net.view(0, cameras(1, 2, 30), 6, 8).rgb, seen.rgb[:1])
    for other in (
        net.view(1, cameras(1, 2, 30), 6, 8),
        net.view(0, cameras(3, 2, 30), 6, 8),
        net.view(0, cameras(1, 2, 75), 6, 8),
    ):
        assert float((other.rgb - seen.rgb[:1]).abs().max()) > 0.01


def test_new_weights_are_seen_at_once_also_in_inference_mode() -> None:
    torch.manual_seed(0)
    net = micro.field(SMALL)
    before = net.view(0, cameras(1, 2, 30), 6, 8)
    with torch.no_grad():
        net.density[0].add_(10)
    solid = net.view(0, cameras(1, 2, 30), 6, 8)
    assert float(solid.depth.max()) < 1 < float(before.depth.max())
    with torch.inference_mode():
        other = PlaceField(SMALL)
        other.load_state_dict(net.state_dict())
        assert torch.equal(other.view(0, cameras(1, 2, 30), 6, 8).depth, solid.depth)


def walled(at: float) -> PlaceField:
    """Solid in the place "there" from z = ``at`` on, and below the ground; empty elsewhere."""
    net = PlaceField(SMALL)
    high = SMALL.height + SMALL.floor
    z = (torch.arange(SMALL.cells) + 0.5) / SMALL.cells * 2 * SMALL.half[1] - SMALL.half[1]
    y = (torch.arange(SMALL.layers) + 0.5) / SMALL.layers * high - SMALL.height
    with torch.no_grad():
        net.density[1].copy_(
            3.0 * ((z[None, :, None] > at) | (y[:, None, None] > 0)).float().expand(SMALL.layers, -1, SMALL.cells)
        )
    return net


def test_rays_stop_at_a_wall_and_pass_where_there_is_none() -> None:
    seen = walled(at=3.0).view(1, cameras(0, 0, 0), 9, 9)
    cell = 2 * SMALL.half[1] / SMALL.cells
    assert float((seen.depth[0, 4] - 3).abs().max()) < cell, "a plane has one depth along z"
    assert float((seen.depth[0, 8] - 1.5 / (4 / 9 / 0.7)).abs().max()) < 0.4, "the ground, seen downwards"
    away = walled(at=3.0).view(1, cameras(0, 0, 180), 9, 9)
    assert bool((away.depth[0, :5] == SMALL.far).all()), "over the edge of the field is the sky"
    assert bool((walled(at=3.0).view(0, cameras(0, 0, 0), 9, 9).depth == SMALL.far).all()), "of another place it is empty"


def test_fine_densities_shape_what_is_smaller_than_a_cell_and_nothing_in_the_open() -> None:
    coarse = walled(at=3.0)
    cfg = replace(SMALL, fine=160, fine_entries=2**22)
    net = PlaceField(cfg)
    net.load_state_dict({**net.state_dict(), **coarse.state_dict()})
    same = net.view(1, cameras(0, 0, 0), 9, 9)
    torch.testing.assert_close(same.depth, coarse.view(1, cameras(0, 0, 0), 9, 9).depth)
    n = cfg.fine
    z = torch.arange(len(net.fine[1])) // (n + 1) % (n + 1) * (2 * cfg.half[1] / n) - cfg.half[1]  # of each corner
    cell = 2 * cfg.half[1] / cfg.cells
    assert float((same.depth[0, 4] - 3.4).abs().min()) > 0.3, f"without them it begins within {cell} m of 3"
    with torch.no_grad():
        net.fine[1][:, 0] = torch.where(z < 3.4, -10.0, 10.0)
    seen = net.view(1, cameras(0, 0, 0), 9, 9)
    assert float((seen.depth[0, 4] - 3.4).abs().max()) < 0.15, "the wall begins where the fine cells say, within one of theirs"
    with torch.no_grad():
        net.density[1].zero_()
        net.fine[1].fill_(10.0)
    assert bool((net.view(1, cameras(0, 0, 0), 9, 9).depth == cfg.far).all()), "where the grid is empty they are not read"


def test_the_light_of_a_ray_goes_somewhere() -> None:
    torch.manual_seed(0)
    net = micro.field(SMALL)
    ray = (rays(torch.tensor(LENS), 5, 5) @ rotation("y", torch.tensor(20.0)).T).flatten(0, 1)
    origin = torch.tensor((1.0, -1.5, 2.0)).expand_as(ray)
    light = net.reaches(1, origin, ray, net.samples(ray).expand(25, -1)).exp().detach()
    torch.testing.assert_close(light.sum(1), torch.ones(25), atol=1e-3, rtol=0)
    assert float(light[:, -1].min()) < 0.5
    assert float(light[:, -1].max()) > 0


def test_a_feature_is_read_between_the_corners_of_its_cell() -> None:
    """A table whose features are the coordinates of its corners gives back where a point is."""
    cfg = replace(SMALL, levels=(8, 16), channels=3, entries=2**14)
    net = PlaceField(cfg)
    rows = cfg.colours(1).rows
    with torch.no_grad():
        for n, first, count in zip(cfg.levels, (0, rows[0]), rows, strict=True):
            i = torch.arange(count)
            net.features[1][first : first + count] = 0.1 * torch.stack(
                [i % (n + 1), i // (n + 1) ** 2, i // (n + 1) % (n + 1)], 1
            )
    point = torch.tensor([[-7.3, -2.9, 0.0], [1.25, -1.4, 7.9], [3.0, 0.5, -2.2]])
    for level, n in enumerate(cfg.levels):
        got = net._features(1, point, torch.full((3,), 0.1)).view(3, 2, 3)[:, level] * (2 * cfg.half[1] / n)
        torch.testing.assert_close(got, point - torch.tensor((-8.0, -3.0, -8.0)), atol=1e-4, rtol=0)
    far = net._features(1, point, torch.full((3,), 100.0)).view(3, 2, 3)
    near = net._features(1, point, torch.full((3,), 0.1)).view(3, 2, 3)
    torch.testing.assert_close(far[:, 0], near[:, 0] * 2 * 40 / 100)  # a cell of 2 m is less than a pixel there


def test_many_cells_share_few_entries() -> None:
    cfg = replace(SMALL, levels=(256,), entries=64)
    net = micro.field(cfg)
    assert net.features[0].shape == (64, 2)
    found = net._features(0, torch.rand(500, 3) * 2 - torch.tensor((1.0, 2.0, 1.0)), torch.full((500,), 0.2))
    assert bool(torch.isfinite(found).all())
    assert float(found.detach().std()) > 0.1


def test_the_sky_goes_all_around() -> None:
    net = PlaceField(SMALL)
    with torch.no_grad():
        net.sky[0].copy_(torch.randn(net.sky[0].shape, generator=torch.Generator().manual_seed(0)) * 0.02)
    seen = [net.view(0, cameras(0, 0, d), 5, 5).rgb for d in (-180.0, 180.0)]
    torch.testing.assert_close(*seen, atol=1e-4, rtol=0)
    steps = torch.stack([net.view(0, cameras(0, 0, 170.0 + d), 5, 5).rgb[0, :, 2, 2] for d in range(20)])
    assert float(steps.diff(dim=0).abs().max()) < 0.1, "no seam at the back"
    assert float(steps.std()) > 0.001


STAGE = {"batch": 1024, "shaped": 512}


def stage() -> PlacesStage:
    places = replace(SMALL, names=("here",), half=(4.0,))
    return PlacesStage(None, (None,), None, places, **STAGE)  # pyright: ignore[reportArgumentType]


def test_a_place_is_learned_from_some_cameras_and_seen_from_others() -> None:
    torch.manual_seed(0)
    cfg, pictures = stage(), [open_room.pictures(40, seed=1)]
    net = PlaceField(cfg.places)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2, betas=(0.9, 0.99))
    for step in range(240):
        loss, _ = field_loss(net, draw(pictures, cfg, torch.Generator().manual_seed(step)), cfg.shaped)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    other = open_room.pictures(8, seed=2)
    seen, true = net.view(0, other.camera, 24, 24), other.depth.float()
    error = (seen.rgb - (other.video.float() / 127.5 - 1)).square().mean()
    assert -10 * float(torch.log10(error / 4)) > 17, "dB"
    ground = true < 20
    assert float(((seen.depth - true).abs() / true)[ground].median()) < 0.08
    assert float((seen.depth[~ground] == cfg.places.far).float().mean()) > 0.9


def test_rays_are_drawn_through_the_middles_of_pixels() -> None:
    pictures = [open_room.pictures(3, seed=1)]
    s = pictures[0]
    got = draw(pictures, stage(), torch.Generator().manual_seed(0))
    assert got.origin.shape == got.ray.shape == got.rgb.shape == (1024, 3)
    every = (rays(s.camera.lens, 24, 24) @ s.camera.pose[:, None, :3, :3].mT).flatten(0, 2)
    where, depth = s.camera.pose[:, None, :3, 3].expand(-1, 24 * 24, -1).flatten(0, 1), s.depth.float().flatten()
    colours = (s.video.float() / 127.5 - 1).permute(0, 2, 3, 1).flatten(0, 2)
    for i in range(0, 1024, 100):
        away, which = ((every - got.ray[i]).abs().amax(1) + (where - got.origin[i]).abs().amax(1)).min(0)
        assert float(away) < 1e-5
        assert float(got.depth[i]) == float(depth[which])
        torch.testing.assert_close(got.rgb[i], colours[which])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ()}, "places.names"),
        ({"names": ("a", "a")}, "places.names"),
        ({"levels": ()}, "places.levels"),
        ({"cells": 100_000}, "places.cells"),
        ({"far": 0.1}, "places.far"),
        ({"half": (8.0,)}, "places.half"),
    ],
)
def test_wrong_sizes_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)  # pyright: ignore[reportArgumentType]
