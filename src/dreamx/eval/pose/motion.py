"""How a camera moved between two pictures: a small network that sees where things went and how far they are, and geometry.

For each cell of picture a the network answers where it is in picture b, how sure that is, and how far it is from the camera. The
first comes from a correlation volume, which is all that is compared (Fischer et al. 2015; Teed and Deng 2020). The motion is then
no guess but the rigid motion that explains these answers best, by Gauss-Newton, through which the network is trained (after Teed
and Deng 2021). So a motion that no training clip had can be read, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.geometry.camera import rays, rigid, se3_inverse

_CELL = 4  # pixels


@dataclass(frozen=True)
class MotionConfig:
    """The pictures are ``size`` x ``size`` pixels through ``lens``; ``across`` and ``down``: how many cells things may move.

    widths: of the features at half and quarter size, and behind the correlation; ``match``: numbers that a cell is compared by.
    far, near: metres; a distance is looked for between them, on a logarithmic scale.
    """

    size: int = 64
    lens: tuple[float, ...] = (0.7140740, 0.7140740, 0.5, 0.5)
    widths: tuple[int, int, int] = (24, 48, 64)
    match: int = 32
    across: int = 6
    down: int = 4
    blocks: int = 3
    near: float = 0.2
    far: float = 50.0
    steps: int = 4

    def __post_init__(self) -> None:
        if self.size % (2 * _CELL) or self.size < 16:
            raise ValueError(f"motion.size must be a multiple of {2 * _CELL} pixels, 16 or more, not {self.size}")
        if not 0 < self.near < self.far:
            raise ValueError(f"motion.near must be above 0 and below motion.far, not {self.near} and {self.far} metres")


@dataclass(frozen=True)
class Seen:
    """Of N pairs and their P cells: where each went, ``to [N, P, 2]`` (x / z, y / z in camera b), ``weight [N, P, 2]``,
    0 to 1, and ``distance [N, P]`` in metres along z of camera a. ``axes [N, P, 2, 2]``: rows, of length 1 and at right angles,
    that the two weights go along; None: x and y."""

    to: Tensor
    weight: Tensor
    distance: Tensor
    axes: Tensor | None = None


class Block(nn.Module):
    """Two convolutions, and around them what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(max(1, width // 16), width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, h, w]`` -> the same shape."""
        return x + self.second(F.silu(self.first(self.norm(x))))


class Motion(nn.Module):
    """``features`` once a picture, ``seen`` once a pair; ``forward`` is both and the motion."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, wide = config.widths
        offsets = (2 * config.across + 1) * (2 * config.down + 1)
        self.into = nn.Conv2d(5, half, 4, 2, 1)
        self.fine = Block(half)
        self.down = nn.Conv2d(half, quarter, 2, 2)
        self.coarse = nn.Sequential(Block(quarter), Block(quarter))
        self.match = nn.Conv2d(quarter, config.match, 1)
        self.join = nn.Conv2d(offsets + quarter + 2, wide, 1)
        self.think = nn.Sequential(*(Block(wide) for _ in range(config.blocks)))
        self.out = nn.Conv2d(wide, 5, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # pyright: ignore[reportArgumentType]

    def cells(self) -> Tensor:
        """Directions ``[P, 3]`` through the middles of the cells, z = 1."""
        count = self.config.size // _CELL
        return rays(torch.tensor(self.config.lens), count, count).flatten(0, 1)

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures ``[N, 3, H, W]`` in [-1, 1] -> ``[N, C, H / 4, W / 4]``; ValueError for another size."""
        n, _, h, w = pictures.shape
        if (h, w) != (self.config.size, self.config.size):
            raise ValueError(f"pictures must be {self.config.size}x{self.config.size} pixels here, not {w}x{h}")
        at = torch.linspace(-1, 1, h).to(pictures)
        where = torch.stack([at[:, None].expand(h, w), at.expand(h, w)]).expand(n, 2, h, w)
        return self.coarse(self.down(self.fine(self.into(torch.cat([pictures, where], 1)))))

    def seen(self, a: Tensor, b: Tensor) -> Seen:
        """What two pictures' ``features``, each ``[N, C, h, w]``, say of the way from a to b."""
        c = self.config
        rows, cols = a.shape[-2:]
        volume = self.correlate(F.normalize(self.match(a), dim=1), F.normalize(self.match(b), dim=1))
        share = (10 * volume).softmax(1)  # the flow that the correlation alone would give
        dx = torch.arange(-c.across, c.across + 1.0).repeat(2 * c.down + 1)
        dy = torch.arange(-c.down, c.down + 1.0).repeat_interleave(2 * c.across + 1)
        guess = torch.stack([(share * dx[:, None, None]).sum(1), (share * dy[:, None, None]).sum(1)], 1)  # [N, 2, h, w] cells
        x = self.out(self.think(self.join(torch.cat([volume, a, guess], 1)))).flatten(2).transpose(1, 2)  # [N, P, 5]
        flow = guess.flatten(2).transpose(1, 2) + x[..., :2]
        fx, fy = c.lens[0], c.lens[1]
        to = self.cells()[:, :2] + flow / flow.new_tensor([cols * fx, rows * fy])
        span = torch.tensor(c.far / c.near).log()
        distance = c.near * (span * torch.sigmoid(x[..., 4])).exp()
        return Seen(to, torch.sigmoid(x[..., 2:4]), distance)

    def correlate(self, a: Tensor, b: Tensor) -> Tensor:
        """Products of each cell of a ``[N, C, h, w]`` with the cells of b around it: ``[N, offsets, h, w]``, rows first."""
        c = self.config
        rows, cols = b.shape[-2:]
        whole = a.flatten(2).mT @ b.flatten(2)  # [N, P, P]; all of it and a choice is quicker than only what is asked for
        row, col = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        dy, dx = torch.meshgrid(torch.arange(-c.down, c.down + 1), torch.arange(-c.across, c.across + 1), indexing="ij")
        y, x = row.flatten()[:, None] + dy.flatten(), col.flatten()[:, None] + dx.flatten()  # [P, offsets]
        inside = (y >= 0) & (y < rows) & (x >= 0) & (x < cols)
        index = (y.clamp(0, rows - 1) * cols + x.clamp(0, cols - 1)).to(b.device)
        near = whole.gather(2, index.expand(len(a), -1, -1)) * inside.to(b)
        return near.mT.unflatten(-1, (rows, cols))

    def solve(self, seen: Seen) -> Tensor:
        """The rigid motion ``[N, 4, 4]`` from a's axes to b's that the cells agree on best."""
        return solve(self.cells(), seen, self.config.steps)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures ``[N, 3, H, W]`` in [-1, 1], and as many others -> the pose of camera b in a's axes ``[N, 4, 4]``."""
        return se3_inverse(self.solve(self.seen(self.features(a), self.features(b))))


def solve(directions: Tensor, seen: Seen, steps: int, start: Tensor | None = None) -> Tensor:
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
