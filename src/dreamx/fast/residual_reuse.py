"""Residual reuse: a pass that is like the one before it takes over what the blocks added there, instead of running them.

The sum of the blocks' outputs is a residual of the token stream. How far it will change is guessed from something cheap, the
input of the first block after its modulation, by a polynomial that ``dreamx calibrate`` fits for each checkpoint. Guesses are
added up from pass to pass; while the sum stays below a threshold, the residual is reused. Source: TeaCache (Liu et al. 2024,
arXiv 2411.19108, section 3.3); the variant that runs the first block and watches its residual is First Block Cache
(ParaAttention).

Passes are compared within one chunk alone, and a pass whose noise level is at most ``least_sigma`` is always computed. The pass
that writes a chunk into the cache is one of these, so that the past is never made of guesses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dreamx.bounds import NonNegativeFloat, Probability
from dreamx.fast.shared_copy import shared_copy
from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.model.cpu_ops import layer_norm
from dreamx.model.dit import DiT, DiTBlock, Grid
from dreamx.model.positions import PositionEncoding


@dataclass(frozen=True)
class ReuseConfig:
    """Rule by which the residual of the pass before is good enough."""

    threshold: NonNegativeFloat = 0.0
    """Sum of guessed changes below which the residual is reused; 0: every pass is computed."""
    fit: tuple[float, ...] = (1.0, 0.0)
    """Polynomial, highest power first: relative change of what is watched -> relative change of the residual."""
    first_block: bool = False
    """Run the first block in every pass and watch its residual, not its input."""
    least_sigma: Probability = 0.5
    """Passes of this noise level and below are always computed; it must be no less than the level of written frames."""

    def __post_init__(self) -> None:
        if not self.fit:
            raise ValueError("reuse.fit must have one coefficient or more, highest power first; (1, 0) takes the change as it is")


@dataclass(frozen=True)
class PassChange:
    """Relative changes (L1) from one pass of a chunk to the next at noise level ``sigma``: of the modulated input, of the first
    block's residual, and of the residual that would be reused with each of them."""

    sigma: float
    modulated: float
    first: float
    residual: float
    residual_after_first: float


@dataclass(eq=False)
class _Stream:
    """Last pass of one chunk under one text. ``summed``: guessed changes since it was computed."""

    lanes: tuple[str, ...]
    text: Tensor
    sigma: float
    modulated: Tensor
    first: Tensor | None
    residual: Tensor
    after_first: Tensor | None
    summed: float = 0.0


def alone(x: Tensor) -> Tensor:
    """``x``: sums of the one process there is."""
    return x


