"""Pictures of an open room, computed: striped walls and ground that a field of a place learns in seconds."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, rays, rigid, rotation
from dreamx.train.known_places import PlacePictures

LENS = (0.7, 0.7, 0.5, 0.5)
SIDE = 24  # pixels


def pictures(count: int, seed: int) -> PlacePictures:
    """Pictures of an open room of 7 m: four striped walls 2.5 m high, the ground, a sky of one colour."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.rand(count, 3, generator=rng).tolist()
    where = torch.stack(
        [rigid(rotation("y", torch.tensor(a * 360)), torch.tensor((x * 5 - 2.5, -1.5, z * 5 - 2.5))) for a, x, z in drawn]
    )
    camera = Camera(where, torch.tensor(LENS).expand(count, 4))
    ray = (rays(camera.lens, SIDE, SIDE) @ where[:, None, :3, :3].mT).flatten(0, 2)
    origin = where[:, None, None, :3, 3].expand(-1, SIDE, SIDE, -1).flatten(0, 2)
    met: list[Tensor] = []
    for axis, side in ((0, -3.5), (0, 3.5), (2, -3.5), (2, 3.5), (1, 0.0)):
        t = (side - origin[:, axis]) / ray[:, axis]
        y = origin[:, 1] + t * ray[:, 1]
        good = (t > 0) & torch.isfinite(t) & (((y > -2.5) & (y <= 0)) | torch.tensor(axis == 1))
        met.append(torch.where(good, t, 100.0))
    depth = torch.stack(met).amin(0)
    end = origin + ray * depth[:, None]
    rgb = torch.where((depth < 100)[:, None], 0.6 * torch.sin(end * 1.5), torch.tensor((0.0, 0.2, 0.8)))
    video = ((rgb.view(count, SIDE, SIDE, 3).permute(0, 3, 1, 2) + 1) * 127.5).round().to(torch.uint8)
    return PlacePictures(video, depth.view(count, SIDE, SIDE).half(), camera)
