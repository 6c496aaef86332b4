"""Scenes, walks and captions: pure functions of seeds that need no renderer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamx.data.scene.caption import LONGEST, caption
from dreamx.data.scene.scene import EYE, KINDS, STYLES, scene
from dreamx.data.sim.walker import PITCH, UP, clear, keys_for, path
from dreamx.geometry.controls import from_keys, walk

PLACES = [(k, s) for k in KINDS for s in STYLES]


@pytest.mark.parametrize(("kind", "style"), PLACES)
def test_a_scene_is_a_pure_function(kind: str, style: str) -> None:
    a, b, other = scene(5, style, kind), scene(5, style, kind), scene(6, style, kind)
    assert all(
        np.array_equal(p.corners, q.corners) and np.array_equal(p.texture, q.texture)
        for p, q in zip(a.parts, b.parts, strict=True)
    )
    assert a.landmarks == b.landmarks and torch.equal(a.start(3).pose, b.start(3).pose)
    assert a.landmarks != other.landmarks


def test_the_seed_draws_every_kind_and_style() -> None:
    drawn = {(s.kind, s.style) for s in map(scene, range(60))}
    assert {k for k, _ in drawn} == set(KINDS) and {s for _, s in drawn} == set(STYLES)


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_level_apart_and_free(kind: str) -> None:
    place = scene(2, "game", kind)
    starts = [place.start(i) for i in range(6)]
    for start in starts:
        assert clear(place, start.map(lambda x: x[None]))
        assert start.pose[1, 3] == -EYE and torch.equal(start.pose[:3, 1], torch.tensor([0.0, 1.0, 0.0]))
        r = start.pose[:3, :3]
        assert torch.allclose(r @ r.T, torch.eye(3), atol=1e-6) and torch.det(r) > 0
    assert len({tuple(s.pose.flatten().tolist()) for s in starts}) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_walks_are_free_of_collisions_and_exactly_their_keys(kind: str) -> None:
    place = scene(4, "stylised", kind)
    for index in range(4):
        start = place.start(index)
        keys = keys_for(place, start, 81, np.random.default_rng(index))
        cameras, actions = path(start, keys)
        assert len(cameras) == 81 and clear(place, cameras)
        assert torch.equal(cameras.pose[1:], walk(start, from_keys(keys), torch.tensor(UP)).pose)
        assert actions.shape == (81, 8) and not actions[0].any()
        assert sum(bool(k) for k in keys) > 40
        assert float(cameras.pose[:, 1, 2].abs().max()) <= np.sin(np.radians(PITCH)) + 1e-4
        assert torch.allclose(cameras.pose[:, 1, 3], torch.full((81,), -EYE), atol=1e-5)


def test_walks_come_back() -> None:
    near = 0
    for seed in range(12):
        place = scene(seed)
        cameras, _ = path(place.start(0), keys_for(place, place.start(0), 81, np.random.default_rng(seed)))
        p, f = cameras.pose[:, :3, 3], cameras.pose[:, :3, 2]
        close = (torch.cdist(p, p) < 0.3) & (f @ f.T > 0.97)
        apart = torch.cdist(p, p).max() > 0.8 or (f @ f.T).min() < 0.85
        far_in_time = torch.ones(81, 81).triu(24).bool()
        near += bool(apart) and bool((close & far_in_time).any())
    assert near >= 4


def test_a_wall_stops_the_walker() -> None:
    place = scene(1, "game", "maze")
    cameras, _ = path(place.start(0), ["w"] * 400)
    assert not clear(place, cameras)


@pytest.mark.parametrize(("kind", "style"), PLACES)
def test_captions_name_the_style_and_stay_short(kind: str, style: str) -> None:
    place = scene(9, style, kind)
    said = [caption(place, place.start(i), np.random.default_rng(i)) for i in range(8)]
    opening = {"photoreal": "Style: Photorealistic.", "game": "Style: Game.", "stylised": "Style: Stylised."}[style]
    assert all(c.startswith(opening) and len(c.split()) <= LONGEST for c in said)
    assert len(set(said)) > 4


@pytest.mark.parametrize(
    ("seed", "style", "kind", "names"), [(0, "baroque", None, "style"), (0, None, "moon", "kind"), (-1, None, None, "seed")]
)
def test_bad_input_names_the_field(seed: int, style: str | None, kind: str | None, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        scene(seed, style, kind)
