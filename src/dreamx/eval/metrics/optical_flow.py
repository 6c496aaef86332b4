"""Motion between two pictures without weights: dense Lucas-Kanade flow, coarse to fine, and the picture half way.

Stand-ins for RAFT and AMT: good to a fraction of a pixel on textured ground, no better than a guess on plain walls.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_COARSEST = 16  # pixels of the shorter side of the top of the pyramid
_ROUNDS = 4  # of refinement on every level
_WINDOW = 7  # pixels that move together
_PLAIN = 8e-4  # of squared slopes: c of ``texture``, at which ground is half believed
_CALM = 2e-4  # of squared slopes (grey 0 to 1): below it a window has no texture and takes the motion around


def optical_flow(a: Tensor, b: Tensor) -> Tensor:
    """Return the flow from ``a [N, 3, H, W]`` (uint8 or 0 to 1) to ``b``: ``[N, 2, H, W]`` pixels right and down.

    Iterative Lucas-Kanade on a pyramid (Bouguet 2001). ValueError unless the shapes agree.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise ValueError(f"pictures must both be [N, 3, height, width], not {tuple(a.shape)} and {tuple(b.shape)}")
    pyramid = [(grey(a), grey(b))]
    # Lucas-Kanade finds motions of a pixel or so: each level doubles its reach.
    while min(pyramid[-1][0].shape[-2:]) >= 2 * _COARSEST:
        pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
    moved = torch.zeros(len(a), 2, *pyramid[-1][0].shape[-2:])
    for x, y in reversed(pyramid):
        if moved.shape[-2:] != x.shape[-2:]:
            rows, cols = x.shape[-2] / moved.shape[-2], x.shape[-1] / moved.shape[-1]
            scale = torch.tensor([cols, rows])[:, None, None]
            # Twice as many pixels are twice as far.
            moved = F.interpolate(moved, size=x.shape[-2:], mode="bilinear", align_corners=False) * scale
        moved = _refine(x, y, moved)
    return moved


def interpolate_midway(a: Tensor, b: Tensor) -> Tensor:
    """The pictures half way between ``a`` and ``b``, both ``[N, 3, H, W]``, as float in 0 to 1 (motion compensated mean)."""
    half = optical_flow(a, b) / 2
    return (sample_at(_unit(a), -half) + sample_at(_unit(b), half)) / 2


def sample_at(picture: Tensor, moved: Tensor) -> Tensor:
    """``picture [N, C, H, W]`` read at each pixel plus ``moved [N, 2, H, W]``; beyond the edge, the edge."""
    rows, cols = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(rows, dtype=torch.float32), torch.arange(cols, dtype=torch.float32), indexing="ij")
    u = (2 * (x + moved[:, 0]) + 1) / cols - 1  # without align_corners -1 and 1 are the outer edges
    v = (2 * (y + moved[:, 1]) + 1) / rows - 1
    return F.grid_sample(picture, torch.stack([u, v], -1), padding_mode="border", align_corners=False)


def texture(picture: Tensor) -> Tensor:
    """Return the texture around each pixel of ``picture [N, 3, H, W]``: symmetric matrices ``[N, H, W, 2, 2]``,
    nothing on plain ground, 1 across a straight edge and nothing along it, the identity where flow has all it needs.

    The structure tensor S (Shi and Tomasi 1994) as S (S + c I)^-1.
    """
    xx, yy, xy, _, _ = _slopes(grey(picture))
    det = (xx + _PLAIN) * (yy + _PLAIN) - xy.square()
    parts = [1 - _PLAIN * (yy + _PLAIN) / det, _PLAIN * xy / det, _PLAIN * xy / det, 1 - _PLAIN * (xx + _PLAIN) / det]
    return torch.stack(parts, -1)[:, 0].unflatten(-1, (2, 2))


def grey(picture: Tensor) -> Tensor:
    """``[N, 3, H, W]`` -> ``[N, 1, H, W]`` in 0 to 1."""
    return (_unit(picture) * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def _refine(x: Tensor, y: Tensor, moved: Tensor) -> Tensor:
    xx, yy, xy, dx, dy = _slopes(x)
    xx, yy = xx + _CALM, yy + _CALM  # and no division by 0
    det = xx * yy - xy * xy
    for _ in range(_ROUNDS):
        off = x - sample_at(y, moved)  # what is left when y is moved back
        ex, ey = _around(dx * off), _around(dy * off)
        step = torch.cat([yy * ex - xy * ey, xx * ey - xy * ex], 1) / det
        moved = moved + step.clamp(-1, 1)  # the slopes hold for a pixel: farther, the step is a guess
        moved = _around(moved)  # neighbours move alike; plain ground takes over what is around it
    return moved


def _slopes(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The structure tensor of ``x [N, 1, H, W]`` in windows, xx, yy and xy, and the slopes themselves, right and down."""
    edge = F.pad(x, (1, 1, 1, 1), mode="replicate")
    dx = (edge[..., 1:-1, 2:] - edge[..., 1:-1, :-2]) / 2
    dy = (edge[..., 2:, 1:-1] - edge[..., :-2, 1:-1]) / 2
    return _around(dx * dx), _around(dy * dy), _around(dx * dy), dx, dy


def _around(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)  # a mean of what is in the picture


def _unit(picture: Tensor) -> Tensor:
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
