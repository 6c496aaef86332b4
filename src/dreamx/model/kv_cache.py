"""Attention across calls: the past of a rollout, and what memory brings back for a chunk.

A cache keeps *facts*, raw keys and values with the time and camera of their frames, and encodes positions when they are read: a
rolling window, sinks, memory and window-relative time are then only a choice of frames and of indices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dreamx.geometry import camera as cameras
from dreamx.geometry.camera import Camera
from dreamx.model.attention import KVPieces, Slot, attend_plainly, frames_first, heads_first
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.positions import FramePositions, PositionEncoding

T = TypeVar("T")


class KVCache:
    """Attention across calls. A pass over new frames sees them and the frames kept so far; ``commit`` keeps that pass's frames.

    window:   most frames seen at once, the new ones included; the oldest frames that are no sinks give way. None: no limit.
    sinks:    how many first frames are never given up.
    relative: count time from the start of the window (Infinity-RoPE; the official inference), so that it never grows;
              otherwise frames keep their own indices.
    alone:    lanes in which the new frames see only each other, as the camera lane of the released causal model does.

    Passes over the same chunk at falling noise levels replace each other until ``commit`` is called. Keys and values of the text
    are kept, too (``cached_text_kv``).

    ``insert`` puts recalled frames before the window, in all lanes, those that see the new frames alone included; ``take_out``
    removes them, and the past is what it was.
    """

    def __init__(
        self,
        window: int | None = None,
        sinks: int = 0,
        relative: bool = True,
        alone: tuple[str, ...] = (),
        backend: AttentionBackend = TORCH,
    ) -> None:
        self.window, self.sinks, self.relative, self.alone, self.backend = window, sinks, relative, alone, backend
        self.where: FramePositions | None = None
        self.kv: dict[Slot, KVPieces] = {}  # keys unrotated: their time index changes as the window rolls
        self._fresh: dict[Slot, tuple[Tensor, Tensor]] = {}  # of the running pass, until `commit`
        self._fresh_where: FramePositions | None = None
        self._room: dict[Slot, tuple[Tensor, Tensor]] = {}  # past and new: encoded once a chunk, not 5 times
        self._bound: dict[str, _Bound] = {}  # by lane
        self._memory: tuple[FramePositions, dict[Slot, tuple[Tensor, Tensor]]] | None = None  # recalled frames, raw
        self._heard: dict[nn.Module, tuple[Tensor, Any]] = {}  # module -> (text, its keys and values)

    def __len__(self) -> int:
        return 0 if self.where is None else len(self.where)

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        now, room = self.look(slot, k, place)
        self.keep(slot, k, v)
        key, value = (now.key(k), now.value(v)) if room is None else _with_new(room, now, k, v)
        o = attend_plainly(self.backend, *(heads_first(x) for x in (now.query(q), key, value)))
        return now.out(frames_first(o, len(now.where)))

    def look(self, slot: Slot, like: Tensor, place: PositionEncoding) -> tuple[PositionEncoding, tuple[Tensor, Tensor] | None]:
        """Return the place of a pass's new frames, and encoded keys and values ``[B, T, P, N, D]`` of all that they see, the last
        being room for their own; None where they see each other alone. like: has the shape and dtype of their keys."""
        # All layers of a pass share this object, so that only the first of them gets in here.
        if place.where is not self._fresh_where:
            self._begin(place.where)
        lane = slot[1]
        if lane not in self._bound:
            self._bound[lane] = self._bind(place)
        bound = self._bound[lane]
        if self._memory is None and (lane in self.alone or not len(self)):
            return bound.now, None
        if slot not in self._room:  # all but the new are encoded once a chunk
            self._room[slot] = self._allocate(slot, like, bound)
        keys, values = self._room[slot]
        start = len(bound.memory.where) if self._memory is None else 0  # what was taken out is passed over
        return bound.now, (keys[:, start:], values[:, start:])

    def keep(self, slot: Slot, k: Tensor, v: Tensor) -> None:
        """Hold the raw keys and values of the running pass for ``commit``."""
        # A lane that sees the chunk alone needs no past; the released pipeline has no cache for its camera lane either.
        if slot[1] not in self.alone:
            self._fresh[slot] = (k, v)

    def cached_text_kv(self, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T:
        """Return ``understand(text)``, computed once until ``by`` is given another text. A text must not be changed in place."""
        # By identity: comparing 512 x 4096 numbers in each layer would cost more. The text is kept here, so its
        # address stays taken.
        if by not in self._heard or self._heard[by][0] is not text:
            self._heard[by] = text, understand(text)
        return self._heard[by][1]

    def commit(self) -> None:
        """Make the frames of the last pass part of the past."""
        if self._fresh_where is None:
            raise RuntimeError("there is no pass to keep: call the network with this cache first")
        for slot, (k, v) in self._fresh.items():
            # Detached: no gradient crosses chunks. Pieces are listed, not joined, which would copy the whole past each chunk.
            self.kv[slot] = (*self.kv.get(slot, ()), (k.detach(), v.detach()))
        # Index and cameras of the past grow with the keys.
        self.where = self._fresh_where if self.where is None else self.where.then(self._fresh_where)
        self._forget_pass()

    def insert(self, where: FramePositions, kv: dict[Slot, tuple[Tensor, Tensor]]) -> None:
        """Show recalled frames to the passes that follow, until ``take_out``: raw keys and values by slot, ``[B, M, P, N, D]``.

        ``where``: their original time, and cameras in the axes of the new frames' cameras.
        """
        self._forget_pass()
        self._memory = where, kv

    def take_out(self) -> None:
        """Remove the recalled frames; nothing of the window is computed again."""
        self._memory = None  # their room stays until the chunk ends, and is passed over

    def cut(self, recent: int) -> None:
        """Keep of the past its sinks and its newest ``recent`` frames alone: the KV flush of Infinity-RoPE."""
        if len(self) > self.sinks + recent:
            self._forget_pass()
            self._keep((slice(0, self.sinks), slice(len(self) - recent, len(self))))

    def held(self, new: int) -> Tensor:
        """Time index ``[n]`` of the frames that the first row will see beside so many new ones."""
        if self.where is None:
            return torch.zeros(0, dtype=torch.long)
        return torch.cat([self.where.index[0, run] for run in self._runs(new)])

    def fork(self) -> KVCache:
        """An independent future of the same past; nothing is copied, because facts are never written in place."""
        other = KVCache(self.window, self.sinks, self.relative, self.alone, self.backend)
        # A shallow copy: tuples of pieces are shared.
        other.where, other.kv, other._heard = self.where, dict(self.kv), dict(self._heard)
        other._memory = self._memory
        return other

    def batch_key(self) -> tuple[Hashable, ...]:
        """Return what pasts must have in common to be rows of one cache (``stack_caches``): settings, and counts of frames."""
        memory = None if self._memory is None else (len(self._memory[0]), self._memory[0].rule)
        return self.window, self.sinks, self.relative, self.alone, self.backend, len(self), memory

    def row(self, i: int) -> KVCache:
        """The past of row ``i`` of a batch, with a batch of one; nothing is copied. Keys and values of the text are not kept."""
        one, other = slice(i, i + 1), KVCache(self.window, self.sinks, self.relative, self.alone, self.backend)
        if self.where is not None:
            other.where = FramePositions(self.where.index[one], self.where.camera[one])
        other.kv = {slot: tuple((k[one], v[one]) for k, v in pieces) for slot, pieces in self.kv.items()}
        if self._memory is not None:
            there, kv = self._memory
            there = FramePositions(there.index[one], there.camera[one], rule=there.rule)
            other._memory = there, {slot: (k[one], v[one]) for slot, (k, v) in kv.items()}
        return other

    def state(self) -> dict[str, Tensor]:
        """Return the past as named tensors, to be saved."""
        if self.where is None:
            return {}
        whole = {slot: (torch.cat(x, 1) for x in zip(*pieces, strict=True)) for slot, pieces in self.kv.items()}
        facts = {f"{layer}.{lane}.{n}": x for (layer, lane), kv in whole.items() for n, x in zip("kv", kv, strict=True)}
        return {"index": self.where.index, "pose": self.where.camera.pose, "lens": self.where.camera.lens, **facts}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a past that ``state`` gave."""
        self._forget_pass()
        self.where = FramePositions(state["index"], Camera(state["pose"], state["lens"])) if state else None
        # "layer.lane.k"; index, pose and lens have no dots.
        names = {name.rsplit(".", 1)[0] for name in state if name.count(".") == 2}
        self.kv = {(int(n.split(".")[0]), n.split(".")[1]): ((state[f"{n}.k"], state[f"{n}.v"]),) for n in names}

    def _forget_pass(self) -> None:
        self._fresh, self._fresh_where, self._room, self._bound = {}, None, {}, {}

    def _begin(self, where: FramePositions) -> None:
        """Begin a pass: drop frames that do not fit beside the new ones; keep the encoded past if the chunk is the same."""
        # A pass over the same chunk may use the past as it was encoded; another chunk may not.
        if self._fresh_where is None or not _same(self._fresh_where, where):
            self._forget_pass()
        self._fresh, self._fresh_where = {}, where
        self._keep(self._runs(len(where)))

    def _keep(self, runs: tuple[slice, ...]) -> None:
        if self.where is None or len(runs) == 1:
            return
        self.where = self.where[runs[0]].then(self.where[runs[1]])
        self.kv = {slot: (*_cut(x, runs[0]), *_cut(x, runs[1])) for slot, x in self.kv.items()}
        if not len(self.where):
            self.where, self.kv = None, {}  # as before the first frame

    def _runs(self, new: int) -> tuple[slice, ...]:
        """Runs of the past that stay beside so many new frames: all of it, or sinks and the newest."""
        if self.window is None or len(self) + new <= self.window:
            return (slice(0, len(self)),)
        recent = self.window - new - self.sinks  # frames that fit beside sinks and new ones
        if recent < 0:
            raise ValueError(
                f"window: {self.window} frames do not hold {self.sinks} sinks and {new} new ones; use a larger window"
            )
        return slice(0, self.sinks), slice(len(self) - recent, len(self))

    def _bind(self, place: PositionEncoding) -> _Bound:
        """The place of recalled, past and new frames, in common indices and axes."""
        now, n, m = place.where, len(self), 0
        where = now if self.where is None else self.where.then(now)
        if self.relative:
            where = FramePositions(torch.arange(len(where), device=where.index.device).expand_as(where.index), where.camera)
        if self._memory is not None:
            there, device = self._memory[0], now.index.device
            there = FramePositions(there.index.to(device), there.camera.to(device), rule=there.rule)
            m, gap = len(there), now.index[:, :1] - there.index  # the true one, also where the window counts from its start
            first = where.index[:, n : n + 1]
            where = FramePositions(first - gap, there.camera, gap, there.rule).then(where)
        where = where.anchored()  # all of them together, so that they share one set of axes
        return _Bound(place.at(where[:m]), place.at(where[m : m + n]), place.at(where[m + n :]))

    def _allocate(self, slot: Slot, k: Tensor, bound: _Bound) -> tuple[Tensor, Tensor]:
        """Room for keys and values ``[B, T, P, N, D]`` of recalled, past and new frames, with all but the new in it."""
        past: KVPieces = () if slot[1] in self.alone else self.kv.get(slot, ())
        m, n = len(bound.memory.where), sum(x.shape[1] for x, _ in past)
        shape = (k.shape[0], m + n + k.shape[1], *k.shape[2:])
        room = k.new_empty(shape), k.new_empty(shape)  # [B, T, P, N, D] each
        memory = () if self._memory is None else (self._memory[1][slot],)
        for first, pieces, place in ((0, memory, bound.memory), (m, past, bound.past)):
            for all_, parts, encode in zip(room, zip(*pieces, strict=True), (place.key, place.value), strict=bool(pieces)):
                old = torch.cat(parts, 1, out=all_[:, first : first + len(place.where)])
                encode(old, old)  # in place: no second copy of the past
        return room


