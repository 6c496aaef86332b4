"""Maps of places: what is read from them, and that a network without them, or elsewhere, is as before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamx.config import from_json, to_json
from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import Camera, level, rays, rigid, rotation
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.place_map import PlaceMap, PlaceMapConfig
from dreamx.standpoint import Standpoint, stand
from dreamx.train.trained_networks import add_place_map

LENS = (0.7, 0.7, 0.5, 0.5)
SMALL = PlaceMapConfig(("here", "there"), half=(8.0, 8.0), cells=(16, 4), layers=4, channels=8, samples=6, far=12.0, hidden=8)
DIT = DiTConfig(channels=4, width=16, heads=2, layers=1, mlp=16, text=8, hint=True)


def camera(x: float, z: float, degrees: float, count: int = 1) -> Camera:
    pose = rigid(rotation("y", torch.tensor(degrees)), torch.tensor((x, -1.5, z)))
    return Camera(pose, torch.tensor(LENS)).map(lambda t: t.expand(1, count, *t.shape))


def made() -> PlaceMap:
    torch.manual_seed(0)
    return PlaceMap(SMALL, latent=4)


def recalled(net: PlaceMap, place: int, where: Camera) -> Tensor:
    with torch.no_grad():
        return net.recall(torch.tensor([place]), where.map(lambda t: t[0]), 4, 6)[0]


def test_what_is_recalled_depends_on_place_and_pose_alone() -> None:
    net = made()
    first = recalled(net, 0, camera(1, 2, 30))
    assert first.shape == (4, 4, 6)
    torch.testing.assert_close(first, recalled(net, 0, camera(1, 2, 30)))
    for other in (recalled(net, 1, camera(1, 2, 30)), recalled(net, 0, camera(3, 2, 30)), recalled(net, 0, camera(1, 2, 75))):
        assert float((first - other).abs().max()) > 0.003


def test_the_map_fills_what_memory_does_not_know() -> None:
    net = made()
    frames = clean(torch.zeros(1, 3, 4, 4, 6), camera(1, 2, 30, count=3))
    hint = torch.rand(1, 3, 5, 4, 6)
    hint[:, :, -1] = torch.tensor((1.0, 0.0, 0.5, 0.95))[:, None]  # known, of each row
    known = replace(frames, hint=hint, place=torch.tensor([[-1, 1, 0]]))
    got = net.fill(known)
    assert torch.equal(got[:, 0], hint[:, 0]), "nothing is known of no place"
    torch.testing.assert_close(got[0, 1, :-1, 0], hint[0, 1, :-1, 0])
    torch.testing.assert_close(got[0, 1, :-1, 1], recalled(net, 1, camera(1, 2, 30))[:, 1])
    torch.testing.assert_close(got[0, 2, :-1, 2], 0.5 * (hint[0, 2, :-1, 2] + recalled(net, 0, camera(1, 2, 30))[:, 2]))
    torch.testing.assert_close(got[0, 1, -1, :, 0], torch.tensor((1.0, 0.9, 0.9, 0.95)))
    blank = net.fill(replace(known, hint=None))
    assert not blank[:, 0].any()
    torch.testing.assert_close(blank[0, 1, :-1], recalled(net, 1, camera(1, 2, 30)))
    assert torch.equal(net.fill(frames), torch.zeros(1, 3, 5, 4, 6))


def test_a_place_is_learned() -> None:
    """Latents that are a function of the ray alone are learned from some cameras, and recalled at others."""
    torch.manual_seed(0)
    net = PlaceMap(replace(SMALL, cells=(8,)), latent=2)
    rng = torch.Generator().manual_seed(0)

    def view(count: int) -> tuple[Camera, Tensor]:
        x, z, turn = torch.rand(count, generator=rng) * 8 - 4, torch.rand(count, generator=rng) * 8 - 4, torch.rand(count) * 360
        poses = torch.stack([camera(float(a), float(b), float(c)).pose[0, 0] for a, b, c in zip(x, z, turn, strict=True)])
        seen = Camera(poses, torch.tensor(LENS).expand(count, 4))
        ahead = torch.nn.functional.normalize(rays(seen.lens, 4, 4) @ poses[:, None, :3, :3].mT, dim=-1)
        return seen, torch.stack([ahead[..., 0], (x / 4)[:, None, None].expand(-1, 4, 4)], 1)

    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        seen, want = view(16)
        loss = (net.recall(torch.zeros(16, dtype=torch.long), seen, 4, 4) - want).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    seen, want = view(32)
    with torch.no_grad():
        error = (net.recall(torch.zeros(32, dtype=torch.long), seen, 4, 4) - want).square().mean()
    assert float(error) < 0.2 * float(want.var())


def test_a_sample_is_the_feature_of_its_cell() -> None:
    """A map whose features are their own coordinates gives back where the ray is, as it is computed by hand."""
    net = PlaceMap(replace(SMALL, cells=(16,)), latent=4).double()
    n, half = 16, SMALL.half[1]
    middle = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 * half - half  # of the cells, metres
    with torch.no_grad():
        net.levels[0].zero_()
        net.levels[0][0, 0] = middle[None, None, :]  # x
        net.levels[0][0, 1] = middle[None, :, None]  # z
        net.levels[0][0, 2] = (torch.arange(8) // 4)[:, None, None]  # which place
    where = Camera(camera(1, 2, 90).pose.double(), camera(1, 2, 90).lens.double()).map(lambda t: t[0])
    count = SMALL.channels * SMALL.samples
    got = 0.1 * net._sample(torch.tensor([1]), where, 4, 4)[0, ..., :count].unflatten(-1, (SMALL.channels, -1)).mT  # [4, 4, S, C]
    depth = SMALL.near * (SMALL.far / SMALL.near) ** (torch.arange(6, dtype=torch.float64) / 5)
    side = ((torch.arange(4, dtype=torch.float64) + 0.5) / 4 - 0.5) / LENS[0]  # of each column, at a depth of 1
    # It looks along x: depth is x, and the right of the picture is -z.
    x, z = 1 + depth, 2 - side[:, None] * depth
    inside = (x.abs() < half - 0.5) & (z.abs() < half - 0.5)  # between the middles of cells
    torch.testing.assert_close(got[0, ..., 0][inside], x.expand(4, -1)[inside], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[0, ..., 1][inside], z[inside], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[..., 2], torch.ones_like(got[..., 2]))  # never of the place below


def test_a_network_with_a_map_reads_it_as_a_hint() -> None:
    torch.manual_seed(0)
    dit = DiT(DIT)
    for layer in (dit.head, dit.hint):
        assert layer is not None
        torch.nn.init.normal_(layer.weight)
    frames = clean(torch.randn(1, 2, 4, 4, 4), camera(1, 2, 30, count=2))
    text = torch.randn(1, 3, 8)
    before = dit(frames, text, MaskedAttention())
    other = add_place_map(dit, SMALL)
    assert other.config.places == ("here", "there")
    assert other.place_map is not None
    here = replace(frames, place=torch.tensor([[0, 1]]))
    torch.testing.assert_close(other(frames, text, MaskedAttention()), before)
    torch.testing.assert_close(
        other(here, text, MaskedAttention()), dit(replace(frames, hint=other.place_map.fill(here)), text, MaskedAttention())
    )
    assert float((other(here, text, MaskedAttention()) - before).detach().abs().max()) > 0.01
    with pytest.raises(ValueError, match="place_map: the network has maps"):
        add_place_map(other, SMALL)
    with pytest.raises(ValueError, match=r"dit.place_map needs dit.hint"):
        replace(DIT, hint=False, place_map=SMALL)


def test_configs_of_before_have_no_maps() -> None:
    said = to_json(DIT)
    assert said["place_map"] is None
    del said["place_map"]
    assert from_json(DiTConfig, said) == DIT
    del said["hint"]
    with pytest.raises(ValueError, match="'hint' is missing"):
        from_json(DiTConfig, said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ()}, "place_map.names"),
        ({"names": ("a", "a")}, "place_map.names"),
        ({"cells": ()}, "place_map.cells"),
        ({"cells": (100_000,)}, "place_map.cells"),
        ({"far": 0.1}, "place_map.far"),
        ({"half": (8.0,)}, "place_map.half"),
    ],
)
def test_wrong_sizes_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)  # pyright: ignore[reportArgumentType]


def test_frames_keep_their_place() -> None:
    known = replace(clean(torch.zeros(1, 2, 4, 4, 4), camera(0, 0, 0, 2)), place=torch.tensor([[1, 1]]))
    other = clean(torch.zeros(1, 1, 4, 4, 4), camera(0, 0, 0))
    joined = cat(known, other)
    assert joined.place is not None
    assert joined.place.tolist() == [[1, 1, -1]]
    assert joined[1:].place is not None
    assert joined[1:].place.tolist() == [[1, -1]]  # pyright: ignore[reportOptionalMemberAccess]
    assert cat(other, other).place is None
    with pytest.raises(ValueError, match="frames.place"):
        replace(known, place=torch.tensor([1]))


def test_standing_somewhere_moves_the_cameras_into_its_axes() -> None:
    here = level(LENS).map(lambda t: t[None, None])
    frames: Frames = clean(torch.zeros(1, 1, 4, 4, 4), here)
    at = Standpoint("there", camera(1, 2, 30).pose[0, 0])
    placed = stand(frames, at, ("here", "there"))
    assert placed.place is not None
    assert placed.place.tolist() == [[1]]
    torch.testing.assert_close(placed.camera.pose[0, 0], at.pose @ here.pose[0, 0])
    assert stand(frames, at, ("elsewhere",)) is frames
    assert stand(frames, None, ("here",)) is frames
    back = Standpoint.from_json(at.to_json())
    assert back.place == at.place
    assert torch.equal(back.pose, at.pose)
