"""Paths found without drawing, people who walk, the camera behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamx.data.scene.scene import KINDS, scene
from dreamx.data.sim import paths
from dreamx.data.sim.bodies import matrix
from dreamx.data.sim.follow import follow
from dreamx.data.sim.navigation import Rejected, StandingPlace, find_spot, find_way, in_line, some_free
from dreamx.data.sim.person import HEIGHT, Arms, Stance, limbs
from dreamx.data.sim.walker import clear, path
from dreamx.geometry.controls import Speed

LENS = (64, 64, 70.0)


def _found(kind: str, index: int, frames: int = 81):
    place, reasons = scene(6, "game", kind), []
    for attempt in range(30):
        try:
            return place, paths.discover(place, index, frames, np.random.default_rng([index, attempt]), Speed(), LENS), reasons
        except Rejected as e:
            reasons.append(str(e))
    raise AssertionError(reasons)


@pytest.mark.parametrize("kind", KINDS)
def test_found_paths_are_free_and_go_somewhere(kind: str) -> None:
    kinds: set[str] = set()
    for index in range(4):
        place, (leg, cameras, actions), reasons = _found(kind, index)
        kinds.add(leg)
        assert len(cameras) == 81 and actions.shape == (81, 8) and not actions[0].any() and clear(place, cameras)
        assert all(r and r == r.strip() for r in reasons)
        paths.check(place, cameras)
    assert kinds <= set(paths.LEGS)


def test_a_way_leads_around_walls() -> None:
    place, rng = scene(6, "game", "maze"), np.random.default_rng(0)
    around = 0
    for _ in range(6):
        a, b = some_free(place, rng), some_free(place, rng)
        try:
            way = find_way(place, a, b)
        except Rejected:
            continue
        assert way[-1] == b
        around += len(way) > 1 and not in_line(place, a, b)
    assert around >= 2


@pytest.mark.parametrize("leg", ["out and back", "closed loop", "translate and rotate"])
def test_revisit_legs_come_back(leg: str) -> None:
    place = scene(6, "stylised", "park")
    back = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = some_free(place, rng)
        try:
            keys = paths.LEGS[leg](place, StandingPlace(x, y, float(rng.uniform(0, 360))), 80, rng, Speed())
        except Rejected:
            continue
        assert len(keys) == 80
        cameras, _ = path(paths.camera_at(StandingPlace(x, y, 30.0), *LENS), keys)
        p = cameras.pose[:, :3, 3]
        away = (p - p[0]).norm(dim=-1).max() + (cameras.pose[:, :3, 2] - cameras.pose[0, :3, 2]).norm(dim=-1).max()
        assert float(away) > 0.15
        end = float((cameras.pose[-1] - cameras.pose[0]).abs().max())
        assert end < (0.01 if leg == "out and back" else 0.6), (seed, end)
        back += 1
    assert back >= 4


def test_bad_paths_have_their_reason() -> None:
    place = scene(6, "game", "maze")
    x, y = some_free(place, np.random.default_rng(3))
    start = paths.camera_at(StandingPlace(x, y, 10.0), *LENS)
    for keys, reason in ((["w"] * 300, "runs into something"), ([""] * 80, "too short"), (["j"] * 45 + [""] * 40, "stuck")):
        cameras, _ = path(start, keys)
        with pytest.raises(Rejected, match=reason):
            paths.check(place, cameras)


def test_no_room_is_a_reason() -> None:
    with pytest.raises(Rejected, match="no room"):
        find_spot(scene(6, "game", "maze"), np.random.default_rng(0), 9.0, 6.0)


def test_a_walking_person_stands_on_the_ground_and_holds_together() -> None:
    for walked in np.linspace(0, 2.8, 29):
        for gait in (0.0, 0.5, 1.0):
            out = limbs(Stance(1.0, 2.0, 40.0, float(walked), gait, Arms()))
            r = matrix(out[:, 3:])
            assert np.allclose(r @ r.transpose(0, 2, 1), np.eye(3), atol=1e-9) and np.allclose(np.linalg.det(r), 1)
            soles = [out[k, 2] - 0.215 * r[k, 2, 2] - 0.05 for k in (9, 10)]
            assert abs(min(soles)) < 0.02, "a foot is in the ground or both are above it"
            assert 1.5 < out[2, 2] + 0.125 < HEIGHT + 0.05
            for thigh, shin in ((7, 9), (8, 10)):
                knee, other = out[thigh, :3] - 0.215 * r[thigh, :, 2], out[shin, :3] + 0.215 * r[shin, :, 2]
                assert np.allclose(knee, other, atol=1e-6)
    one, two = (limbs(Stance(0, 0, 0, w, 1.0)) for w in (0.35, 1.05))
    assert np.abs(one[7:11] - two[7:11]).max() > 0.2, "it does not walk"


def test_hands_reach_where_they_are_told() -> None:
    out = limbs(Stance(0, 0, 90.0, 0, 0, Arms(1.0, 0.42, 0.3, 1.1)))
    assert np.allclose(out[-1, :3], (0, 0.42, 1.1), atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_the_camera_follows_smoothly_and_never_into_walls(kind: str) -> None:
    done = 0
    for index in range(3):
        place, (_, walked, _), _ = _found(kind, index)
        p, f = walked.pose[:, :3, 3].double().numpy(), walked.pose[:, :3, 2].double().numpy()
        places = np.stack([p[:, 0], p[:, 2], np.degrees(np.unwrap(np.arctan2(f[:, 2], f[:, 0])))], -1)
        try:
            camera = follow(place, places, *LENS, 16.0)
        except Rejected:
            continue
        done += 1
        c = camera.pose[:, :3, 3].double().numpy()
        assert place.free(c[:, 0], c[:, 2]).mean() > 0.97
        far = np.hypot(c[:, 0] - p[:, 0], c[:, 2] - p[:, 2])
        assert far.max() < 2.8 and far.min() > 0.2
        r = camera.pose[:, :3, :3]
        assert torch.allclose(r @ r.mT, torch.eye(3).expand_as(r), atol=1e-5)
        at = torch.from_numpy(np.stack([p[:, 0], np.full(len(p), -1.2), p[:, 2]], -1)).float()
        seen = torch.einsum("fji,fj->fi", r, at - camera.pose[:, :3, 3])
        assert bool((seen[:, 2] > 0.2).all()) and float((seen[:, 0] / seen[:, 2]).abs().max()) < 0.5, "out of the picture"
    assert done >= 1
