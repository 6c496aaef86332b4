"""The rigid motion that explains best where points of known distance went: weighted least squares by Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.geometry.camera import rigid


@dataclass(frozen=True)
class Observations:
    """Motion of P cells in N pairs of frames: where each went, ``to [N, P, 2]`` (x / z, y / z in camera b), ``weight [N, P, 2]``,
    0 to 1, and ``distance [N, P]`` in metres along z of camera a. ``axes [N, P, 2, 2]``: rows, of length 1 and at right angles,
    that the two weights go along; None: x and y."""

    to: Tensor
    weight: Tensor
    distance: Tensor
    axes: Tensor | None = None


def solve_motion(directions: Tensor, seen: Observations, steps: int, start: Tensor | None = None) -> Tensor:
    """Gauss-Newton from ``start [N, 4, 4]``, or from no motion: minimises the weighted squares of ``to`` less the projected,
    moved points, ``[N, 4, 4]``.

    A point is ``direction * distance``; it is handled as ``direction`` and ``1 / distance``, which is linear in what is seen.
    """
    n = len(seen.to)
    near = 1 / seen.distance  # [N, P]
    start = torch.eye(4).to(directions).expand(n, 4, 4) if start is None else start
    r, t = start[:, :3, :3], start[:, :3, 3]
    for _ in range(steps):
        x, y, z = (directions @ r.mT + near[..., None] * t[:, None]).unbind(-1)  # [N, P], as shares of the distance
        z = z.clamp(min=0.1)
        u, v = x / z, y / z
        o, k = torch.zeros_like(u), near / z
        jx = torch.stack([k, o, -u * k, -u * v, 1 + u * u, -v], -1)  # d u by (translation, rotation)
        jy = torch.stack([o, k, -v * k, -1 - v * v, u * v, u], -1)
        ex, ey = seen.to[..., 0] - u, seen.to[..., 1] - v
        if seen.axes is not None:
            (ax, ay), (bx, by) = (row.unbind(-1) for row in seen.axes.unbind(-2))
            jx, jy = ax[..., None] * jx + ay[..., None] * jy, bx[..., None] * jx + by[..., None] * jy
            ex, ey = ax * ex + ay * ey, bx * ex + by * ey
        j = torch.cat([jx, jy], 1)  # [N, 2 P, 6]
        e = torch.cat([ex, ey], 1)
        w = torch.cat([seen.weight[..., 0], seen.weight[..., 1]], 1)
        normal = j.mT @ (w[..., None] * j) + _DAMPING * torch.eye(6).to(j)
        step = torch.linalg.solve(normal, (j.mT @ (w * e)[..., None])[..., 0])
        turn = _exp(step[:, 3:])
        r, t = turn @ r, (turn @ t[..., None])[..., 0] + step[:, :3]
    return rigid(r, t)


def _exp(w: Tensor) -> Tensor:
    """Rotation vectors ``[N, 3]`` in radians -> rotations ``[N, 3, 3]``, smooth at 0 (Rodrigues)."""
    square = w.square().sum(-1) + 1e-12
    angle = square.sqrt()
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    a, b = (torch.sinc(angle / torch.pi), 0.5 * torch.sinc(angle / (2 * torch.pi)).square())
    return torch.eye(3).to(w) + a[:, None, None] * k + b[:, None, None] * (k @ k)


_DAMPING = 1e-4
