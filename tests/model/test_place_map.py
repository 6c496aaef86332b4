"""Maps of places: what is read from them, and that a network without them, or elsewhere, is as before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamx.config import from_json, to_json
from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import Camera, level, rigid, rotation
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.place_map import PlaceMap, PlaceMapConfig
from dreamx.standpoint import Standpoint, stand
from dreamx.train.trained_networks import add_place_map

LENS = (0.7, 0.7, 0.5, 0.5)
SMALL = PlaceMapConfig(("here", "there"), half=8.0, cells=(16, 4), channels=8, samples=6, far=12.0, hidden=8)
DIT = DiTConfig(channels=4, width=16, heads=2, layers=1, mlp=16, text=8)


def camera(x: float, z: float, degrees: float, count: int = 1) -> Camera:
    pose = rigid(rotation("y", torch.tensor(degrees)), torch.tensor((x, -1.5, z)))
    return Camera(pose, torch.tensor(LENS)).map(lambda t: t.expand(1, count, *t.shape))


def trained() -> PlaceMap:
    torch.manual_seed(0)
    net = PlaceMap(SMALL, width=16, patch=2)
    torch.nn.init.normal_(net.read[2].weight)  # pyright: ignore[reportArgumentType] (else all is read as 0)
    return net


def tokens(net: PlaceMap, place: int, where: Camera) -> Tensor:
    with torch.no_grad():
        return net(torch.full((1, 1), place), where, 4, 4)[0, 0]


def test_what_is_read_depends_on_place_and_pose_alone() -> None:
    net = trained()
    first = tokens(net, 0, camera(1, 2, 30))
    assert first.shape == (4, 16)
    torch.testing.assert_close(first, tokens(net, 0, camera(1, 2, 30)))
    for other in (tokens(net, 1, camera(1, 2, 30)), tokens(net, 0, camera(3, 2, 30)), tokens(net, 0, camera(1, 2, 75))):
        assert float((first - other).abs().max()) > 0.01


def test_nothing_is_known_of_no_place() -> None:
    net = trained()
    both = camera(1, 2, 30, count=2)
    out = net(torch.tensor([[-1, 1]]), both, 4, 4)
    assert not out[0, 0].any()
    torch.testing.assert_close(out[0, 1], tokens(net, 1, camera(1, 2, 30)))


def test_a_sample_is_the_feature_of_its_cell() -> None:
    """A map whose features are their own coordinates gives back where the ray is, as it is computed by hand."""
    net = PlaceMap(replace(SMALL, cells=(16,)), width=16, patch=2).double()
    n, half = 16, SMALL.half
    middle = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 * half - half  # of the cells, metres
    with torch.no_grad():
        net.levels[0].zero_()
        net.levels[0][0, 0] = middle[None, None, :]  # x
        net.levels[0][0, 1] = middle[None, :, None]  # z
        net.levels[0][0, 2] = (torch.arange(8) // 4)[:, None, None]  # which place
    where = Camera(camera(1, 2, 90).pose.double(), camera(1, 2, 90).lens.double()).map(lambda t: t[0])
    got = 0.1 * net._sample(torch.tensor([1]), where, 4, 4)[0].unflatten(-1, (SMALL.samples, SMALL.channels))  # [4, 4, S, C]
    depth = SMALL.near * (SMALL.far / SMALL.near) ** (torch.arange(6, dtype=torch.float64) / 5)
    side = ((torch.arange(4, dtype=torch.float64) + 0.5) / 4 - 0.5) / LENS[0]  # of each column, at a depth of 1
    # It looks along x: depth is x, and the right of the picture is -z.
    x, z = 1 + depth, 2 - side[:, None] * depth
    inside = (x.abs() < half - 0.5) & (z.abs() < half - 0.5)  # between the middles of cells
    torch.testing.assert_close(got[0, ..., 0][inside], x.expand(4, -1)[inside], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[0, ..., 1][inside], z[inside], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[..., 2], torch.ones_like(got[..., 2]))  # never of the place below


def test_a_network_with_new_maps_answers_as_before() -> None:
    torch.manual_seed(0)
    dit = DiT(DIT)
    torch.nn.init.normal_(dit.head.weight)
    frames = clean(torch.randn(1, 2, 4, 4, 4), camera(1, 2, 30, count=2))
    text = torch.randn(1, 3, 8)
    before = dit(frames, text, MaskedAttention())
    other = add_place_map(dit, SMALL)
    assert other.config.places == ("here", "there")
    torch.testing.assert_close(other(replace(frames, place=torch.tensor([[0, 1]])), text, MaskedAttention()), before)
    with pytest.raises(ValueError, match="place_map: the network has maps"):
        add_place_map(other, SMALL)


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
