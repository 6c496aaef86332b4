"""Retrieval of views of the past by camera pose and view overlap: which of them show most of what cameras are about to see.

The paper gives no formula (DreamX-World 1.0, section on memory). Ours follows HY-WorldPlay 1.5 in counting points that both see,
taken as in ``geometry.overlap``, and chooses greedily: what a chosen view shows counts less for the next, so that views differ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.geometry.overlap import points, sees

#: Rows, columns and depths of the points of one camera: a sixth of those of ``overlap``, for this is asked of a whole walk.
_GRID = (6, 8, 4)


def retrieve(target: Camera, past: Camera, most: int, least: float, again: float) -> list[int]:
    """Choose up to ``most`` of the views ``past [N]`` for cameras ``target [T]``, best first.

    A view's worth is the share of the targets' points that it sees; points that chosen views see already count ``again`` times as
    much for each. Views worth less than ``least`` are left out, by what they see and not by what they add. Of equals the earlier.
    """
    if not len(past) or most < 1:
        return []
    exact = target.to(dtype=torch.float64), past.to(dtype=torch.float64)  # so that rounding moves no point across an edge
    world = points(exact[0], grid=_GRID).flatten(0, 1)  # [T P, 3]
    seen = sees(exact[1], world).double()  # [N, T P]
    free = seen.mean(1) >= least
    weight, chosen = torch.ones(len(world), dtype=torch.float64, device=world.device), list[int]()
    while len(chosen) < most:
        # Rounded, since sums come in any order: equal views are equal, and argmax takes the first.
        worth = (1e9 * (seen * weight).mean(1)).round().masked_fill(~free, 0)
        best = int(worth.argmax())
        if worth[best] <= 0:
            break
        chosen.append(best)
        free[best] = False
        weight = torch.where(seen[best] > 0, weight * again, weight)
    return chosen


def view_shares(target: Camera, past: Camera) -> Tensor:
    """The share ``[..., N]`` of what cameras ``target [..., T]`` see that each of the views ``past [..., N]`` sees."""
    world = points(target, grid=_GRID).flatten(-3, -2)  # [..., T P, 3]
    return sees(past, world[..., None, :, :]).to(target.pose.dtype).mean(-1)