class BlockStack(nn.Module):
    """All blocks of a transformer as one, which may be skipped. ``config`` None: none is, and changes are kept in ``changes``.

    total: adds ``[2]`` numbers over the processes that share a sequence, so that all of them decide alike.
    """

    def __init__(self, blocks: nn.ModuleList, config: ReuseConfig | None, total: Callable[[Tensor], Tensor] = alone) -> None:
        super().__init__()
        self.blocks, self.config, self.total = blocks, config, total
        self.sigma = 0.0
        #: Passes so far, and those of them that were skipped.
        self.passes, self.skipped = 0, 0
        self.changes: list[PassChange] = []
        self._streams: WeakKeyDictionary[object, list[_Stream]] = WeakKeyDictionary()

    def look(self, module: nn.Module, inputs: tuple[Frames, Tensor, Attend]) -> None:
        """Note the noise level of a pass that begins."""
        self.sigma = float(inputs[0].sigma.max())

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
        """The blocks one after another, or what they added the last time; arguments as of ``DiTBlock``."""
        self.passes += 1
        lanes, inner = _unwrapped(attend)
        streams = self._streams.setdefault(inner, [])
        last = next((s for s in streams if s.lanes == lanes and _same(s.text, text)), None)
        if last is not None and not (last.sigma > self.sigma and last.modulated.shape == x.shape):
            streams.remove(last)  # a new chunk begins
            last = None
        config = self.config
        early = config is not None and config.first_block
        modulated, first = _modulated(self.blocks[0], x, time), None
        start = x
        if config is None or early:
            start = self.blocks[0](x, time, text, attend, places, grid, said)
            first = start - x
        if last is not None and config is not None:
            watched, before = (first, last.first) if early else (modulated, last.modulated)
            last.summed += self._guess(watched, before, config)
            reused = last.after_first if early else last.residual
            early_enough = self.sigma > config.least_sigma + _ROUNDING
            if last.summed < config.threshold and early_enough and reused is not None:
                last.sigma, last.modulated, last.first = self.sigma, modulated, first
                self.skipped += 1
                return start + reused
        y = start
        for block in list(self.blocks)[1 if first is not None else 0 :]:
            y = block(y, time, text, attend, places, grid, said)
        now = _Stream(lanes, text, self.sigma, modulated, first, y - x, None if first is None else y - start)
        if last is not None:
            streams.remove(last)
            self._note(last, now)
        streams.append(now)
        return y

    def _guess(self, watched: Tensor | None, before: Tensor | None, config: ReuseConfig) -> float:
        guess, change = 0.0, self._change(watched, before)
        for coefficient in config.fit:
            guess = guess * change + coefficient
        return max(0.0, guess)

    def _change(self, x: Tensor | None, before: Tensor | None) -> float:
        """Relative L1 distance."""
        assert x is not None and before is not None
        sums = torch.stack([(x - before).abs().sum(), before.abs().sum()]).double()
        moved, size = self.total(sums).tolist()
        return moved / max(size, 1e-30)

    def _note(self, last: _Stream, now: _Stream) -> None:
        if self.config is None:
            pairs = ((now.modulated, last.modulated), (now.first, last.first), (now.residual, last.residual))
            pairs += ((now.after_first, last.after_first),)
            self.changes.append(PassChange(self.sigma, *(self._change(a, b) for a, b in pairs)))


def reuse_residuals(
    dit: DiT, config: ReuseConfig | None, context_noise: float = 0.0, total: Callable[[Tensor], Tensor] = alone
) -> DiT:
    """The same transformer, around the same weights, that skips its blocks where ``config`` allows it; ``dit`` stays as it is.

    context_noise: noise level at which finished frames are written into the cache. ``config`` None: nothing is skipped, and
    ``block_stack(...).changes`` tells how passes differ. ValueError where a written pass could be skipped.
    """
    if config is not None and config.least_sigma < context_noise:
        raise ValueError(
            f"reuse.least_sigma {config.least_sigma} is below the noise level {context_noise} of the pass that writes the cache, "
            f"which must be computed; take {context_noise} or more"
        )
    other = shared_copy(dit)
    stack = BlockStack(other.blocks, config, total)
    other.blocks = nn.ModuleList([stack])
    other.register_forward_pre_hook(stack.look)
    return other


def block_stack(dit: DiT) -> BlockStack:
    """Return the stack of a transformer that ``reuse_residuals`` made. ValueError for another."""
    stack = dit.blocks[0]
    if not isinstance(stack, BlockStack):
        raise ValueError("dit: this transformer reuses no residuals; make one by reuse_residuals")
    return stack


_ROUNDING = 1e-5  # noise levels are float32: 0.2 there is more than 0.2


def _modulated(block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    """Input of a block's self-attention, ``[B, T, P, width]``."""
    block = getattr(block, "block", block)  # within a fused one
    assert isinstance(block, DiTBlock)
    shift, scale = (time + block.modulation)[:, :, :2, None].unbind(2)  # [B, T, 1, width] each
    return layer_norm(block.norm1, x) * (1 + scale) + shift


def _unwrapped(attend: Attend) -> tuple[tuple[str, ...], object]:
    """Lanes that are switched off, and the attention below all that wrap it for one call."""
    lanes: list[str] = []
    inner: object = attend
    while (below := getattr(inner, "attend", None)) is not None:
        lanes += [str(getattr(inner, "lane", ""))]
        inner = below
    return tuple(lanes), inner


def _same(a: Tensor, b: Tensor) -> bool:
    # Identity first: comparing reads the numbers, and on a GPU waits for them.
    return a is b or (a.shape == b.shape and torch.equal(a, b))
