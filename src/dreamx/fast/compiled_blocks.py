"""A transformer whose blocks are compiled by ``torch.compile``, each as one graph: no Python between its operations.

The network's own way asks objects in the middle of a block: a cache for the past, positions for their turns. Here they are asked
before: a pass hands a block tensors alone (``Lane``), and takes from it the raw keys and values that a cache keeps. So a chunk
that is made through a ``KVCache`` has a graph without a break; any other attention, and gradients, take the block as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from shutil import which
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dreamx.fast.fused_kernels import triton_is_here
from dreamx.fast.shared_copy import shared_copy
from dreamx.model.attention import Attend, frames_first, heads_first, text_kv
from dreamx.model.attention_backends import AttentionBackend
from dreamx.model.dit import QKV, DiT, DiTBlock, Grid
from dreamx.model.int8_attention import cpu_sums_exactly
from dreamx.model.kv_cache import KVCache
from dreamx.model.positions import PositionEncoding, Prope

Mode = Literal["default", "reduce-overhead"]
"""``reduce-overhead``: CUDA graphs, on a GPU; elsewhere it is the default."""


class Turns(NamedTuple):
    """A place as tensors. matrices ``[B, T, D', D']``: of query, of key and value, of the output; None: a plain rotary place.

    turns: cosine and sine of neighbouring channels at the end of a head, real ``[B, T, P, 1, n / 2, 2]``; None: none turn.
    """

    matrices: tuple[Tensor, Tensor, Tensor] | None
    turns: Tensor | None


class Lane(NamedTuple):
    """Place of the new frames in a self-attention, and the encoded past ``[B, T, P, N, D]``; None: there is none."""

    place: Turns
    past: tuple[Tensor, Tensor] | None


Kept = dict[str, tuple[Tensor, Tensor]]
"""Raw keys and values of the new frames, by lane."""


def turns_of(place: PositionEncoding) -> Turns:
    """Return the tensors of a place."""
    if isinstance(place, Prope):
        return Turns(place.matrices, torch.view_as_real(place.plane.freqs_cis) if place.rope else None)
    return Turns(None, torch.view_as_real(place.freqs_cis))


def run_block(
    block: DiTBlock,
    x: Tensor,
    time: Tensor,
    heard: tuple[Tensor, Tensor],
    lanes: dict[str, Lane],
    grid: Grid,
    backend: AttentionBackend,
) -> tuple[Tensor, Kept]:
    """A block as a function of tensors; this is what is compiled. Returns tokens, and what a cache keeps."""
    kept: Kept = {}

    def look(name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        kept[name] = k, v
        place, past = lanes[name]
        key, value = _encoded(k, place, 1), _encoded(v, place, 1) if place.matrices is not None else v
        if past is not None:
            key, value = torch.cat([past[0], key], 1), torch.cat([past[1], value], 1)
        o = frames_first(backend(*(heads_first(y) for y in (_encoded(q, place, 0), key, value))), q.shape[1])
        return o if place.matrices is None else _encoded(o, place, 2)

    return block.between(x, time, grid, look, heard, backend), kept


def _encoded(x: Tensor, place: Turns, which: Literal[0, 1, 2]) -> Tensor:
    """Encode queries (0), keys and values (1) or the output (2); as ``positions`` has it, but without complex numbers."""
    turned = 0 if place.turns is None else 2 * place.turns.shape[-2]
    seen, rest = x[..., : x.shape[-1] - turned], x[..., x.shape[-1] - turned :]
    parts: list[Tensor] = []
    if place.matrices is not None:
        m = place.matrices[which]
        parts.append((seen.to(m.dtype).flatten(2, 3) @ m).view(seen.shape).to(x.dtype))
    if place.turns is not None:
        a, b = rest.to(place.turns.dtype).unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = place.turns.unbind(-1)
        sin = -sin if which == 2 else sin  # the output leaves its own place
        parts.append(torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


Run = Callable[[DiTBlock, Tensor, Tensor, tuple[Tensor, Tensor], dict[str, Lane], Grid, AttentionBackend], tuple[Tensor, Kept]]


class CompiledBlock(nn.Module):
    """A ``DiTBlock`` by a compiled ``run``; ``turns``: tensors of places, shared by the blocks of a network."""

    def __init__(self, block: DiTBlock, run: Run, turns: WeakKeyDictionary[PositionEncoding, Turns], copy: bool) -> None:
        super().__init__()
        self.block, self.run, self.turns, self.copy = block, run, turns, copy

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
        """As of ``DiTBlock``."""
        b = self.block
        if not isinstance(attend, KVCache) or said is not None or torch.is_grad_enabled():
            return b(x, time, text, attend, places, grid, said)
        lanes = {"time": self._lane("time", b.time, x, attend, places["time"])}
        if b.view is not None:
            lanes["view"] = self._lane("view", b.view, grid.pool(x), attend, places["view"])
        heard = text_kv(attend, b.text, text, b.text.project_kv)
        made, kept = self.run(b, x, time, heard, lanes, grid, attend.backend)
        # The next run of a CUDA graph writes where this one wrote.
        own: Callable[[Tensor], Tensor] = torch.clone if self.copy else lambda y: y
        for name, (k, v) in kept.items():
            attend.keep((b.layer, name), own(k), own(v))
        return own(made)

    def _lane(self, name: str, lane: QKV, x: Tensor, cache: KVCache, place: PositionEncoding) -> Lane:
        width, dtype = lane.q.out_features, x.dtype
        like = x.new_empty(1, dtype=dtype).expand(*x.shape[:3], lane.heads, width // lane.heads)
        now, room = cache.look((self.block.layer, name), like, place)
        if now not in self.turns:
            self.turns[now] = turns_of(now)
        if room is None:
            return Lane(self.turns[now], None)
        keys, values = (y[:, : y.shape[1] - x.shape[1]] for y in room)
        for y in (keys, values):
            torch._dynamo.maybe_mark_dynamic(y, 1)  # one graph while the window fills, and whatever is recalled
        return Lane(self.turns[now], (keys, values))


def can_compile(device: torch.device) -> bool:
    """Return whether what ``torch.compile`` needs is here: on a GPU Triton, on a CPU a C++ compiler."""
    named = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++", "cl"]
    return triton_is_here() if device.type == "cuda" else any(map(which, named))


def compile_blocks(dit: DiT, mode: Mode = "default", backend: str = "inductor") -> DiT:
    """The same transformer around the same weights, its blocks compiled when they first run; to be done after ``int8`` and before
    ``residual_reuse``.

    mode: "reduce-overhead" makes CUDA graphs, which belong to the thread that runs them first: not for ``dreamx play``, which has
    two. backend: of ``torch.compile``. A graph that breaks is an error of torch. ValueError for a block that is none of the
    transformer's own.
    """
    torch.compiler.assume_constant_result(cpu_sums_exactly)  # here, as a decorator it would import the compiler with every world
    other, turns = shared_copy(dit), WeakKeyDictionary[PositionEncoding, Turns]()
    graphs = mode == "reduce-overhead" and next(dit.parameters()).is_cuda
    run = torch.compile(run_block, fullgraph=True, backend=backend, mode=mode if graphs else None)
    for i, block in enumerate(other.blocks):
        if not isinstance(block, DiTBlock):
            raise ValueError(
                "dit: its blocks are not its own any more; compile it before residuals are reused, and do not fuse it"
            )
        other.blocks[i] = CompiledBlock(block, run, turns, graphs)
    return other
