"""Hints to learn from: what a few other frames of a clip show of its frames, with the mistakes that memory will make.

At play the depth of what is remembered is the decoder's own guess and its colours are dreamt; here both are true and spoilt on
purpose: a scale error and a smooth warp of the depth, and some blur.
"""

from __future__ import annotations

from math import cos, sin, tau

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View, composite_over, reproject

_FARTHEST = 60  # frames between a window and what is remembered of its clip
_SCALE, _FIELD, _FIELD_SIZE = 0.06, 0.05, 4  # deviations of the logarithm of depth: of a whole picture, and of a field of 4 x 4


def sources(start: int, frames: int, length: int, count: int, rng: torch.Generator) -> list[int]:
    """``count`` frames of a clip of ``length`` beside the window of ``frames`` at ``start``: rather near than far."""
    found: list[int] = []
    for _ in range(4 * count):
        far, side = torch.rand(2, generator=rng).tolist()
        steps = round(_FARTHEST**far)
        at = start - steps if side < 0.7 else start + frames - 1 + steps
        if 0 <= at < length and len(found) < count:
            found.append(at)
    return found


def render_hint(rgb: Tensor, depth: Tensor, camera: Camera, target: Camera, rng: torch.Generator) -> View:
    """``[S]`` pictures of a clip (``rgb [S, 3, H, W]``, ``depth [S, H, W]``) as ``target [F]`` would remember them."""
    f = len(target)
    rgb, depth = blurred(rgb, rng), perturb_depth(depth, rng)
    total: View | None = None
    for i in range(len(rgb)):
        seen = reproject(
            rgb[i].expand(f, -1, -1, -1),
            depth[i].expand(f, -1, -1),
            camera[i].map(lambda x: x.expand(f, *x.shape)),
            target,
        )
        total = seen if total is None else composite_over(total, seen)
    return mask_half_plane(total, rng) if total else unknown(rgb.new_zeros(f, *rgb.shape[1:]))


def mask_half_plane(view: View, rng: torch.Generator) -> View:
    """A view ``[F, H, W]`` of which, half of the time, everything beyond a straight line through the picture is unknown.

    What a camera that turns has never seen lies so; without it a decoder would learn to read the hint alone.
    """
    rows, cols = view.known.shape[-2:]
    half, angle, u, v = torch.rand(4, generator=rng).tolist()
    if half < 0.5:
        return view
    y, x = torch.meshgrid(torch.arange(rows) - v * rows, torch.arange(cols) - u * cols, indexing="ij")
    keep = (x * cos(tau * angle) + y * sin(tau * angle) > 0).to(view.known)
    return View(view.rgb * keep, view.depth * keep, view.known * keep)


def unknown(like: Tensor) -> View:
    """Nothing is known of pictures ``[..., 3, H, W]``."""
    blank = torch.zeros_like(like[..., 0, :, :])
    return View(torch.zeros_like(like), blank, blank)


def perturb_depth(depth: Tensor, rng: torch.Generator) -> Tensor:
    """Depth ``[S, H, W]`` as an autoencoder might guess it."""
    s = len(depth)
    scale = _SCALE * torch.randn(s, 1, 1, generator=rng)
    field = _FIELD * torch.randn(s, 1, _FIELD_SIZE, _FIELD_SIZE, generator=rng)
    return depth * (scale + F.interpolate(field, depth.shape[-2:], mode="bilinear")[:, 0]).exp()


def blurred(rgb: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures ``[S, 3, H, W]``, half of them softer than they were."""
    much = (torch.rand(len(rgb), 1, 1, 1, generator=rng) * 1.4 - 0.7).clamp(min=0)
    soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(rgb, soft, much)
