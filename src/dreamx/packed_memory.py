"""Packed memory: latent frames of the session, recalled for a chunk and put before the window, ``[memory | history | chunk]``.

DreamX-World 1.0, memory section: retrieved by camera pose and view overlap, known (sigma 0), at their original time. It needs no
depth, unlike the re-projected memory of ``dreamx.memory``, so it works at every scale. How it enters a causal model the paper
does not say; here each recalled frame is read by itself, seen by the passes that make the chunk, and taken out before the chunk
becomes history.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.frames import Frames
from dreamx.geometry import camera as cameras
from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.retrieval import retrieve
from dreamx.geometry.spacing import is_new, spare
from dreamx.model.attention import Slot
from dreamx.model.kv_cache import KVCache
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.positions import FramePositions
from dreamx.rollout import Network, read_frames


@dataclass(frozen=True, eq=False)
class PackedFrame:
    """One latent frame ``z [C, h, w]`` of the session, its time index, and the number of the chunk that it was made in."""

    z: Tensor
    index: int
    chunk: int


class PackedMemory:
    """The latent frames that one session keeps, in the order of time. A fork shares them: frames are never changed.

    ``camera [N]``: float64, in the axes of the walk.
    """

    def __init__(self, config: PackedMemoryConfig) -> None:
        self.config = config
        self.kept: list[PackedFrame] = []
        self.camera = Camera(torch.empty(0, 4, 4, dtype=torch.float64), torch.empty(0, 4, dtype=torch.float64))
        self._read: dict[int, dict[Slot, tuple[Tensor, Tensor]]] = {}  # keys and values by time index, the last used last
        self._under: tuple[Tensor, bool] | None = None  # the text that frames were read under, and the camera lane on or off

    def remember(self, made: Frames, before: Camera | None, chunk: int) -> None:
        """Keep the frames ``[1, T]`` of a chunk that show something from somewhere new.

        before: in whose axes their cameras are; None: those of the walk.
        """
        there = _in_walk(made.camera, before)
        for i in range(len(made)):
            if self.kept and not is_new(there[i], self.camera, self.config.metres, self.config.degrees):
                continue
            self.kept.append(PackedFrame(made.z[0, i].detach().clone(), int(made.index[0, i]), chunk))
            self.camera = cameras.cat([self.camera, there[i : i + 1]])
            if len(self.kept) > self.config.capacity:
                self._drop(spare(self.camera, self.config.capacity, self.config.metres, self.config.degrees))

    def choose(self, chunk: Frames, before: Camera | None, held: Tensor, most: int | None = None) -> list[int]:
        """Positions in ``kept`` of the frames to recall for a chunk ``[1, T]``, by time; none whose index is in ``held [n]``.

        most: the best so many alone; None: as many as the settings say.
        """
        seen = set(held.tolist())
        free = [i for i, frame in enumerate(self.kept) if frame.index not in seen]
        new = _in_walk(chunk.camera, before)[chunk.sigma[0] > 0]
        most = self.config.frames if most is None else most
        chosen = retrieve(new, self.camera[free], most, self.config.least, self.config.again)
        return sorted(free[i] for i in chosen)

    def show(
        self, dit: Network, chunk: Frames, words: Tensor, cache: KVCache, before: Camera | None, lane: bool = True
    ) -> tuple[tuple[PackedFrame, ...], Camera]:
        """Recall frames for a chunk ``[1, T]`` into a cache; return them, and their cameras ``[K]`` in the axes of the walk.

        lane: is the camera lane of ``dit`` on? A frame is read once, until the words or the lane change.
        """
        chosen = self.choose(chunk, before, cache.held(len(chunk)))
        if not chosen:
            return (), self.camera[:0]
        if self._under is None or self._under[0] is not words or self._under[1] != lane:
            self._read, self._under = {}, (words, lane)
        there = self.camera[chosen]
        seen = (there if before is None else relative_to(there, before)).to(dtype=chunk.camera.pose.dtype).map(lambda x: x[None])
        found = tuple(self.kept[i] for i in chosen)
        index = torch.tensor([[frame.index for frame in found]])
        for i, frame in enumerate(found):  # one by one: then what is read does not depend on what else is
            kv = self._read.pop(frame.index, None)
            if kv is None:
                z = frame.z[None, None]
                kv = read_frames(dit, Frames(z, z.new_zeros(1, 1), index[:, i : i + 1], seen[:, i : i + 1]), words, cache)
            self._read[frame.index] = kv
        for old in list(self._read)[: -2 * self.config.frames]:
            del self._read[old]
        each = [self._read[frame.index] for frame in found]
        kv = {slot: (torch.cat([x[slot][0] for x in each], 1), torch.cat([x[slot][1] for x in each], 1)) for slot in each[0]}
        cache.insert(FramePositions(index, seen, rule=self.config.gaps), kv)
        return found, there

    def fork(self) -> PackedMemory:
        """An independent future of the same past."""
        other = PackedMemory(self.config)
        other.kept, other.camera, other._read, other._under = list(self.kept), self.camera, dict(self._read), self._under
        return other

    def state(self) -> dict[str, Tensor]:
        """Return the memory as named tensors, to be saved."""
        if not self.kept:
            return {}
        numbers = {k: torch.tensor([getattr(frame, k) for frame in self.kept]) for k in ("index", "chunk")}
        return {"z": torch.stack([frame.z for frame in self.kept]), "pose": self.camera.pose, "lens": self.camera.lens, **numbers}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a memory that ``state`` returned."""
        if state:
            each = zip(state["z"], state["index"].tolist(), state["chunk"].tolist(), strict=True)
            self.kept, self.camera = [PackedFrame(*frame) for frame in each], Camera(state["pose"], state["lens"])

    def _drop(self, at: int) -> None:
        del self.kept[at]
        stays = [i for i in range(len(self.camera)) if i != at]
        self.camera = self.camera[stays]


def _in_walk(camera: Camera, before: Camera | None) -> Camera:
    """Cameras ``[1, T]``, seen from ``before``, in the axes of the walk: ``[T]``, float64."""
    exact = camera.to(dtype=torch.float64)[0]
    return exact if before is None else Camera(before.pose.double() @ exact.pose, exact.lens)
