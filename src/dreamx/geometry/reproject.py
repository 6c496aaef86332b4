"""Pictures with depth, seen from other cameras: how memory is shown to the model. Nothing here is learned.

Forward, then backward: the depth of the source is splatted into the target (nearest surface wins, pinholes closed), and each
target pixel then fetches its colour from the source, between pixels, unless that surface is hidden there. Forward splatting of
colours alone would be half a pixel off everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.geometry.camera import Camera, rays, relative_to

_NEAR = 0.05  # metres: nearer points count as behind the camera
_SAME = 0.08  # relative difference of depth within which two samples lie on one surface
_LAYER = 1.15  # times the depth of the nearest surface that still count as it, where views disagree
_REACH, _ROUNDS = 3, 2  # pixels, and how often: of the smoothing of depth
_COLOUR, _DEPTH, _SPACE = 0.2, 0.15, 2.0  # its deviations: of colours, of the logarithm of depth, of pixels
_BESIDE = 0.35  # metres: no surface passes a camera closer; a steeper depth is an edge
_ALONE, _ENCLOSED = 3.5, 4.5  # of nine pixels: fewer that know are a crumb, more around one that does not make it a hole
_CLOSE = 2  # pixels: pinholes up to twice as wide are closed


@dataclass(frozen=True)
class View:
    """Pictures seen, or remembered, from some cameras, any leading shape.

    rgb:   ``[..., 3, H, W]``, any scale; 0 where unknown.
    depth: ``[..., H, W]`` metres along z; 0 where unknown, but for surfaces whose colour is too coarse (``reproject``).
    known: ``[..., H, W]`` 1 where the colour is known, else 0.
    """

    rgb: Tensor
    depth: Tensor
    known: Tensor


def reproject(rgb: Tensor, depth: Tensor, source: Camera, target: Camera, most: float = inf) -> View:
    """Pictures ``[N, 3, H, W]`` with depth ``[N, H, W]`` of ``source [N]`` as ``target [N]`` sees them.

    Unknown are pixels that the source does not show: hidden surfaces, surfaces out of its view, and those without depth (0); and
    those of surfaces that appear more than ``most`` times as large as the source saw them: their detail was never seen. These
    keep a depth, since they hide what other views show behind them: as far as they may be, for an error grows as they do.
    """
    n, rows, cols = depth.shape
    move = relative_to(source, target).pose  # source axes -> target axes
    points = rays(source.lens, rows, cols) * depth[..., None]  # [N, H, W, 3]
    x, y, z = (points.flatten(1, 2) @ move[:, :3, :3].mT + move[:, None, :3, 3]).unbind(-1)  # [N, P]
    u, v = _pixels(x, y, z, target.lens, rows, cols)
    # Half a pixel beyond the middles of the border pixels: their outer edges.
    inside = (z > _NEAR) & (depth.flatten(1) > 0) & (u > -0.5) & (u < cols - 0.5) & (v > -0.5) & (v < rows - 0.5)
    where = v.round().clamp(0, rows - 1).long() * cols + u.round().clamp(0, cols - 1).long()
    where = where.masked_fill(~inside, 0)  # NaN as an index would be any place
    nearness = torch.where(inside, 1 / z.clamp(min=_NEAR), 0.0)  # inverse depth: the nearest surface is the maximum, 0 is nothing
    seen = nearness.new_zeros(n, rows * cols).scatter_reduce(1, where, nearness, "amax").view(n, 1, rows, cols)
    for _ in range(_CLOSE):
        seen = torch.where(seen > 0, seen, F.max_pool2d(seen, 3, 1, 1))  # a surface seen closer leaves gaps between its splats
    there = torch.where(seen > 0, 1 / seen.clamp(min=1e-6), 0.0)[:, 0]  # [N, H, W] metres from the target
    x, y, z = (
        ((rays(target.lens, rows, cols) * there[..., None]).flatten(1, 2) - move[:, None, :3, 3]).bmm(move[:, :3, :3]).unbind(-1)
    )
    u, v = _pixels(x, y, z, source.lens, rows, cols)
    # grid_sample without align_corners: -1 and 1 are the outer edges of the picture.
    grid = torch.stack([(2 * u + 1) / cols - 1, (2 * v + 1) / rows - 1], -1).view(n, rows, cols, 2)
    # Nearest: a mean of depths across an edge lies on no surface.
    back = F.grid_sample(depth[:, None], grid, "nearest", "border", align_corners=False)[:, 0]
    z = z.view(n, rows, cols)
    # Hidden in the source where its own depth there is another one.
    known = (there > 0) & (z > _NEAR) & (grid.abs() < 1).all(-1) & ((back - z).abs() < _SAME * z)
    there = there * known
    if most < inf:
        coarse = known & (z > most * there)  # under equal lenses things appear larger by the ratio of their depths
        there, known = torch.where(coarse, there + _SAME * z, there), known & ~coarse
    # Fetched between pixels: splatted colours are half a pixel off.
    colour = F.grid_sample(rgb, grid, "bilinear", "border", align_corners=False)
    return View(colour * known[:, None], there, known.to(rgb.dtype))  # [N, 3, H, W], [N, H, W], [N, H, W]


def _pixels(x: Tensor, y: Tensor, z: Tensor, lens: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Points ``[N, P]`` in the axes of cameras with ``lens [N, 4]`` -> column and row, whole numbers in the middles of pixels."""
    fx, fy, cx, cy = (k[:, None] for k in lens.unbind(-1))
    z = z.clamp(min=1e-6)  # behind the camera: no division by 0, and `inside` drops it
    return (fx * x / z + cx) * cols - 0.5, (fy * y / z + cy) * rows - 0.5


