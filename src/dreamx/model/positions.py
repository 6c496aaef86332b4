"""Position encodings: queries, keys and values are transformed so that attention depends on a token's time and camera.

A *place* is made for known frames (``FramePositions``), and transforms ``[B, T, P, N, D]`` (frames, places in a frame, heads,
channels). Attention uses its ``query``, ``key``, ``value`` and ``out``; a cache makes the same encoding ``at`` other frames, and
has keys and values written ``into`` its buffers (which may be where they came from). Everything that
depends on the frames alone is computed once, when the place is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from dreamx.geometry import camera as cameras
from dreamx.geometry.camera import Camera, projection, relative_to
from dreamx.model.gap_rule import GapConfig, channel_gaps


@dataclass(frozen=True)
class FramePositions:
    """Time and camera of frames: ``index [B, T]``, ``camera [B, T]``.

    gap: ``[B, T]`` latent frames from a recalled frame to the chunk that recalls it, 0 for others; None: none is recalled.
    rule: how gaps are read; None: as they are.
    """

    index: Tensor
    camera: Camera
    gap: Tensor | None = None
    rule: GapConfig | None = None

    def __len__(self) -> int:
        return self.index.shape[1]

    def __getitem__(self, time: slice | Tensor) -> FramePositions:
        gap = None if self.gap is None else self.gap[:, time]
        return FramePositions(self.index[:, time], self.camera[:, time], gap, self.rule)

    def then(self, later: FramePositions) -> FramePositions:
        """These frames followed by others."""
        both, gap = (self, later), None
        if any(x.gap is not None for x in both):
            gap = torch.cat([torch.zeros_like(x.index) if x.gap is None else x.gap for x in both], 1)
        index, camera = torch.cat([self.index, later.index], 1), cameras.cat([self.camera, later.camera], 1)
        return FramePositions(index, camera, gap, self.rule or later.rule)

    def anchored(self) -> FramePositions:
        """The same frames in the axes of the last one's camera, so that numbers stay small however far one has walked."""
        # Only relative cameras matter to attention, but float32 at 1 km counts in steps of 0.06 mm.
        return replace(self, camera=relative_to(self.camera, self.camera[:, -1:]))


