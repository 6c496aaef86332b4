"""``check`` names why a path is wrong, and then asks for jumps and speeds of the path that is meant."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, level, rigid, rotation, se3_inverse
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.formats import Motion, MotionOptions, read
from dreamx.geometry.formats.keys import spread
from dreamx.geometry.formats.motion import dump
from dreamx.geometry.formats.path_check import doubts, problems
from dreamx.geometry.path import matrices, parse_actions, quaternions

FAR = rigid(rotation("y", torch.tensor(40.0).double()), torch.tensor([-145.0, -81.0, 1.0]).double())
WALKS = ["w*80", "w*40,wl*40", "wj*80", "w*20,l*40,w*20", "wi*10,w*30,wl*40"]


def path(keys: str) -> Camera:
    start = level(dtype=torch.float64)
    steps = walk(start, from_keys(parse_actions(keys)))
    return Camera(torch.cat([start.pose[None], steps.pose]), torch.cat([start.lens[None], steps.lens]))


def kinds(pose: Tensor, every: int = 1) -> list[str]:
    camera = path("-*1")[:1].lens
    return [p.kind for p in problems(Motion(Camera(pose, camera.expand(len(pose), 4)), 16.0, (), every))]


@pytest.mark.parametrize("keys", WALKS)
@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("which", [lambda i: i % 2 == 1, lambda i: i % 3 == 0, lambda i: i >= 50])
def test_some_inverted(keys: str, far: bool, which: object) -> None:
    pose = FAR @ path(keys).pose if far else path(keys).pose
    wrong = torch.tensor([which(i) for i in range(81)])  # pyright: ignore[reportCallIssue]
    assert kinds(torch.where(wrong[:, None, None], se3_inverse(pose), pose)) == ["mixed"]
    assert kinds(pose) == []


def test_some_inverted_are_named_also_where_frames_were_filled_in() -> None:
    pose = path("w*40,wl*40").pose[::4]
    bad = torch.where((torch.arange(21) % 2 == 1)[:, None, None], se3_inverse(pose), pose)
    k = [[970.0, 0, 960.0], [0, 970.0, 540.0], [0, 0, 1.0]]
    data = dump({str(i): {"extrinsic": p, "K": k} for i, p in enumerate(bad.tolist())})
    found = problems(read("hy-inference", {"": data}, MotionOptions(fps=16.0)))
    assert [p.kind for p in found] == ["mixed"]
    assert "10 of 21 matrices (1, 3, 5, ...) are the other way round" in found[0].says


@pytest.mark.parametrize("keys", ["w*80", "w*40,wl*40", "w*20,l*40,w*20"])
def test_frames_in_another_order(keys: str) -> None:
    pose = path(keys).pose
    text = torch.tensor(sorted(range(81), key=str))
    any_ = torch.randperm(81, generator=torch.Generator().manual_seed(3))
    for order in (text, any_):
        motion = Motion(Camera(pose[order], path(keys).lens), 16.0)
        assert [p.kind for p in problems(motion)] == ["order"]
    says = problems(Motion(Camera(pose[text], path(keys).lens), 16.0))[0].says
    assert "in the order of text (0, 1, 10, 11, ...)" in says


def test_out_and_back_cuts_and_standing_are_in_order() -> None:
    for keys in ("w*40,s*40", "w*20,s*20,w*20,s*20", "-*80", "a*40,d*40", "l*40,j*40"):
        assert "order" not in kinds(path(keys).pose) and "mixed" not in kinds(path(keys).pose), keys
    shake = path("-*80").pose + torch.nn.functional.pad(torch.randn(81, 3, 1).double() * 0.01, (3, 0, 0, 1))
    assert not {"order", "mixed"} & set(kinds(shake))


def test_other_axes_and_quaternions() -> None:
    pose = path("w*20,wl*60").pose
    r, t = pose[:, :3, :3], pose[:, :3, 3]
    ros = torch.tensor([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).double()  # our x y z in theirs, by rows
    q = quaternions(r)
    cases = {
        "axes": rigid(r @ ros, t),
        "quaternion": rigid(matrices(q[:, [3, 0, 1, 2]]), t),
        "rotation-w2c": rigid(r.mT, t),
        "mirrored": rigid(r, t * torch.tensor([-1.0, 1.0, 1.0])),
    }
    for kind, bad in cases.items():
        found = problems(Motion(Camera(bad, path("w*20,wl*60").lens), 16.0))
        assert len(found) == 1 and (found[0].kind == kind or (kind == "mirrored" and "mirrored along x" in found[0].says)), kind
    flipped = pose @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]).double())
    found = problems(Motion(Camera(flipped, path("w*20,wl*60").lens), 16.0))
    assert [p.kind for p in found] == ["inverted"] and "OpenGL's axes" in found[0].says and "w2c" not in found[0].says


def test_world_to_camera_is_not_told_to_be_scaled() -> None:
    pose = FAR @ path("w*20,wl*60").pose
    assert kinds(se3_inverse(pose)) == ["inverted"]


def test_repeated_frames_and_lenses_of_another_size() -> None:
    pose = path("w*80").pose
    assert kinds(pose[torch.arange(81) // 3 * 3])[0] == "repeated"
    assert "repeated" not in kinds(path("w*8,-*8,w*8,-*8,w*8,-*8,w*8,-*8,w*8,-*8").pose)
    camera = path("w*4")
    assert doubts(Motion(camera, 16.0)) == []
    big = Motion(Camera(camera.pose, torch.tensor([5.0, 8.9, 5.0, 5.0]).double().expand(5, 4)), 16.0)
    assert "may be in pixels of another size" in doubts(big)[0]


def test_spread_is_what_was_given() -> None:
    camera = path("w*8")
    assert torch.allclose(spread(camera[::4], 4).pose, camera.pose)
