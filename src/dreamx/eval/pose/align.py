"""How a camera moved between two pictures of which one has depth: by flow, and by nothing that was learned.

Where the flow is the same there and back it is believed; the rigid motion that explains it best, pixels that disagree counting
less and less, is the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.eval import motion
from dreamx.eval.pose.motion import Seen, solve
from dreamx.geometry.camera import rays

_OFF = 0.3  # pixels: a flow that comes back so far from where it began counts half
_ROUNDS = 4  # of weighing anew
_SPREAD = 0.5  # pixels: a residual that large halves the weight
_FAR = 1e3  # metres: where a depth of infinity is put


def moved(a: Tensor, b: Tensor, depth: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures ``a`` and ``b [N, 3, H, W]`` and the depth of a ``[N, H, W]`` (metres along z, 0 where unknown), one ``lens [4]``.

    Returns the rigid motions ``[N, 4, 4]`` from a's axes to b's, and the share of the pixels of a that speak for them ``[N]``.
    """
    rows, cols = depth.shape[-2:]
    there, back = motion.flow(a, b), motion.flow(b, a)
    returned = there + motion.sample(back, there)
    lens = lens.float()
    focal = lens[:2] * torch.tensor([cols, rows])
    directions = rays(lens, rows, cols)
    to = directions[..., :2] + there.movedim(1, -1) / focal  # [N, H, W, 2]
    at = to * lens[:2] + lens[2:]
    inside = ((at > 0) & (at < 1)).all(-1)
    known = (depth > 0) & inside
    trust = known / (1 + (returned.square().sum(1) / _OFF**2))
    distance = torch.where(depth > 0, depth.float(), 1.0).clamp(max=_FAR)
    flat, far, goal = directions.flatten(0, 1), distance.flatten(1), to.flatten(1, 2)
    weight = trust.flatten(1)
    for turn in range(_ROUNDS):
        move = solve(flat, Seen(goal, weight[..., None].expand(-1, -1, 2), far), 4)
        if turn == _ROUNDS - 1:
            break
        points = flat @ move[:, :3, :3].mT + move[:, None, :3, 3] / far[..., None]
        off = (points[..., :2] / points[..., 2:].clamp(min=0.1) - goal) * focal
        weight = trust.flatten(1) / (1 + off.square().sum(-1) / _SPREAD**2).square()
    return move, weight.mean(1)