@dataclass(frozen=True, eq=False)
class Rope:
    """Rotary position over (time, row, column). Source: Wan2.2; a head of D channels gives D - 4 (D // 6) to time.

    With ``timed`` False (PRoPE's half) time is left out: the channels then divide over row and column alone.
    """

    where: FramePositions
    rows: int
    cols: int
    dim: int
    timed: bool = True
    base: float = 10000.0

    def at(self, where: FramePositions) -> Rope:
        return Rope(where, self.rows, self.cols, self.dim, self.timed, self.base)

    @cached_property
    def freqs_cis(self) -> Tensor:
        """Unit complex numbers ``[B, T, P, 1, D/2]``; angles in float64."""
        # Of 128 channels 42, 42 and 44: row, column, time.
        dims = [2 * (self.dim // 6)] * 2 if self.timed else [self.dim // 2] * 2
        t, device = self.where.index, self.where.index.device
        # Float64, as the released code rotates.
        row, col = (torch.arange(n, device=device, dtype=torch.float64) for n in (self.rows, self.cols))
        shape = (*t.shape, self.rows, self.cols)
        parts = [_angles(row, dims[0], self.base)[:, None, :], _angles(col, dims[1], self.base)[None, :, :]]
        if self.timed:
            time = self._time_angles(self.dim - sum(dims))
            parts = [time[:, :, None, None, :], *parts]
        angles = torch.cat([p.expand(*shape, p.shape[-1]) for p in parts], -1).flatten(2, 3)[:, :, :, None, :]
        wide = torch.complex(angles.cos(), angles.sin())
        # Angles were exact, so complex64 is enough for the product, at half the memory.
        return wide if self.where.camera.pose.dtype == torch.float64 else wide.to(torch.complex64)

    def _time_angles(self, dim: int) -> Tensor:
        """``[B, T, dim / 2]``."""
        where, exact = self.where, _angles(self.where.index.double(), dim, self.base)
        if where.gap is None or where.rule is None:
            return exact
        # As if the frame lay as far back as each channel pair reads.
        nearer = where.gap.double()[..., None] - channel_gaps(where.rule, where.gap, dim, self.base)
        return exact + nearer * _powers(dim, self.base, nearer.device)

    def query(self, x: Tensor) -> Tensor:
        return _rotate(x, self.freqs_cis)

    def key(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        return _rotate(x, self.freqs_cis, into)

    def value(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        return x if into is None or into is x else into.copy_(x)

    def out(self, x: Tensor) -> Tensor:
        return x


def _angles(position: Tensor, dim: int, base: float) -> Tensor:
    """``[..., dim / 2]`` angles of positions ``[...]``."""
    return position[..., None] * _powers(dim, base, position.device)


def _powers(dim: int, base: float, device: torch.device) -> Tensor:
    """``[dim / 2]`` angles of position 1."""
    return base ** -(torch.arange(0, dim, 2, device=device, dtype=torch.float64) / dim)


def _rotate(x: Tensor, turns: Tensor, into: Tensor | None = None) -> Tensor:
    """Turn neighbouring channel pairs of ``x [B, T, P, N, D]``."""
    wide = x if x.dtype == torch.float64 else x.float()  # there is no complex bfloat16
    if into is not None and into.dtype == wide.dtype:
        torch.mul(_pairs(wide), turns, out=_pairs(into))  # straight into the cache's buffer
        return into
    turned = torch.view_as_real(_pairs(wide) * turns).flatten(-2).to(x.dtype)
    return turned if into is None else into.copy_(turned)


def _pairs(x: Tensor) -> Tensor:
    """Neighbouring channels as complex numbers, without a copy."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


@dataclass(frozen=True, eq=False)
class Prope:
    """Projective position: tokens live in the space of the camera that saw them, and attention moves them between cameras.

    With ``P = lift(K) V`` of each frame's camera, tiled over groups of four channels: ``q -> P^T q``, ``k, v -> P^-1 k, v``,
    ``o -> P o``; so only ``P_i P_j^-1`` matters and a rigid motion of the whole world changes nothing. The tiling is one
    block-diagonal product per frame. ``rope`` channels at the end of each head carry row and column instead: half of them
    in PRoPE (Li et al. 2025), none in E-PRoPE (DreamX-World 1.0, section 3.2).
    """

    where: FramePositions
    rows: int
    cols: int
    dim: int
    rope: int = 0

    def at(self, where: FramePositions) -> Prope:
        return Prope(where, self.rows, self.cols, self.dim, self.rope)

    @cached_property
    def plane(self) -> Rope:
        # Base 100, not 10000: some tens of patches, no film.
        return Rope(self.where, self.rows, self.cols, self.rope, timed=False, base=100.0)

    @cached_property
    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """Block-diagonal ``[B, T, D', D']`` for rows of channels: of the query, of key and value, of the output."""
        p, p_inv = projection(self.where.camera)
        tiles = torch.eye((self.dim - self.rope) // 4, dtype=p.dtype, device=p.device)
        # Channels are rows here: x @ M is M^T x of a column, hence P for P^T q and transposes for the others.
        return torch.kron(tiles, p), torch.kron(tiles, p_inv.mT.contiguous()), torch.kron(tiles, p.mT.contiguous())

    def query(self, x: Tensor) -> Tensor:
        return self._transform(x, self.matrices[0])

    def key(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        moved = self._transform(x, self.matrices[1])
        return moved if into is None else into.copy_(moved)

    def value(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        return self.key(x, into)

    def out(self, x: Tensor) -> Tensor:
        return self._transform(x, self.matrices[2], back=True)

    def _transform(self, x: Tensor, m: Tensor, back: bool = False) -> Tensor:
        b, t, p, n, d = x.shape
        seen = x[..., : d - self.rope] if self.rope else x
        # In the dtype of the cameras, float32: the released code rounds poses to bfloat16. [B, T, P N, D'] @ [B, T, D', D'].
        moved = (seen.to(m.dtype).reshape(b, t, p * n, -1) @ m).view(seen.shape).to(x.dtype)
        if not self.rope:
            return moved
        turns = self.plane.freqs_cis
        # Back: the output leaves its own place.
        return torch.cat([moved, _rotate(x[..., d - self.rope :], turns.conj() if back else turns)], -1)


PositionEncoding = Rope | Prope


def sinusoid(t: Tensor, dim: int) -> Tensor:
    """Return features ``[..., dim]`` of times ``[...]`` in 0..1000, cosines first; in float64."""
    half = dim // 2
    power = torch.arange(half, device=t.device, dtype=torch.float64) / half
    # float64, as in Wan2.2: near 1000 bfloat16 counts in steps of 4, more than half a turn.
    angles = t.double()[..., None] * 10000.0**-power
    return torch.cat([angles.cos(), angles.sin()], -1)
