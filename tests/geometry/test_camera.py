from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamx.geometry import camera as cam
from dreamx.geometry.camera import Camera

ANGLE = st.floats(-180, 180)


def posed(
    yaw: float,
    pitch: float,
    at: tuple[float, ...] = (0.3, -1.0, 2.0),
    lens: tuple[float, ...] = (0.6, 0.9, 0.4, 0.55),
) -> Camera:
    r = cam.rotation("y", torch.tensor(yaw, dtype=torch.float64)) @ cam.rotation("x", torch.tensor(pitch, dtype=torch.float64))
    return Camera(cam.rigid(r, torch.tensor(at, dtype=torch.float64)), torch.tensor(lens, dtype=torch.float64))


def test_a_lens_must_go_with_its_pose():
    with pytest.raises(ValueError, match=r"camera\.lens must be \(3, 4\)"):
        Camera(torch.eye(4).expand(3, 4, 4), torch.ones(4))
    with pytest.raises(ValueError, match=r"camera\.pose must end in 4x4"):
        Camera(torch.eye(3), torch.ones(4))


@settings(deadline=None, derandomize=True)
@given(ANGLE, ANGLE)
def test_the_inverse_of_a_pose_and_of_a_projection(yaw: float, pitch: float):
    camera, eye = posed(yaw, pitch), torch.eye(4, dtype=torch.float64)
    assert torch.allclose(cam.se3_inverse(camera.pose) @ camera.pose, eye, atol=1e-12)
    p, p_inverse = cam.projection(camera)
    assert torch.allclose(p @ p_inverse, eye, atol=1e-12)
    assert torch.allclose(p_inverse @ p, eye, atol=1e-12)


def test_projection_is_of_world_points_with_the_principal_point_from_the_middle():
    camera = posed(30, 10)
    depth, u, v = 3.0, 0.75, 0.2
    fx, fy, cx, cy = camera.lens
    seen = torch.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, torch.tensor(depth, dtype=torch.float64)])
    world = camera.pose[:3, :3] @ seen + camera.pose[:3, 3]
    x, y, z, w = cam.projection(camera)[0] @ torch.cat([world, world.new_ones(1)])
    assert torch.allclose(torch.stack([x / z + 0.5, y / z + 0.5, z, w]), world.new_tensor([u, v, depth, 1.0]))


@settings(deadline=None, derandomize=True)
@given(ANGLE, ANGLE, ANGLE)
def test_only_what_is_relative_survives_a_change_of_world(yaw: float, pitch: float, world: float):
    a, b, move = posed(yaw, pitch), posed(pitch, yaw, (5.0, 0.0, -1.0)), posed(world, 20).pose
    moved = cam.relative_to(Camera(move @ a.pose, a.lens), Camera(move @ b.pose, b.lens))
    assert torch.allclose(moved.pose, cam.relative_to(a, b).pose, atol=1e-12)


def test_relative_to_itself_is_the_origin_and_shapes_broadcast():
    cameras = cam.cat([posed(0, 0)[None], posed(40, 5)[None]])
    table = cam.relative_to(cameras[None], cameras[:, None])
    assert table.shape == (2, 2)
    assert torch.allclose(table[1, 1].pose, torch.eye(4, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(table[0, 1].pose, cam.relative_to(cameras[1], cameras[0]).pose)


def test_chunk_relative_poses_compose_back():
    path = cam.cat([posed(3.0 * i, i, (0.1 * i, 0.0, 0.2 * i))[None] for i in range(9)])
    back = [path[0].pose]
    for start in range(0, 9, 3):
        reference = path[max(start - 1, 0)]
        back += list(back[max(start - 1, 0)] @ cam.relative_to(path[start : start + 3], reference).pose)[start == 0 :]
    assert torch.allclose(torch.stack(back), path.pose, atol=1e-12)


def test_axes_positive_yaw_looks_right_and_positive_pitch_up():
    forward = torch.tensor([0.0, 0.0, 1.0])
    assert torch.allclose(cam.rotation("y", torch.tensor(90.0)) @ forward, torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(cam.rotation("x", torch.tensor(90.0)) @ forward, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6)


def test_indexing_never_reaches_into_the_matrix():
    cameras = Camera(torch.rand(4, 4, 4, 4), torch.rand(4, 4, 4))
    assert torch.equal(cameras[..., 1].pose, cameras.pose[:, 1])
    assert torch.equal(cameras[..., 1].lens, cameras.lens[:, 1])
    assert cameras[1, 2:].shape == (2,)
    assert cameras[None, 0].shape == (1, 4)
    assert cameras[torch.tensor([0, 3])].shape == (2, 4)
    with pytest.raises(IndexError):
        cameras[0, 0][0]


def test_the_field_of_view_of_square_pixels():
    fx, fy, cx, cy = cam.lens_from_fov(90, width=160, height=90)
    assert (fy, cx, cy) == pytest.approx((0.5, 0.5, 0.5))
    assert fx * 160 == pytest.approx(fy * 90)


def test_rays_times_depth_project_back_to_the_pixel_middles():
    lens = torch.tensor([[0.6, 0.9, 0.4, 0.55], [1.0, 1.0, 0.5, 0.5]])
    rays = cam.rays(lens, rows=3, cols=5)
    assert rays.shape == (2, 3, 5, 3)
    u = rays[..., 0] * lens[:, 0, None, None] + lens[:, 2, None, None]
    v = rays[..., 1] * lens[:, 1, None, None] + lens[:, 3, None, None]
    assert torch.allclose(u, ((torch.arange(5) + 0.5) / 5).expand(2, 3, 5), atol=1e-6)
    assert torch.allclose(v, ((torch.arange(3) + 0.5) / 3)[:, None].expand(2, 3, 5), atol=1e-6)