def _with_new(room: tuple[Tensor, Tensor], now: PositionEncoding, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of all that is seen, those of the new frames in the room that is left for them."""
    keys, values = room
    n = keys.shape[1] - k.shape[1]  # where the new frames begin
    if k.requires_grad or v.requires_grad:  # in place would spoil what an earlier pass saved for backward
        return torch.cat([keys[:, :n], now.key(k)], 1), torch.cat([values[:, :n], now.value(v)], 1)
    now.key(k, keys[:, n:])
    now.value(v, values[:, n:])
    return keys, values


def stack_caches(each: Sequence[KVCache]) -> KVCache:
    """One cache whose row i is the past of cache i; they have one ``batch_key``, else ValueError. Running passes are left out."""
    first = each[0]
    if any(c.batch_key() != first.batch_key() for c in each):
        raise ValueError(f"caches: their settings or lengths differ ({[len(c) for c in each]} frames); batch those that agree")
    whole = KVCache(first.window, first.sinks, first.relative, first.alone, first.backend)
    if first.where is not None:
        whole.where = _rows([c.where for c in each if c.where is not None])
    for slot in first.kv:
        k, v = (torch.cat([torch.cat([piece[n] for piece in c.kv[slot]], 1) for c in each]) for n in (0, 1))
        whole.kv[slot] = ((k, v),)
    memories = [c._memory for c in each if c._memory is not None]
    if memories:
        kv = {
            slot: (torch.cat([m[1][slot][0] for m in memories]), torch.cat([m[1][slot][1] for m in memories]))
            for slot in memories[0][1]
        }
        whole._memory = _rows([there for there, _ in memories]), kv
    return whole


def _rows(each: list[FramePositions]) -> FramePositions:
    return FramePositions(torch.cat([x.index for x in each]), cameras.cat([x.camera for x in each]), rule=each[0].rule)


@dataclass(frozen=True)
class _Bound:
    """Positions of one lane during a chunk: of recalled frames, of the past and of the new frames."""

    memory: PositionEncoding
    past: PositionEncoding
    now: PositionEncoding


def _cut(pieces: KVPieces, run: slice) -> KVPieces:
    """The frames of a run, without a copy."""
    cut, at = [], 0
    for k, v in pieces:
        a, b = max(0, run.start - at), max(0, run.stop - at)  # the cut, counted from the start of this piece
        at += k.shape[1]
        if k[:, a:b].shape[1]:
            cut.append((k[:, a:b], v[:, a:b]))
    return tuple(cut)


def _same(a: FramePositions, b: FramePositions) -> bool:
    # Identity first: torch.equal reads the numbers, and on a GPU waits for them.
    return (a.index is b.index and a.camera is b.camera) or (
        a.index.shape == b.index.shape
        and torch.equal(a.index, b.index)
        and torch.equal(a.camera.pose, b.camera.pose)
        and torch.equal(a.camera.lens, b.camera.lens)
    )
