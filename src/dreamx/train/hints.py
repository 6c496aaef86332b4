"""Hints to learn from: a few other frames of a clip, re-projected to its frames, with the errors that memory will have.

At play the depth of a remembered view is the decoder's own guess and its colours are generated; here both are true and spoilt on
purpose: a scale error and a smooth warp of the depth, and some blur.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View, composite_over, reproject
from dreamx.train.augment import mask_half_plane, perturb_depth, soften

_FARTHEST = 60  # frames between a window and what is remembered of its clip


def draw_sources(start: int, frames: int, length: int, count: int, rng: torch.Generator) -> list[int]:
    """``count`` frames of a clip of ``length`` beside the window of ``frames`` at ``start``: rather near than far."""
    found: list[int] = []
    for _ in range(4 * count):  # near the ends of a clip many draws fall outside
        far, side = torch.rand(2, generator=rng).tolist()
        steps = round(_FARTHEST**far)  # 1 to 60 frames, even in the logarithm
        # Mostly from before the window, as at play; some from after it.
        at = start - steps if side < 0.7 else start + frames - 1 + steps
        if 0 <= at < length and len(found) < count:
            found.append(at)
    return found


def render_hint(rgb: Tensor, depth: Tensor, camera: Camera, target: Camera, rng: torch.Generator) -> View:
    """``[S]`` pictures of a clip (``rgb [S, 3, H, W]``, ``depth [S, H, W]``) as ``target [F]`` would remember them."""
    f = len(target)
    rgb, depth = soften(rgb, rng), perturb_depth(depth, rng)
    total: View | None = None
    for i in range(len(rgb)):
        seen = reproject(
            rgb[i].expand(f, -1, -1, -1),
            depth[i].expand(f, -1, -1),
            camera[i].map(lambda x: x.expand(f, *x.shape)),
            target,
        )
        total = seen if total is None else composite_over(total, seen)  # the first source wins, as the oldest view does at play
    return mask_half_plane(total, rng) if total else unknown_view(rgb.new_zeros(f, *rgb.shape[1:]))


def unknown_view(like: Tensor) -> View:
    """Nothing is known of pictures ``[..., 3, H, W]``."""
    blank = torch.zeros_like(like[..., 0, :, :])
    return View(torch.zeros_like(like), blank, blank)
