"""Motion of a camera between two pictures of which one has depth: by flow, and by nothing that was learned.

Where the flow is the same there and back, and there is something to hold on to, it is believed; the rigid motion that explains
it best, pixels that disagree counting less and less, is the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.eval.estimators.pose.rigid_motion import Observations, solve_motion
from dreamx.eval.metrics import optical_flow
from dreamx.geometry.camera import rays

_OFF = 0.3  # pixels: a flow that comes back so far from where it began counts half
_ROUNDS = 3  # of weighing anew
_STEPS = 4  # of Gauss-Newton in each
_LINES = 32  # rows and columns of pixels that are asked, at least
_SPREAD = 0.5  # pixels: a residual that large halves the weight
_FAR = 1e3  # metres: where a depth of infinity is put


def relative_motion(a: Tensor, b: Tensor, depth: Tensor, lens: Tensor, plain: bool = False) -> tuple[Tensor, Tensor]:
    """Pictures ``a`` and ``b [N, 3, H, W]`` (uint8 or 0 to 1) and the depth of a ``[N, H, W]`` (metres along z, 0 where unknown),
    one ``lens [4]``.

    ``plain``: ground without texture speaks, too. It says that nothing moves, which is right where pictures should be equal.

    Returns the rigid motions ``[N, 4, 4]`` from a's axes to b's, and how far the pixels of a speak for them ``[N]``, 0 to 1.
    """
    there, back = optical_flow.optical_flow(a, b), optical_flow.optical_flow(b, a)
    return explained_pixels(there, consistent_pixels(None if plain else a, there, back), depth, lens)


def refine_motion(a: Tensor, b: Tensor, depth: Tensor, lens: Tensor, guess: Tensor, doubt: float = 0.0) -> tuple[Tensor, Tensor]:
    """The same, better, from a ``guess [N, 4, 4]``: b is first warped by it, so that only a small flow is left to be found.

    A flow falls short of a long way and smooths over edges of depth; what the guess explains no longer suffers from that.
    ``doubt``: see ``explained``.
    """
    known = torch.where(depth > 0, depth.float(), 1.0).clamp(max=_FAR)
    rows, cols = depth.shape[-2:]
    directions = rays(lens.float(), rows, cols).flatten(0, 1)
    points = directions @ guess[:, :3, :3].mT + guess[:, None, :3, 3] / known.flatten(1)[..., None]
    steps = points[..., :2] / points[..., 2:].clamp(min=0.1) - directions[:, :2]
    far = (steps * lens.float()[:2] * torch.tensor([cols, rows])).mT.unflatten(-1, (rows, cols)).clamp(-2 * cols, 2 * cols)
    there = optical_flow.sample_at(b.float() / 255 if b.dtype == torch.uint8 else b, far)
    rest, back = optical_flow.optical_flow(a, there), optical_flow.optical_flow(there, a)
    return explained_pixels(far + rest, consistent_pixels(a, rest, back), depth, lens, guess, doubt)


def consistent_pixels(a: Tensor | None, there: Tensor, back: Tensor) -> Tensor:
    """Weight the flow ``there [N, 2, H, W]`` of each pixel of ``a`` by direction: symmetric
    ``[N, H, W, 2, 2]``, 0 to 1. ``back`` must lead to where it began; a plain wall, which seems to stand still however one
    walks, says nothing, and its edge says nothing of the way along it; without ``a``, all say the same."""
    off = (there + optical_flow.sample_at(back, there)).square().sum(1)
    return (torch.eye(2) if a is None else optical_flow.texture(a)) / (1 + off / _OFF**2)[..., None, None]


def explained_pixels(
    there: Tensor, trust: Tensor, depth: Tensor, lens: Tensor, guess: Tensor | None = None, doubt: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The motions that a flow of a to b ``[N, 2, H, W]`` in pixels, believed as ``trusted`` says, is best explained by, and how
    much speaks for them, 0 to 1.

    ``guess [N, 4, 4]``: where to begin. ``doubt``: the share by which the depth may be wrong. A wrong depth moves a pixel along
    one line only (the epipolar line), and the farther the nearer it is: there the flow counts for less. Without this, the
    mistakes of a guessed depth are taken for turns of a camera that goes aside.
    """
    rows, cols = depth.shape[-2:]
    lens = lens.float()
    focal = lens[:2] * torch.tensor([cols, rows])
    directions = rays(lens, rows, cols)
    to = directions[..., :2] + there.movedim(1, -1) / focal  # [N, H, W, 2]
    at = to * lens[:2] + lens[2:]
    inside = ((at > 0) & (at < 1)).all(-1) & (depth > 0)
    distance = torch.where(depth > 0, depth.float(), 1.0).clamp(max=_FAR)
    thin = max(1, min(rows, cols) // _LINES)  # neighbours say the same
    flat, goal = directions[::thin, ::thin].flatten(0, 1), to[:, ::thin, ::thin].flatten(1, 2)
    far, trust = (x[:, ::thin, ::thin].flatten(1, 2) for x in (distance, trust * inside[..., None, None]))
    weight, axes = _apart(trust)
    move = solve_motion(flat, Observations(goal, weight, far, axes), _STEPS) if guess is None else guess
    share = trust.new_ones(far.shape)
    for _ in range(_ROUNDS):
        aside = move[:, None, :3, 3] / far[..., None]
        points = flat @ move[:, :3, :3].mT + aside
        z = points[..., 2:].clamp(min=0.1)
        where = points[..., :2] / z
        along = (aside[..., :2] - where * aside[..., 2:]) / z * focal * (doubt / _OFF)  # the doubt, in pixels that count half
        # (trust^-1 + along along^T)^-1, after Sherman and Morrison
        held = (trust @ along[..., None])[..., 0]
        left = trust - held[..., :, None] * held[..., None, :] / (1 + (held * along).sum(-1))[..., None, None]
        wrong = (where - goal) * focal
        share = 1 / (1 + (wrong * (left @ wrong[..., None])[..., 0]).sum(-1) / _SPREAD**2).square()
        weight, axes = _apart(left)
        move = solve_motion(flat, Observations(goal, weight * share[..., None], far, axes), _STEPS, move)
    return move, (share * trust.diagonal(dim1=-2, dim2=-1).mean(-1)).mean(1)


def _apart(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric ``[..., 2, 2]`` as its two eigenvalues ``[..., 2]`` and their directions, the rows of ``[..., 2, 2]``."""
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    middle, half = (a + c) / 2, ((a - c).square() / 4 + b.square()).sqrt()
    angle = torch.atan2(2 * b, a - c) / 2
    x, y = angle.cos(), angle.sin()
    return torch.stack([middle + half, (middle - half).clamp(min=0)], -1), torch.stack([x, y, -y, x], -1).unflatten(-1, (2, 2))
