"""Baselines that a model must beat: the first picture, frozen, and the first picture moved by geometry alone.

``warp`` is given what no model has, the *true* depth of the first frame, and knows nothing else: what the first frame shows
is in its place, and the rest is a guess of a few colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamx.geometry.camera import Camera, rays, se3_inverse

_FAR = 1e4  # metres: where a depth of infinity, or none, is put
_FRONT = 1.03  # samples up to 3 % behind the nearest one, and the slope of a pixel more, belong to the same surface
_FINEST = 11  # samples across a source pixel, at most


def copy_first(image: Tensor, frames: int) -> Tensor:
    """The picture ``[3, H, W]`` for every frame: ``[frames, 3, H, W]``."""
    return image.expand(frames, *image.shape)


def warp(image: Tensor, depth: Tensor, start: Camera, cameras: Camera) -> Tensor:
    """The first picture, uint8 ``[3, H, W]`` with its depth ``[H, W]`` (metres along z), seen from ``cameras [F]``.

    Forward splatting: every source pixel becomes a fan of samples on its own small plane, as many as its magnification asks
    for, so that surfaces have no pinholes; among those that fall into a target pixel the front surface wins (z-buffer), and
    in it the sample closest to the pixel's middle. Holes up to an eighth of the picture are filled smoothly from what is known
    around them, anything wider with the mean colour of the same row of the first picture. Returns uint8 ``[F, 3, H, W]``.
    """
    if start.shape or len(cameras.shape) != 1 or depth.shape != image.shape[1:]:
        raise ValueError("warp takes one picture [3, H, W], its depth [H, W], its one camera, and cameras with a time axis")
    depth = torch.where(torch.isfinite(depth) & (depth > 0), depth.float(), _FAR).clamp(max=_FAR)
    to_target = (se3_inverse(cameras.pose.double()) @ start.pose.double()).float()  # [F, 4, 4]
    background = image.float().mean(-1, keepdim=True).expand_as(image)
    fans: dict[int, _Fan] = {}
    out: list[Tensor] = []
    for move, lens in zip(to_target, cameras.lens.float(), strict=True):
        fineness = _fineness(depth, start.lens.float(), move, lens)
        if fineness not in fans:
            fans[fineness] = _fan(image, depth, start.lens.float(), fineness)
        out.append(_fill(*_splat(fans[fineness], move, lens, image.shape[-2:]), background))
    return torch.stack(out).round().clamp(0, 255).to(torch.uint8) if out else image.new_zeros(0, *image.shape)


@dataclass(frozen=True)
class _Fan:
    """Samples inside of the source pixels: points ``[N, 3]`` in source axes, colours ``[N, 3]``, and how much farther than
    the nearest sample of its target pixel one may be and yet lie on the same surface (a factor, ``[N]``)."""

    points: Tensor
    colours: Tensor
    reach: Tensor


def _fineness(depth: Tensor, lens: Tensor, move: Tensor, target: Tensor) -> int:
    """Samples across a source pixel (odd) that leave no gaps in the most magnified part of the target, short of outliers."""
    points = rays(lens, *depth.shape) * depth[..., None]
    u, v, z = _project(points.flatten(0, 1), move, target)
    seen = (z > 0.05) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
    if not bool(seen.any()):
        return 1
    zoom = torch.quantile((depth.flatten() / z)[seen], 0.99) * max(float(target[0] / lens[0]), float(target[1] / lens[1]))
    return min(_FINEST, 2 * ceil(float(zoom)) + 3)


def _fan(image: Tensor, depth: Tensor, lens: Tensor, fineness: int) -> _Fan:
    """``fineness`` x ``fineness`` samples for each source pixel.

    Colours are interpolated; depth runs on inside of a pixel along the gentler of the slopes to its two neighbours (of inverse
    depth, which is linear on a plane), so that no skin is stretched from an edge to what is behind it.
    """
    rows, cols = depth.shape
    inverse = 1 / depth
    part = (torch.arange(fineness) + 0.5) / fineness - 0.5  # places inside of a pixel, -1/2 to 1/2
    slope_x, slope_y = _gentler(inverse, 1), _gentler(inverse, 0)
    fine = inverse[:, None, :, None] + slope_y[:, None, :, None] * part[:, None, None] + slope_x[:, None, :, None] * part
    fine = fine.clamp(min=1 / _FAR).reshape(rows * fineness, cols * fineness)
    reach = _FRONT + (slope_x.abs() + slope_y.abs()) / inverse
    reach = reach.repeat_interleave(fineness, 0).repeat_interleave(fineness, 1)
    points = rays(lens, *fine.shape) / fine[..., None]
    colours = F.interpolate(image[None].float(), size=fine.shape, mode="bilinear", align_corners=False)[0]
    return _Fan(points.flatten(0, 1), colours.flatten(1).T.contiguous(), reach.flatten())


def _gentler(x: Tensor, dim: int) -> Tensor:
    """The smaller of the steps to the neighbours before and after, or 0 where they disagree in sign (minmod)."""
    step = x.diff(dim=dim)
    edge = torch.zeros_like(x.narrow(dim, 0, 1))
    before, after = torch.cat([edge, step], dim), torch.cat([step, edge], dim)
    return torch.where(before * after > 0, torch.where(before.abs() < after.abs(), before, after), 0)


def _project(points: Tensor, move: Tensor, lens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points ``[N, 3]`` -> u, v as shares of the picture, and depth; ``move`` leads from their axes to the camera's."""
    x, y, z = (points @ move[:3, :3].T + move[:3, 3]).unbind(-1)
    safe = z.clamp(min=1e-6)
    return lens[0] * x / safe + lens[2], lens[1] * y / safe + lens[3], z


def _splat(fan: _Fan, move: Tensor, lens: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """The picture ``[3, H, W]`` and where it is known ``[H, W]``."""
    rows, cols = size
    u, v, z = _project(fan.points, move, lens)
    seen = ((z > 0.02) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)).nonzero().squeeze(1)
    u, v, z = u[seen] * cols, v[seen] * rows, z[seen]
    col, row = u.long().clamp(max=cols - 1), v.long().clamp(max=rows - 1)
    pixel = row * cols + col
    nearest = z.new_full((rows * cols,), torch.inf).scatter_reduce(0, pixel, z, "amin")
    off = (u - col - 0.5).square() + (v - row - 0.5).square()
    off = torch.where(z <= nearest[pixel] * fan.reach[seen], off, torch.inf)
    closest = z.new_full((rows * cols,), torch.inf).scatter_reduce(0, pixel, off, "amin")
    wins = (off <= closest[pixel]) & off.isfinite()
    picture = fan.colours.new_zeros(rows * cols, 3)
    picture[pixel[wins]] = fan.colours[seen[wins]]
    return picture.T.reshape(3, rows, cols), nearest.isfinite().reshape(rows, cols)


def _fill(picture: Tensor, known: Tensor, background: Tensor) -> Tensor:
    """Pull and push: a hole takes the mean of the smallest square around it that knows anything, up to an eighth of the rows.

    The squares double from level to level (Gortler et al. 1996, The Lumigraph, section 3.4); beyond them is ``background``.
    """
    weight = known[None, None].float()
    colour = picture[None] * weight
    levels = [(colour, weight)]
    while min(weight.shape[-2:]) > 8:
        colour, weight = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (colour, weight))
        levels.append((colour, weight))
    filled = F.adaptive_avg_pool2d(background[None], (weight.shape[-2], weight.shape[-1]))
    for colour, weight in reversed(levels):
        filled = F.interpolate(filled, size=weight.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, colour / weight.clamp(min=1e-6), filled)
    return filled[0]
