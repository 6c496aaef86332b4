"""Spacing of remembered views: is a view new, and which one to drop where they lie densest."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera


def spacing(a: Camera, b: Camera, metres: float, degrees: float) -> Tensor:
    """(distance / metres)^2 + (angle / degrees)^2 between cameras ``[...]``, which broadcast: an ellipse, 1 on its edge."""
    away = (a.pose[..., :3, 3] - b.pose[..., :3, 3]).norm(dim=-1) / metres
    # Products summed in a fixed order, not a matrix product: the same on any machine.
    cosine = (a.pose[..., :3, 2] * b.pose[..., :3, 2]).sum(-1).clamp(-1, 1)
    return away.square() + (torch.rad2deg(torch.acos(cosine)) / degrees).square()


def is_new(camera: Camera, views: Camera, metres: float, degrees: float) -> bool:
    """Return whether no view ``[N]`` lies in the ellipse of ``spacing`` about the camera: half of both limits is still near."""
    return bool((spacing(views, camera, metres, degrees) >= 1).all())


def spare(views: Camera, capacity: int, metres: float, degrees: float) -> int:
    """Return the index to drop of views ``[N]`` in the order of time, of which one is too many.

    Of the two nearest where views lie densest the later; never the first, never one of the newest quarter of ``capacity``. Dense
    is where the sum of the distances to the two nearest is least. One distance would not do: on a straight walk it wears away a
    whole stretch, view by view, because what is left looks as dense as before.
    """
    last = len(views) - max(1, capacity // 4)  # views before the newest quarter
    if last < 2:  # too few to choose from: the newest goes
        return len(views) - 1
    old = views[:last]
    each = spacing(old.map(lambda x: x[:, None]), old.map(lambda x: x[None]), metres, degrees).sqrt()  # [last, last]
    # Rounded, so that a replay drops the same views on any machine. Infinite on the diagonal: no view is its own neighbour.
    apart = (1000 * each).round().long().fill_diagonal_(2**40)
    crowd = apart.topk(min(2, last - 1), largest=False).values.sum(1).tolist()
    densest = min(range(1, last), key=lambda i: crowd[i])  # from 1: the first stays
    row: list[int] = apart[densest].tolist()
    return max(densest, row.index(min(row)))  # of it and its nearest neighbour the later
