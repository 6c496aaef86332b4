"""A textured room that needs no simulator: eight pillars in a box, rendered by casting rays, with exact depth."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamx.clip import Clip
from dreamx.data.sim.walker import path
from dreamx.geometry.camera import Camera, lens_from_fov, level, rays
from dreamx.geometry.controls import Speed

HALF = torch.tensor([5.0, 1.5, 5.0])  # of the room, metres; y is down
TEXELS = 512  # of a texture, over 5 m
SMOOTH = ((6, 1.0), (18, 0.7))  # nothing that pictures of 64 pixels could not show
FINE = ((8, 0.6), (32, 0.6), (128, 0.8))  # corners to match, in pictures of 480


class Room:
    """Boxes seen from inside and outside. ``seed`` paints the walls with noise of so many cells, and how strong each."""

    def __init__(self, seed: int = 0, detail: tuple[tuple[int, float], ...] = SMOOTH) -> None:
        g = torch.Generator().manual_seed(seed)
        angle = torch.arange(8) * torch.pi / 4 + torch.rand(8, generator=g)
        self.low = torch.stack(
            [3.2 * angle.sin() - 0.35, torch.full((8,), -0.9) + torch.rand(8, generator=g), 3.2 * angle.cos() - 0.35], -1
        )
        self.high = torch.stack([self.low[:, 0] + 0.7, torch.full((8,), 1.5), self.low[:, 2] + 0.7], -1)
        noise = torch.zeros(1, 27, TEXELS, TEXELS)
        for n, share in detail:
            noise += F.interpolate(torch.rand(1, 27, n, n, generator=g), size=TEXELS, mode="bilinear") * share
        noise = noise[0].view(9, 3, TEXELS, TEXELS)
        noise = ((noise - noise.mean((2, 3), keepdim=True)) * 0.7 + 0.5).clamp(0.02, 0.98)
        self.paint = noise.permute(0, 2, 3, 1).reshape(-1, 3)  # [9 * TEXELS * TEXELS, 3]

    def render(self, camera: Camera, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Picture uint8 ``[3, H, W]`` and depth ``[H, W]`` of one camera."""
        here = camera.pose[:3, 3].float()
        ray = rays(camera.lens.float(), height, width) @ camera.pose[:3, :3].float().T  # [H, W, 3], depth 1
        ray = torch.where(ray.abs() < 1e-7, 1e-7, ray)
        depth = torch.maximum((-HALF - here) / ray, (HALF - here) / ray).amin(-1)  # the walls, from inside
        paint = torch.zeros_like(depth, dtype=torch.long)
        for i, (low, high) in enumerate(zip(self.low, self.high, strict=True), 1):
            a, b = (low - here) / ray, (high - here) / ray
            enter, leave = torch.minimum(a, b).amax(-1), torch.maximum(a, b).amin(-1)
            hit = (enter < leave) & (enter > 0.05) & (enter < depth)
            depth, paint = torch.where(hit, enter, depth), torch.where(hit, i, paint)
        return self._colour(here + ray * depth[..., None], paint), depth

    def _colour(self, p: Tensor, paint: Tensor) -> Tensor:
        """The texture of each face, between texels, by the two axes that lie in it."""
        low = torch.cat([-HALF[None], self.low])[paint]
        high = torch.cat([HALF[None], self.high])[paint]
        face = torch.minimum((p - low).abs(), (p - high).abs()).argmin(-1)
        others = torch.tensor([[1, 2], [0, 2], [0, 1]])[face]
        at = (p.gather(-1, others) / 5.0 + 0.31 * face[..., None]).remainder(1) * (TEXELS - 1)
        first = at.floor().long()
        share = at - first
        out = torch.zeros(*p.shape[:2], 3)
        for du in (0, 1):
            for dv in (0, 1):
                u, v = ((first[..., i] + d).clamp(max=TEXELS - 1) for i, d in ((0, du), (1, dv)))
                weight = (share[..., 0] if du else 1 - share[..., 0]) * (share[..., 1] if dv else 1 - share[..., 1])
                out += weight[..., None] * self.paint[(paint * TEXELS + v) * TEXELS + u]
        return (out * 255).round().to(torch.uint8).permute(2, 0, 1)


def walk_clip(keys: list[str], width: int = 64, height: int = 64, fov: float = 70.0, fps: float = 16.0, seed: int = 0) -> Clip:
    """A walk through the room from its middle, as the simulator would give it."""
    start = level(lens_from_fov(fov, width, height))
    cameras, actions = path(start, keys, Speed(fps=fps))
    room = Room(seed)
    seen = [room.render(cameras[i], width, height) for i in range(len(cameras))]
    video, depth = torch.stack([a for a, _ in seen]), torch.stack([b for _, b in seen]).half()
    return Clip(
        video, cameras, actions, depth, fps, "A room with eight painted pillars.", "photoreal", "room", seed,
        source="tests", licence="Apache-2.0", extra={"units": "metres"},
    )  # fmt: skip


def with_video(clip: Clip, video: Tensor) -> Clip:
    """The same clip with other pictures of the same size."""
    return replace(clip, video=video.round().clamp(0, 255).to(torch.uint8))
