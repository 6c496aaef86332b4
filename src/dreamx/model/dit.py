"""The transformer: the one network of every scale and every stage. It has one forward and no modes.

``velocity = dit(frames, text, attend)``. The backbone is that of Wan2.2-TI2V-5B (diffusion transformer with adaptive layer
norms, self-attention with rotary positions, cross-attention to text). Beside each self-attention runs the camera lane: an
attention of its own, narrower, whose positions are cameras: E-PRoPE (DreamX-World 1.0, section 3.2). Its output starts at
zero, so a backbone that never saw a camera is unchanged by adding it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.frames import Frames
from dreamx.model.attention import Attend, attend_plainly, text_kv
from dreamx.model.attention_backends import AttentionBackend
from dreamx.model.cpu_ops import add, add_product, layer_norm, linear, linear_gelu, rms_norm
from dreamx.model.dit_config import DiTConfig, ViewConfig
from dreamx.model.positions import FramePositions, PositionEncoding, Prope, Rope, sinusoid
from dreamx.model.thread_spin import adapt

#: Attention of a block's lane: ``look(lane, q, k, v)``, ``[B, T, P, N, D]`` each and out.
Look = Callable[[str, Tensor, Tensor, Tensor], Tensor]


class QKV(nn.Module):
    """Query, key and value projections (q and k RMS-normalised over the full width) and the output projection."""

    def __init__(self, outer: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(outer, inner)
        self.k = nn.Linear(outer, inner)
        self.v = nn.Linear(outer, inner)
        self.o = nn.Linear(inner, outer)
        self.norm_q = nn.RMSNorm(inner, eps)  # one scale for all heads together, as in Wan2.2
        self.norm_k = nn.RMSNorm(inner, eps)

    def project_q(self, x: Tensor) -> Tensor:
        """Queries alone."""
        return self._heads(rms_norm(self.norm_q, linear(self.q, x)))

    def project_kv(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values alone."""
        return self._heads(rms_norm(self.norm_k, linear(self.k, x))), self._heads(linear(self.v, x))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))  # [..., N, D]


