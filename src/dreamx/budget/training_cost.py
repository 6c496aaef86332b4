"""Count one training step without weights or data: what autograd keeps, what is alive at most, and the products.

Networks run forwards and backwards on torch's ``meta`` device, which computes nothing. So the counts follow the code: they change
when a block does. Two things differ from device to device and are written down here: attention kernels, and what autocast casts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.fx.experimental import _config as meta_config
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from dreamx.budget.count import BytesLedger
from dreamx.frames import Frames, clean, hint_shape
from dreamx.geometry.camera import level
from dreamx.model.attention import Slot
from dreamx.model.attention_backends import AttentionBackend
from dreamx.model.block_attention import block_attention, groups
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.masks import teacher_forced
from dreamx.model.positions import PositionEncoding
from dreamx.train.memory_packing import packed_table
from dreamx.train.trainable import freeze

META = torch.device("meta")
#: Frames of rows that ``MaskedAttention`` attends at a time where there is a mask on a GPU.
_ROWS = 7
#: A fused kernel computes its scores again on the way back: five products where forwards has two.
_BACK = 2.5


@dataclass(frozen=True)
class StepCost:
    """flop: of products, forwards and backwards. forward: of these, those forwards. saved: bytes that autograd keeps when the
    forward pass ends, without weights. working: bytes that are alive beside them at the worst moment."""

    flop: float
    forward: float
    saved: float
    working: float

    def layers(self, more: StepCost, times: int) -> StepCost:
        """Return the cost with so many more layers, given what ``more``, with one layer more, costs."""
        flop, forward, saved = (
            a + times * (b - a) for a, b in ((self.flop, more.flop), (self.forward, more.forward), (self.saved, more.saved))
        )
        return StepCost(flop, forward, saved, more.working)


@dataclass(frozen=True)
class TransformerStep:
    """A step of the transformer, as far as its cost depends on it.

    latent: rows and columns of a latent frame. words: text tokens. teaching: chunk, window and sinks of teacher forcing, which
    puts the clean frames beside the noisy ones; None: both ways in time. packing: chunks that are made, and frames recalled for
    each, where these are packed before history. train: parts that are trained; None: all. cpu: by the
    kernels of a CPU, else by those of a GPU. checkpoint_blocks: blocks keep their inputs alone, and are computed again.
    """

    dit: DiTConfig
    latent: tuple[int, int]
    frames: int
    batch: int
    words: int
    teaching: tuple[int, int, int] | None = None
    dtype: torch.dtype = torch.float32
    train: tuple[str, ...] | None = None
    cpu: bool = False
    checkpoint_blocks: bool = False
    packing: tuple[int, int] | None = None

    @property
    def visible(self) -> Tensor | None:
        """The mask of its sequence; None: all frames see all."""
        if self.teaching is None:
            return None
        chunk, window, sinks = self.teaching
        if self.packing is None:
            return teacher_forced(self.frames, chunk, window, sinks)
        return packed_table(self.frames, chunk, self.packing[0], (window, sinks), self.packing[1])

    @property
    def sequence(self) -> int:
        """Number of frames that one pass has."""
        return self.frames if (visible := self.visible) is None else len(visible)


def count_step(run: Callable[[], Tensor], weights: Iterable[Tensor]) -> StepCost:
    """Count a forward pass that ends in a loss, and its backward pass. Views of ``weights`` are not counted as kept.

    What is chosen by a condition (rays that meet something) is counted as if all were chosen.
    """
    own = {w.untyped_storage()._cdata for w in weights}
    kept: dict[int, tuple[StorageWeakRef, int]] = {}  # the weak reference keeps an address from being used again

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return x.detach()  # not x: an operation that keeps its own result would never be freed

    flops = FlopCounterMode(display=False)
    with _all_chosen(), flops, BytesLedger() as ledger, saved_tensors_hooks(keep, lambda x: x):
        loss = run()
        saved = float(sum(n for ref, n in kept.values() if not ref.expired()))
        forward = float(flops.get_total_flops())
        loss.backward()
    return StepCost(float(flops.get_total_flops()), forward, saved, max(0.0, ledger.peak - saved))


@contextmanager
def _all_chosen() -> Iterator[None]:
    """Inside, boolean indices on the meta device choose everything."""
    settings: Any = meta_config
    before, settings.meta_nonzero_assume_all_nonzero = settings.meta_nonzero_assume_all_nonzero, True
    try:
        yield
    finally:
        settings.meta_nonzero_assume_all_nonzero = before


@cache
def transformer_cost(step: TransformerStep) -> StepCost:
    """Count a step of the transformer. Layers that are alike are counted once: what the third adds, every further one adds."""
    view, layers = step.dit.view, step.dit.layers
    alike = (view is None or view.layers is None) and not any(c.isdigit() for part in step.train or () for c in part)
    if step.checkpoint_blocks:
        return _checkpointed(step)
    if layers <= 3 or not alike:
        return _counted(step)
    two, three = (_counted(replace(step, dit=replace(step.dit, layers=n))) for n in (2, 3))
    return two.layers(three, layers - 2)


def _checkpointed(step: TransformerStep) -> StepCost:
    """Keep of each block its input, and of the one that is computed again everything."""
    whole = transformer_cost(replace(step, checkpoint_blocks=False))
    if step.dit.layers < 3:
        return whole  # nothing is won
    two, three = (_counted(replace(step, dit=replace(step.dit, layers=n))) for n in (2, 3))
    block, again = three.saved - two.saved, three.forward - two.forward
    h, w = step.latent
    frames = step.sequence
    # The stream of tokens is float32 under autocast, too: gates are float32, and a sum takes the wider type.
    inputs = 4.0 * step.batch * frames * (h * w // step.dit.patch**2) * step.dit.width
    saved = two.saved - 2 * block + step.dit.layers * inputs
    more = step.dit.layers * again
    return StepCost(whole.flop + more, whole.forward, saved, three.working + block)


def _counted(step: TransformerStep) -> StepCost:
    h, w = step.latent
    with META:
        dit = DiT(step.dit)
        text = torch.empty(step.batch, step.words, step.dit.text)
    freeze(dit, step.train, "dit")
    frames, made = step.sequence, step.frames if step.packing is None else step.packing[0] * (step.teaching or (1,))[0]
    z = torch.empty(step.batch, frames, step.dit.channels, h, w, device=META)
    camera = level().to("meta").map(lambda x: x.expand(step.batch, frames, *x.shape))
    given: Frames = clean(z, camera)
    if step.dit.hint:
        given = replace(given, hint=torch.empty(hint_shape(z), device=META))
    attend = _OnPaper(step.visible, step.cpu, step.dtype)

    def run() -> Tensor:
        with _Casts(step.dtype, step.cpu):
            v = dit(given, text, attend)
        return v[:, -made:].float().square().mean()

    cost = count_step(run, dit.parameters())
    return StepCost(cost.flop + attend.flop * (1 + _BACK), cost.forward + attend.flop, cost.saved + attend.masks, cost.working)


class _OnPaper:
    """Attention that keeps what the kernels keep, and computes nothing.

    flop: of products that are no operation of torch here. masks: bytes of the tables of who sees whom."""

    def __init__(self, visible: Tensor | None, cpu: bool, dtype: torch.dtype) -> None:
        self.visible = None if visible is None or bool(visible.all()) else visible
        self.cpu, self.dtype, self.flop, self.masks = cpu, dtype, 0.0, 0.0
        self.backend = AttentionBackend("paper", self._fused)
        self._bound: dict[PositionEncoding, PositionEncoding] = {}
        self._sizes: set[int] = set()  # tokens a frame for which there is a table of bytes

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        if place not in self._bound:
            self._bound[place] = place.at(place.where.anchored())
        here, frames = self._bound[place], q.shape[1]
        q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (here.query(q), here.key(k), here.value(v)))  # [B, N, T P, D]
        if self.visible is None:
            o = self._fused(q, k, v, None)
        elif self.cpu:
            q, k, v = (x if self.dtype == torch.float32 else x.to(self.dtype) for x in (q, k, v))
            o = block_attention(q, k, v, groups(self.visible, q.shape[2] // frames))
        else:
            o = self._by_rows(q, k, v, self.visible, q.shape[2] // frames)
        return here.out(o.transpose(1, 2).unflatten(1, (frames, -1)))

    def _by_rows(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor, positions: int) -> Tensor:
        """Gather, for some frames of rows, the columns that any of them sees; the mask becomes a bias of their dtype."""
        found: list[Tensor] = []
        for first in range(0, len(visible), _ROWS):
            some = visible[first : first + _ROWS]
            rows, cols = len(some) * positions, int(some.any(0).sum()) * positions
            if positions not in self._sizes:
                self.masks += rows * cols  # the table itself: a byte a pair, shared by all layers
            at = torch.empty(cols, dtype=torch.long, device=META)
            mask = torch.empty(rows, cols, dtype=q.dtype, device=META)
            start = first * positions
            found.append(self._fused(q[:, :, start : start + rows], k[:, :, at], v[:, :, at], mask))
        self._sizes.add(positions)
        return torch.cat(found, 2)

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x if self.dtype == torch.float32 else x.to(self.dtype) for x in (q, k, v))
        b, n, rows, d = q.shape
        self.flop += 4.0 * b * n * d * rows * k.shape[2]
        out: Any = _Fused.apply(q, k, v, mask)
        return out


class _Fused(torch.autograd.Function):
    """Keep what flash and memory-efficient attention keep: inputs, result, a number a row, and the bias."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out, rows = torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
        ctx.save_for_backward(q, k, v, out, rows, *(() if mask is None else (mask,)))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        q, k, v, *_ = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None


class _Casts(TorchFunctionMode):
    """Cast as autocast does, which the meta device does not have: products narrow, and on a GPU layer norms wide."""

    def __init__(self, dtype: torch.dtype, cpu: bool) -> None:
        super().__init__()
        self.dtype, self.cpu = dtype, cpu
        self._weights: dict[int, Tensor] = {}  # autocast casts a weight once

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.dtype == torch.float32:
            return func(*args, **kwargs)
        if func is F.linear:
            x, *weights = (*args, *kwargs.values())
            return func(x.to(self.dtype), *(None if w is None else self._narrow(w) for w in weights))
        if func is F.layer_norm and not self.cpu:
            return func(args[0].float(), *args[1:], **kwargs)
        return func(*args, **kwargs)

    def _narrow(self, w: Tensor) -> Tensor:
        if id(w) not in self._weights:
            self._weights[id(w)] = w.to(self.dtype)
        return self._weights[id(w)]
