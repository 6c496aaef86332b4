"""A world that needs no simulator: the inside of a painted sphere, rendered exactly from any place within."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamx.geometry.camera import Camera, rays

RADIUS = 6.0


def render(camera: Camera, size: int, samples: int = 3) -> tuple[Tensor, Tensor]:
    """Picture uint8 ``[3, size, size]``, averaged over ``samples`` x ``samples`` a pixel, and depth ``[size, size]``."""
    colours, _ = _hit(camera, size * samples)
    _, depth = _hit(camera, size)
    picture = F.avg_pool2d(colours[None], samples)[0]
    return (picture * 255).round().to(torch.uint8), depth


def film(cameras: Camera, size: int) -> Tensor:
    """Video uint8 ``[F, 3, size, size]``."""
    return torch.stack([render(cameras[i], size)[0] for i in range(len(cameras))])


def _hit(camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    here = camera.pose[:3, 3]
    ray = F.normalize(rays(camera.lens, size, size) @ camera.pose[:3, :3].T, dim=-1)
    along = -(ray @ here) + ((ray @ here).square() + RADIUS**2 - here @ here).sqrt()
    offset = along[..., None] * ray
    x, y, z = (2 * (here + offset) / RADIUS).unbind(-1)
    colours = [torch.sin(7 * x + 2 * y + 1), torch.sin(5 * y + 4 * z), torch.cos(6 * x * y + 3 * z)]
    return 0.5 + 0.45 * torch.stack(colours), offset @ camera.pose[:3, 2]