class DiTBlock(nn.Module):
    """One layer: self-attention (with its camera lane), attention to text, feed-forward."""

    def __init__(self, config: DiTConfig, layer: int) -> None:
        super().__init__()
        c, self.layer = config, layer
        view = c.view if c.view and (c.view.layers is None or layer in c.view.layers) else None
        self.norm1 = nn.LayerNorm(c.width, c.eps, elementwise_affine=False)
        self.time = QKV(c.width, c.width, c.heads, c.eps)
        self.view = QKV(c.width, view.width, view.heads, c.eps) if view else None
        self.norm_text = nn.LayerNorm(c.width, c.eps)
        self.text = QKV(c.width, c.width, c.heads, c.eps)
        self.norm2 = nn.LayerNorm(c.width, c.eps, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(c.width, c.mlp), nn.GELU("tanh"), nn.Linear(c.mlp, c.width))
        self.modulation = nn.Parameter(torch.zeros(6, c.width))  # added to the one embedding of time that all layers share

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        text: Tensor,
        attend: Attend,
        places: dict[str, PositionEncoding],
        grid: Grid,
        said: Tensor | None = None,
    ) -> Tensor:
        """``x [B, T, P, width]``, ``time [B, T, 6, width]``, ``text [B, L, width]``, ``said`` as in ``Frames``."""

        def look(name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attend((self.layer, name), q, k, v, places[name])

        heard = text_kv(attend, self.text, text, self.text.project_kv)
        return self.between(x, time, grid, look, heard, attend.backend, said)

    def between(
        self,
        x: Tensor,
        time: Tensor,
        grid: Grid,
        look: Look,
        heard: tuple[Tensor, Tensor],
        backend: AttentionBackend,
        said: Tensor | None = None,
    ) -> Tensor:
        """The block around ``look(lane, q, k, v)``, by tensors alone; ``heard``: keys and values of the text."""
        # [B, T, 1, width] each: every frame has a noise level of its own.
        shift1, scale1, gate1, shift2, scale2, gate2 = (time + self.modulation)[:, :, :, None].unbind(2)
        h = add_product(shift1, layer_norm(self.norm1, x), 1 + scale1)
        y = self.lane("time", self.time, h, look)
        if self.view is not None:
            # Inside the gate of the self-attention, as in the released code. All tokens of a frame share
            # one camera, so they may be pooled before the projections, where it is cheapest.
            y = add(grid.spread(self.lane("view", self.view, grid.pool(h), look)), y)
        x = add_product(x, y, gate1)
        x = add(x, self.read(layer_norm(self.norm_text, x), heard, backend, said))
        h = add_product(shift2, layer_norm(self.norm2, x), 1 + scale2)
        return add_product(x, linear(self.mlp[2], linear_gelu(self.mlp[0], h)), gate2)  # pyright: ignore[reportArgumentType]

    def lane(self, name: str, lane: QKV, h: Tensor, look: Look) -> Tensor:
        """Return what one of the self-attentions adds."""
        q, (k, v) = lane.project_q(h), lane.project_kv(h)
        return linear(lane.o, look(name, q, k, v).flatten(-2))

    def read(self, x: Tensor, heard: tuple[Tensor, Tensor], backend: AttentionBackend, said: Tensor | None) -> Tensor:
        """Return what the attention to text adds."""
        q, (k, v) = self.text.project_q(x), heard
        if said is not None:  # each frame reads its own row: frames take the place of clips
            q, k, v = q.flatten(0, 1)[:, None], k[said.flatten()], v[said.flatten()]
        # No mask: the released models attend to all 512 tokens, zeros included.
        o = attend_plainly(backend, q.flatten(1, 2).transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return linear(self.text.o, o.transpose(1, 2).flatten(2)).view_as(x)


@dataclass(frozen=True)
class Grid:
    """The token grid of a frame and the coarser one of the camera lane."""

    rows: int
    cols: int
    view: tuple[int, int]

    def pool(self, x: Tensor) -> Tensor:
        """``[B, T, rows cols, D]`` -> tokens of the coarse grid, by averages."""
        return self._resize(x, (self.rows, self.cols), self.view, F.adaptive_avg_pool2d)

    def spread(self, x: Tensor) -> Tensor:
        """Back to the full grid, bilinearly."""
        return self._resize(x, self.view, (self.rows, self.cols), _bilinear)

    def _resize(self, x: Tensor, a: tuple[int, int], b: tuple[int, int], how: _Resize) -> Tensor:
        if a == b:
            return x
        maps = x.flatten(0, 1).transpose(1, 2).unflatten(2, a)  # [B T, D, rows, cols]
        return how(maps, b).flatten(2).transpose(1, 2).unflatten(0, x.shape[:2])


class DiT(nn.Module):
    """Latent frames, text and cameras in; velocities out."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patch = nn.Linear(c.channels * c.patch**2, c.width)  # Wan's Conv3d whose kernel is its stride (1, 2, 2)
        # C + 1: the latent that memory shows, and how much of it is known. No bias, so that no memory adds 0.
        self.hint = nn.Linear((c.channels + 1) * c.patch**2, c.width, bias=False) if c.hint else None
        self.text = nn.Sequential(nn.Linear(c.text, c.width), nn.GELU("tanh"), nn.Linear(c.width, c.width))
        self.time = nn.Sequential(nn.Linear(c.frequencies, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        self.time_blocks = nn.Sequential(nn.SiLU(), nn.Linear(c.width, 6 * c.width))
        self.blocks = nn.ModuleList([DiTBlock(c, i) for i in range(c.layers)])
        self.norm = nn.LayerNorm(c.width, c.eps, elementwise_affine=False)
        self.modulation = nn.Parameter(torch.zeros(2, c.width))
        self.head = nn.Linear(c.width, c.channels * c.patch**2)
        self._start()

    def _start(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                    nn.init.zeros_(m.bias)
        lanes = [b.view.o for b in self.blocks if isinstance(b, DiTBlock) and b.view is not None]
        # Gates of 0: each block starts as the identity but for the text (adaLN-Zero, Peebles and Xie 2023).
        for m in (self.head, self.time_blocks[1], *lanes):
            nn.init.zeros_(m.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(m.bias)  # pyright: ignore[reportArgumentType]
        if self.hint is not None:
            nn.init.zeros_(self.hint.weight)

    def forward(self, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        """Frames of any noise levels, ``text [B, L, text]`` (or as many rows as ``Frames.said`` names) -> ``[B, T, C, H, W]``."""
        adapt()
        c, p = self.config, self.config.patch
        rows, cols = frames.z.shape[-2] // p, frames.z.shape[-1] // p
        grid = _grid(rows, cols, c.view)
        places = _places(FramePositions(frames.index, frames.camera), grid, c)
        x = linear(self.patch, _tokens(frames.z, rows, cols, p))  # [B, T, P, width]
        if self.hint is not None and frames.hint is not None:
            x = x + self.hint(_tokens(frames.hint, rows, cols, p))
        time = self.time(sinusoid(1000 * frames.sigma, c.frequencies).to(x.dtype))  # [B, T, width]
        # [B, T, 6, width]
        steps = linear(self.time_blocks[1], self.time_blocks[0](time)).unflatten(-1, (6, -1))  # pyright: ignore[reportArgumentType]
        words = text_kv(attend, self, text, self.text)  # [B, L, width]
        for block in self.blocks:
            x = block(x, steps, words, attend, places, grid, frames.said)
        shift, scale = (m[:, :, None] for m in (time[:, :, None] + self.modulation).unbind(2))
        v = linear(self.head, add_product(shift, layer_norm(self.norm, x), 1 + scale)).to(frames.z.dtype)
        # [B, T, P, C p p] -> [B, T, C, H, W]
        v = v.unflatten(2, (rows, cols)).unflatten(-1, (c.channels, p, p))
        return v.permute(0, 1, 4, 2, 5, 3, 6).flatten(5).flatten(3, 4)


def add_view(dit: DiT, view: ViewConfig) -> DiT:
    """The same network with a new camera lane; it answers exactly as before until the lane is trained."""
    other = DiT(replace(dit.config, view=view)).to(next(dit.parameters()))  # the lane is new here, and its output layer zero
    missing, unexpected = other.load_state_dict({k: v for k, v in dit.state_dict().items() if ".view." not in k}, strict=False)
    if unexpected or any(".view." not in k for k in missing):
        raise ValueError(f"view: the checkpoint is not of this network ({(unexpected + missing)[0]!r} does not fit)")
    return other


def _tokens(z: Tensor, rows: int, cols: int, p: int) -> Tensor:
    """``[B, T, C, H, W] -> [B, T, P, C p p]``."""
    return z.unflatten(-1, (cols, p)).unflatten(-3, (rows, p)).permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)


def _grid(rows: int, cols: int, view: ViewConfig | None) -> Grid:
    pool = view.pool if view else (1.0, 1.0)
    # The paper's 4096 tokens: 22 x 40 pooled by (1.7, 2.7) is 13 x 15, so 4095 in 21 frames.
    return Grid(rows, cols, (max(1, round(rows / pool[0])), max(1, round(cols / pool[1]))))


def _places(where: FramePositions, grid: Grid, config: DiTConfig) -> dict[str, PositionEncoding]:
    places: dict[str, PositionEncoding] = {"time": Rope(where, grid.rows, grid.cols, config.width // config.heads)}
    if config.view is not None:
        v = config.view
        places["view"] = Prope(where, *grid.view, v.width // v.heads, v.rope)
    return places


_Resize = Callable[[Tensor, tuple[int, int]], Tensor]


def _bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