def smooth_depth(rgb: Tensor, depth: Tensor, lens: Tensor) -> Tensor:
    """A guessed depth ``[H, W]`` made fit to be re-projected, by its picture ``rgb [3, H, W]`` in [-1, 1].

    Guesses are grainy and their edges are ramps; moved, the grain shimmers, the ramps fly apart. Inverse depth is averaged over
    neighbours of like colour and like depth (a joint bilateral filter, Petschnigg et al. 2004), and what is steeper than a
    surface that one could stand beside snaps to the nearer or the farther side (a toggle mapping, Kramer and Bruckner 1975).
    """
    near = torch.where(depth > 0, 1 / depth.clamp(min=_NEAR), 0.0)  # a plane in space is a plane in inverse depth
    spread = torch.arange(-_REACH, _REACH + 1, dtype=depth.dtype)
    distance = (spread[:, None].square() + spread.square()).flatten()[:, None, None]  # [K, 1, 1]
    colours = _around(rgb)  # [3, K, H, W]
    # [K, H, W]: logarithms of the weights that do not change from round to round.
    alike = -((colours - rgb[:, None]).square().sum(0) / (2 * _COLOUR**2) + distance / (2 * _SPACE**2))
    for _ in range(_ROUNDS):
        those = _around(near[None])[0]  # [K, H, W]
        apart = (those.clamp(min=1e-3).log() - near.clamp(min=1e-3).log()).square() / (2 * _DEPTH**2)
        weight = (alike - apart).exp()
        near = (weight * those).sum(0) / weight.sum(0)  # never 0 / 0: a pixel is its own neighbour
    focal = float(lens[1]) * depth.shape[0]  # pixels
    for _ in range(2):  # twice, for ramps of more than two pixels
        high, low = (s * F.max_pool2d(s * near[None], 3, 1, 1)[0] for s in (1.0, -1.0))
        # A plane at distance d from the camera changes by 1 / (d focal) a pixel of inverse depth; the window is 2 pixels wide.
        steep = (high - low) * focal / 2 > 1 / _BESIDE
        near = torch.where(steep, torch.where(high - near < near - low, high, low), near)
    return torch.where(depth > 0, 1 / near.clamp(min=1e-3), 0.0)


def _around(x: Tensor) -> Tensor:
    """Planes ``[C, H, W]`` -> those of every neighbour within reach, ``[C, K, H, W]``."""
    padded = F.pad(x[None], (_REACH,) * 4, mode="replicate")
    return F.unfold(padded, 2 * _REACH + 1).view(len(x), -1, *x.shape[1:])


def merge_views(views: list[View]) -> View:
    """Views of the same frames as one: of those that show about the nearest surface the first in the list has each pixel."""
    nearest = torch.stack([torch.where(v.depth > 0, v.depth, torch.inf) for v in views]).amin(0)  # [..., H, W]
    total = views[0]
    for i, v in enumerate(views):
        front = v.known * (v.depth <= _LAYER * nearest)  # a farther surface may not hide a nearer one, however trusted
        seen = View(v.rgb * front[..., None, :, :], v.depth * front, front)
        total = seen if i == 0 else composite_over(total, seen)
    return total


def composite_over(front: View, back: View) -> View:
    """Composite ``front`` over ``back``, which shows only where ``front`` is unknown."""
    here = front.known > 0
    return View(
        torch.where(here[..., None, :, :], front.rgb, back.rgb),
        torch.where(here, front.depth, back.depth),
        torch.maximum(front.known, back.known),
    )


def remove_flying_pixels(view: View) -> View:
    """A view ``[N]`` without the crumbs of uneven depth: single known pixels are removed, single holes closed."""
    counted = 9 * F.avg_pool2d(view.known[:, None], 3, 1, 1)[:, 0]  # how many of a pixel and its eight neighbours know
    crumb, hole = (view.known > 0) & (counted < _ALONE), (view.known == 0) & (counted > _ENCLOSED)
    # Mean of the neighbours that are known.
    colour = 9 * F.avg_pool2d(view.rgb * view.known[:, None], 3, 1, 1) / counted.clamp(min=1)[:, None]
    depth = 9 * F.avg_pool2d((view.depth * view.known)[:, None], 3, 1, 1)[:, 0] / counted.clamp(min=1)
    known = torch.where(hole, 1.0, torch.where(crumb, 0.0, view.known))
    closed = View(torch.where(hole[:, None], colour, view.rgb), torch.where(hole, depth, view.depth), known)
    return View(closed.rgb * known[:, None], closed.depth * (known > 0), known)


def fill_holes(view: View) -> Tensor:
    """The picture ``[N, 3, H, W]`` of a view ``[N]`` without holes: each takes the mean of the smallest square around it.

    Pull and push over squares that double (Gortler et al. 1996, The Lumigraph, section 3.4). All 0 where nothing is known at all.
    """
    weight = view.known[:, None]
    levels = [(view.rgb * weight, weight)]  # colours times weight, so that a mean of both is a weighted mean
    while min(levels[-1][1].shape[-2:]) > 1:
        levels.append(tuple(F.avg_pool2d(x, 2, ceil_mode=True) for x in levels[-1]))  # pyright: ignore[reportArgumentType]
    out = torch.zeros_like(levels[-1][0])
    for colour, w in reversed(levels):
        out = F.interpolate(out, size=w.shape[-2:], mode="bilinear", align_corners=False)
        # From coarse to fine: the finest level that knows anything wins.
        out = torch.where(w > 0, colour / w.clamp(min=1e-6), out)
    return out
