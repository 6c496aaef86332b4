"""The single seam of the network: ``attend(slot, q, k, v, place) -> out``.

``MaskedAttention`` attends inside one sequence, under a table of who sees whom: bidirectional, block-causal, teacher-forced.
``KVCache`` attends across calls: play and rollout. The network is the same for both. A cache keeps *facts*, raw keys and values
with the time and camera of their frames, and encodes positions when they are read: a rolling window, sinks, memory and
window-relative time are then only a choice of frames and of indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from dreamx.geometry.camera import Camera
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.block_attention import Group, block_attention, groups
from dreamx.model.positions import FramePositions, PositionEncoding

T = TypeVar("T")

#: Which attention of the network is asking: (layer, lane), the lane being "time" or "view".
Slot = tuple[int, str]

#: Raw keys and values ``[B, T, P, N, D]``, in the pieces in which they were kept.
KVPieces = tuple[tuple[Tensor, Tensor], ...]


class Attend(Protocol):
    """Attention as the network calls it. ``q, k, v`` and the answer are raw tokens ``[B, T, P, N, D]``.

    ``backend`` is the kernel that it computes with; the attention to text takes the same.
    """

    @property
    def backend(self) -> AttentionBackend: ...

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor: ...


def learns_here(q: Tensor) -> bool:
    """Whether ``block_attention`` is worth it: gradients are wanted, on a CPU."""
    return q.is_cpu and q.requires_grad and torch.is_grad_enabled()


def _autocast(x: Tensor) -> Tensor:
    """Cast to the dtype of autocast where that is on, as torch's own attention does."""
    return x.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else x


def _heads_first(x: Tensor) -> Tensor:
    """``[B, T, P, N, D] -> [B, N, T P, D]``."""
    return x.flatten(1, 2).transpose(1, 2)


def _frames_first(x: Tensor, frames: int) -> Tensor:
    """``[B, N, T P, D] -> [B, T, P, N, D]``."""
    return x.transpose(1, 2).unflatten(1, (frames, -1))


class MaskedAttention:
    """Attention inside one sequence. ``visible [T, T]``: rows see columns; None lets everyone see everyone.

    Rows are attended a ``block`` of frames at a time, each over the frames that it sees at all, which spares most of the empty
    part of a causal table. Where gradients are wanted on a CPU, ``block_attention`` takes the place of ``backend``.
    """

    def __init__(self, visible: Tensor | None = None, block: int = 7, backend: AttentionBackend = TORCH) -> None:
        self.visible = None if visible is None or bool(visible.all()) else visible  # flash kernels take no mask
        self.block, self.backend = block, backend
        self._bound: dict[PositionEncoding, PositionEncoding] = {}  # all layers of a pass share one object
        self._plans: dict[int, list[tuple[slice, Tensor, Tensor]]] = {}  # by tokens a frame: the camera lane may have fewer
        self._tables: dict[int, tuple[Group, ...]] = {}

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        if place not in self._bound:
            self._bound[place] = place.at(place.where.anchored())
        here = self._bound[place]  # the same positions in the axes of the last camera
        q, k, v = (_heads_first(x) for x in (here.query(q), here.key(k), here.value(v)))  # [B, N, T P, D]
        if self.visible is None:
            o = self.backend(q, k, v)
        else:
            if len(place.where) != len(self.visible):
                raise ValueError(f"the table is for {len(self.visible)} frames, but the sequence has {len(place.where)}")
            positions = q.shape[2] // len(place.where)  # tokens a frame
            if learns_here(q):
                # Masked attention of torch is slow backwards: 6.2 s of processor time a step against 4.6 s so.
                o = block_attention(_autocast(q), _autocast(k), _autocast(v), self._groups(positions))
            else:
                plan = self._plan(positions, q.device)
                seen = [self.backend(q[:, :, rows], k[:, :, cols], v[:, :, cols], mask) for rows, cols, mask in plan]
                o = torch.cat(seen, 2)
        return here.out(_frames_first(o, len(place.where)))

    def _groups(self, positions: int) -> tuple[Group, ...]:
        """For frames of so many tokens: the rows that see the same columns."""
        if positions not in self._tables:
            assert self.visible is not None
            self._tables[positions] = groups(self.visible, positions)
        return self._tables[positions]

    def _plan(self, positions: int, device: torch.device) -> list[tuple[slice, Tensor, Tensor]]:
        """Return, for frames of so many tokens: rows of tokens, the columns that any of them sees, and the mask between both."""
        if positions not in self._plans:
            assert self.visible is not None
            wide = self.visible.to(device).repeat_interleave(positions, 0).repeat_interleave(positions, 1)  # [T P, T P]
            step = self.block * positions  # 7 frames of rows at a time: 0.40 of a teacher-forced table is computed
            rows = [slice(i, i + step) for i in range(0, len(wide), step)]
            cols = [wide[r].any(0).nonzero()[:, 0] for r in rows]  # no slice: between sinks and window lies a gap
            self._plans[positions] = [(r, c, wide[r][:, c]) for r, c in zip(rows, cols, strict=True)]
        return self._plans[positions]


