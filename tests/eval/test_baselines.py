from __future__ import annotations

import pytest
import torch

import sphere
from dreamx.eval.baselines import copy_first, warp
from dreamx.eval.metrics.psnr import psnr
from dreamx.geometry.camera import Camera, lens_from_fov, level, rigid, rotation
from dreamx.geometry.controls import from_keys, walk

SIZE = 48
START = level(lens_from_fov(60, SIZE, SIZE))


def yawed(*degrees: float) -> Camera:
    poses = rigid(rotation("y", torch.tensor(degrees)), torch.zeros(len(degrees), 3))
    return Camera(poses, START.lens.expand(len(degrees), 4))


def test_copy_first_is_the_first():
    image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    assert torch.equal(copy_first(image, 3), torch.stack([image] * 3))


def test_a_camera_that_stays_sees_the_picture_itself():
    noise = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=noise)
    depth = 1 + 9 * torch.rand(SIZE, SIZE, generator=noise)
    assert torch.equal(warp(image, depth, START, START[None])[0], image)
    there = Camera(START.pose @ rigid(rotation("y", torch.tensor(77.0)), torch.ones(3)), START.lens)
    assert torch.equal(warp(image, depth, there, there[None])[0], image)


def test_turning_in_a_painted_sphere_matches_its_render_where_the_first_frame_saw_it():
    image, depth = sphere.render(START, SIZE)
    cameras = yawed(1.5, -10, 20)
    out, truth = warp(image, depth, START, cameras), sphere.film(cameras, SIZE)
    for i, known in enumerate((slice(0, SIZE - 2), slice(10, SIZE), slice(0, SIZE - 20))):
        assert psnr(out[i, ..., known], truth[i, ..., known]) > 40
    assert psnr(out, truth).gt(psnr(copy_first(image, 3), truth) + 5).all()


def test_walking_forward_matches_the_render_and_leaves_no_pinholes():
    image, depth = sphere.render(START, SIZE)
    cameras = walk(START, from_keys(["w"] * 50))[[0, 9, 24, 49]]  # to 3.75 m: from 6 m to 2.25 m before the wall
    assert psnr(warp(image, depth, START, cameras), sphere.film(cameras, SIZE)).gt(40).all()


def test_stepping_aside_uses_depth():
    image, depth = sphere.render(START, SIZE)
    camera = walk(START, from_keys(["a"] * 4))[-1:]
    truth = sphere.film(camera, SIZE)
    assert psnr(warp(image, depth, START, camera)[..., 6:], truth[..., 6:]) > 40
    assert psnr(warp(image, depth * 3, START, camera)[..., 6:], truth[..., 6:]) < 30


def test_the_near_hides_the_far():
    image = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    depth = torch.full((SIZE, SIZE), 20.0)
    image[0, :, 20:28], depth[:, 20:28] = 255, 1.0  # a red post before a blue wall
    image[2, :, :20], image[2, :, 28:] = 200, 200
    aside = Camera(rigid(torch.eye(3), torch.tensor([0.2, 0.0, 0.0]))[None], START.lens[None])
    out = warp(image, depth, START, aside)[0]
    shift = round(0.2 * float(START.lens[0]) * SIZE)
    post = slice(20 - shift + 1, 28 - shift - 1)
    assert out[0, :, post].eq(255).all()
    assert out[2, :, post].eq(0).all()
    assert out[2, :, : 20 - shift - 1].eq(200).all()


def test_what_was_never_seen_is_the_mean_of_its_row():
    image, depth = sphere.render(START, SIZE)
    behind = warp(image, depth, START, yawed(180))[0].float()
    rows = image.float().mean(-1)
    assert (behind - behind.mean(-1, keepdim=True)).abs().max() <= 1  # the same all along a row
    assert (behind.mean(-1) - rows).abs().mean() < 25  # and smoothly so from row to row


def test_a_sky_without_depth_is_far_away():
    image, depth = sphere.render(START, SIZE)
    for nothing in (float("inf"), 0.0, float("nan")):
        depth[:10] = nothing
        aside = Camera(rigid(torch.eye(3), torch.tensor([0.1, 0.0, 0.0]))[None], START.lens[None])
        assert torch.equal(warp(image, depth, START, aside)[0, :, :9], image[:, :9])


def test_no_cameras_no_frames_and_other_shapes_are_refused():
    image, depth = sphere.render(START, SIZE)
    assert warp(image, depth, START, yawed(0)[:0]).shape == (0, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match="warp takes one picture"):
        warp(image, depth[1:], START, yawed(0))