class KVCache:
    """Attention across calls. A pass over new frames sees them and the frames kept so far; ``commit`` keeps that pass's frames.

    window:   most frames seen at once, the new ones included; the oldest frames that are no sinks give way. None: no limit.
    sinks:    how many first frames are never given up.
    relative: count time from the start of the window (Infinity-RoPE; the official inference), so that it never grows;
              otherwise frames keep their own indices.
    alone:    lanes in which the new frames see only each other, as the camera lane of the released causal model does.

    Passes over the same chunk at falling noise levels replace each other until ``commit`` is called. Keys and values of the text
    are kept, too (``cached_text_kv``).
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
        self._bound: dict[str, tuple[PositionEncoding, PositionEncoding]] = {}  # lane -> encodings of past and of new frames
        self._heard: dict[nn.Module, tuple[Tensor, Any]] = {}  # module -> (text, its keys and values)

    def __len__(self) -> int:
        return 0 if self.where is None else len(self.where)

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        # All layers of a pass share this object, so that only the first of them gets in here.
        if place.where is not self._fresh_where:
            self._begin(place.where)
        lane = slot[1]
        if lane not in self._bound:
            self._bound[lane] = self._bind(place)
        past, now = self._bound[lane]
        # A lane that sees the chunk alone needs no past; the released pipeline has no cache for its camera lane either.
        if lane not in self.alone:
            self._fresh[slot] = (k, v)
        if lane in self.alone or not len(self):
            key, value = now.key(k), now.value(v)
        else:
            key, value = self._with_past(slot, k, v, past, now)
        o = self.backend(*(_heads_first(x) for x in (now.query(q), key, value)))
        return now.out(_frames_first(o, len(now.where)))

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

    def fork(self) -> KVCache:
        """An independent future of the same past; nothing is copied, because facts are never written in place."""
        other = KVCache(self.window, self.sinks, self.relative, self.alone, self.backend)
        # A shallow copy: tuples of pieces are shared.
        other.where, other.kv, other._heard = self.where, dict(self.kv), dict(self._heard)
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
        if self.window is None or self.where is None or len(self) + len(where) <= self.window:
            return
        recent = self.window - len(where) - self.sinks  # frames that fit beside sinks and new ones
        if recent < 0:
            raise ValueError(
                f"window: {self.window} frames do not hold {self.sinks} sinks and {len(where)} new ones; use a larger window"
            )
        old = len(self) - recent  # first frame of the past that stays, sinks aside
        self.where = self.where[: self.sinks].then(self.where[old:])
        self.kv = {slot: (*_cut(x, 0, self.sinks), *_cut(x, old, old + recent)) for slot, x in self.kv.items()}

    def _bind(self, place: PositionEncoding) -> tuple[PositionEncoding, PositionEncoding]:
        """The place of the past frames and of the new ones, in common indices and axes."""
        now, n = place.where, len(self)
        where = now if self.where is None else self.where.then(now)
        if self.relative:
            where = FramePositions(torch.arange(len(where), device=where.index.device).expand_as(where.index), where.camera)
        where = where.anchored()  # past and new together, so that they share one set of axes
        return place.at(where[:n]), place.at(where[n:])

    def _with_past(
        self, slot: Slot, k: Tensor, v: Tensor, past: PositionEncoding, now: PositionEncoding
    ) -> tuple[Tensor, Tensor]:
        """Keys and values ``[B, T, P, N, D]`` of past and new frames; the past is encoded once a chunk."""
        n = len(self)
        if slot not in self._room:
            self._room[slot] = self._allocate(slot, k, past)
        keys, values = self._room[slot]
        if k.requires_grad or v.requires_grad:  # in place would spoil what an earlier pass saved for backward
            return torch.cat([keys[:, :n], now.key(k)], 1), torch.cat([values[:, :n], now.value(v)], 1)
        now.key(k, keys[:, n:])
        now.value(v, values[:, n:])
        return keys, values

    def _allocate(self, slot: Slot, k: Tensor, past: PositionEncoding) -> tuple[Tensor, Tensor]:
        """Room for keys and values ``[B, T, P, N, D]`` of past and new frames, with the past in it."""
        n, shape = len(self), (k.shape[0], len(self) + k.shape[1], *k.shape[2:])
        room = k.new_empty(shape), k.new_empty(shape)  # [B, T, P, N, D] each
        for all_, pieces, encode in zip(room, zip(*self.kv[slot], strict=True), (past.key, past.value), strict=True):
            old = torch.cat(pieces, 1, out=all_[:, :n])
            encode(old, old)  # in place: no second copy of the past
        return room


class LaneMask:
    """Attention with one ``lane`` switched off: its output is zero. The other lanes are unchanged."""

    def __init__(self, attend: Attend, lane: str) -> None:
        self.attend, self.lane, self.backend = attend, lane, attend.backend

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        o = self.attend(slot, q, k, v, place)  # computed all the same: a cache needs its keys when the lane is on again
        return torch.zeros_like(o) if slot[1] == self.lane else o


def text_kv(attend: Attend, by: nn.Module, text: Tensor, understand: Callable[[Tensor], T]) -> T:
    """Return ``understand(text)``; computed once for all passes through the same cache, unless gradients are on."""
    inner = attend.attend if isinstance(attend, LaneMask) else attend
    if isinstance(inner, KVCache) and not torch.is_grad_enabled():  # with gradients every pass needs a graph of its own
        return inner.cached_text_kv(by, text, understand)
    return understand(text)


def _cut(pieces: KVPieces, start: int, stop: int) -> KVPieces:
    """The frames from ``start`` to ``stop``, without a copy."""
    cut, at = [], 0
    for k, v in pieces:
        a, b = max(0, start - at), max(0, stop - at)  # the cut, counted from the start of this piece
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
