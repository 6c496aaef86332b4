"""Memory: views of the past with their depth, retrieved by view overlap and re-projected to the present camera.

DreamX-World 1.0 (section on memory) retrieves by camera pose and view overlap and packs retrieved latents before the target. Ours
retrieves by the same rule and re-projects what it finds: the model is shown how the new frames look by the past, and which
pixels of that are known. Depth is the autoencoder's own, so it works from any picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from dreamx.bounds import NonNegativeFloat, PositiveFloat
from dreamx.config import LATER
from dreamx.frames import Frames, hint_shape
from dreamx.geometry.camera import Camera, rays, stack
from dreamx.geometry.overlap import view_overlaps
from dreamx.geometry.reproject import (
    View,
    composite_over,
    fill_holes,
    merge_views,
    remove_flying_pixels,
    reproject,
    smooth_depth,
)
from dreamx.geometry.spacing import is_new, spare
from dreamx.geometry.walls import stop_at_walls
from dreamx.model.vae import GROUP, VAE


@dataclass(frozen=True)
class MemoryConfig:
    """Views that are remembered, and how many of them are shown."""

    views: Annotated[int, Ge(1), Le(64)] = 3
    """Most views that are shown for a chunk, the latest one included."""
    capacity: Annotated[int, Ge(1), Le(2**16)] = 256
    """Most views that are kept; then they are thinned (``Bank``)."""
    metres: NonNegativeFloat = 0.5
    """Metres; a view is kept when (distance / metres)² + (angle / degrees)² is 1 or more to every kept view."""
    degrees: NonNegativeFloat = 12.0
    """Degrees, in the rule of ``metres``."""
    settle: bool = True
    """Smooth depth before it is remembered (``geometry.reproject.smooth_depth``)."""
    magnified: PositiveFloat | None = field(default=None, metadata=LATER)
    """What would appear more than so many times as large as it was seen is unknown, and drawn anew; None: never."""
    contradicted: PositiveFloat | None = field(default=None, metadata=LATER)
    """The decoder is not shown memory where dreamt latents are so far from it, in the mean over channels: something happened
    there; None: it always is."""
    detail: bool = field(default=False, metadata=LATER)
    """While something is told, the decoder is not shown memory, which would paint over it; the detail of memory is laid over what
    was decoded (``detail.add_detail``)."""

    def __post_init__(self) -> None:
        for name in ("views", "capacity"):
            if getattr(self, name) < 1:
                raise ValueError(f"memory.{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("metres", "degrees"):
            if not getattr(self, name) > 0:
                raise ValueError(f"memory.{name} must be more than 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class Memory:
    """One remembered view: ``rgb [3, H, W]`` in [-1, 1] and ``depth [H, W]`` in metres, both float16, and one camera."""

    rgb: Tensor
    depth: Tensor
    camera: Camera


class Bank:
    """The views that one session remembers. Views are never changed, so that a fork copies nothing but the list.

    ``kept`` is in the order of time, the opening first. A full bank is thinned where it is densest, and of two views the later
    goes, because what was copied least is truest: never the opening, never the newest quarter (a glance back must find what was
    just seen), walked to and looked ahead alike. So what is left are views ever farther apart over the whole walk.
    """

    def __init__(self, config: MemoryConfig) -> None:
        self.config = config
        self.kept: list[Memory] = []
        self.latest: Memory | None = None

    def remember(self, rgb: Tensor, depth: Tensor, camera: Camera) -> None:
        """One frame ``rgb [3, H, W]`` in [-1, 1], ``depth [H, W]``, its camera. It becomes the latest; few are kept for good."""
        self.latest = self._memory(rgb, depth, camera)
        cfg = self.config
        if not self.kept or is_new(camera, self._cameras(), cfg.metres, cfg.degrees):  # else a halt adds 4 equal views a second
            self._keep(self.latest)

    def imagine(self, rgb: Tensor, depth: Tensor, camera: Camera) -> None:
        """Keep a view of a place that was not walked to yet; the latest view stays the same.

        It is kept however near others lie, since they did not show enough of it; a full bank thins it like any.
        """
        self._keep(self._memory(rgb, depth, camera))

    def recall(self, camera: Camera) -> list[Memory]:
        """The views to show at one camera, the most trusted first.

        Of the kept ones: that which sees the most of what the camera sees; the oldest of those that see any of it, so that a
        way round ends where it began; then whichever see most. Older ones are trusted more: what was copied least is truest.
        The latest closes the list: it knows what the others have not seen yet.
        """
        if self.latest is None:
            return []
        seen = view_overlaps(camera, self._cameras())  # [N], 0 to 1
        useful = [i for i in seen.argsort(descending=True, stable=True).tolist() if seen[i] > _LEAST]
        # One place is left for the latest view.
        picked = list(dict.fromkeys([*useful[:1], *sorted(useful)[:1], *useful]))[: self.config.views - 1]
        found = [self.kept[i] for i in sorted(picked)]  # oldest first: `merge_views` trusts the first that shows a surface
        return found if any(m is self.latest for m in found) else [*found, self.latest]

    def surfaces(self, camera: Camera) -> Tensor:
        """Points ``[N, 3]`` of what the nearest views show, in the axes of the walk; a quarter of the pixels."""
        if self.latest is None:
            return torch.zeros(0, 3)
        far = (self._cameras().pose[:, :3, 3] - camera.pose[:3, 3]).norm(dim=-1)  # [N]
        views = [self.latest, *(self.kept[i] for i in far.argsort(stable=True)[:_SURFACES].tolist())]
        depth, seen = torch.stack([m.depth for m in views]).float(), stack([m.camera for m in views])
        points = (rays(seen.lens, *depth.shape[1:]) * depth[..., None])[:, ::2, ::2].flatten(1, 2)  # [V, P, 3]
        points = points @ seen.pose[:, :3, :3].mT + seen.pose[:, None, :3, 3]
        return points[depth[:, ::2, ::2].flatten(1) > 0]

    def fork(self) -> Bank:
        """An independent future of the same past."""
        other = Bank(self.config)
        other.kept, other.latest = list(self.kept), self.latest  # views never change, so the list alone is copied
        return other

    def state(self) -> dict[str, Tensor]:
        """Return the memory as named tensors, to be saved; the latest is the last row."""
        if self.latest is None:
            return {}
        views = [*self.kept, self.latest]
        camera = stack([m.camera for m in views])
        pictures = {"rgb": torch.stack([m.rgb for m in views]), "depth": torch.stack([m.depth for m in views])}
        return {**pictures, "pose": camera.pose, "lens": camera.lens}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a memory that ``state`` returned."""
        camera = Camera(state["pose"], state["lens"]) if state else None
        views = [] if camera is None else [Memory(state["rgb"][i], state["depth"][i], camera[i]) for i in range(len(camera))]
        self.kept, self.latest = views[:-1], views[-1] if views else None

    def _memory(self, rgb: Tensor, depth: Tensor, camera: Camera) -> Memory:
        depth = smooth_depth(rgb, depth, camera.lens) if self.config.settle else depth
        return Memory(rgb.half(), depth.half(), camera)  # 32 KiB at 64 x 64: 256 views are 8 MB

    def _keep(self, memory: Memory) -> None:
        self.kept.append(memory)
        if len(self.kept) > self.config.capacity:
            del self.kept[spare(self._cameras(), self.config.capacity, self.config.metres, self.config.degrees)]

    def _cameras(self) -> Camera:
        return stack([m.camera for m in self.kept])


def render_memories(memories: list[Memory], target: Camera, most: float | None = None) -> View:
    """Render memories, the most trusted first, from the cameras ``target [F]``; colours in [-1, 1].

    most: ``MemoryConfig.magnified``.
    """
    n, f = len(memories), len(target)
    # [N F, ...]: every memory for every frame of the chunk, in one call.
    rgb, depth = (torch.stack(x).float().repeat_interleave(f, 0) for x in zip(*((m.rgb, m.depth) for m in memories), strict=True))
    source = stack([m.camera for m in memories]).map(lambda x: x.repeat_interleave(f, 0))
    views = reproject(rgb, depth, source, target.map(lambda x: x.repeat(n, *(1,) * (x.ndim - 1))), inf if most is None else most)
    each = zip(views.rgb.split(f), views.depth.split(f), views.known.split(f), strict=True)
    return remove_flying_pixels(merge_views([View(*v) for v in each]))


def recalled_view(bank: Bank | None, path: Camera, by_heart: View | None = None) -> tuple[View | None, list[Memory]]:
    """Return what is known by heart of frames ``path [F]``, or where nothing is what a bank shows of them; and the memories used.

    None where there is neither.
    """
    if bank is None or (by_heart is not None and bool((by_heart.known > 0).all())):
        return by_heart, []
    memories = bank.recall(path[-1])  # one choice for the whole chunk, by where it ends
    if not memories:
        return by_heart, []
    past = render_memories(memories, path, bank.config.magnified)
    return past if by_heart is None else composite_over(by_heart, past), memories


def add_memory_hint(
    vae: VAE, bank: Bank | None, chunk: Frames, path: Camera, by_heart: View | None = None, remembers: bool = True
) -> tuple[Frames, list[Memory], View | None]:
    """A chunk ``[1, T]`` with what a bank shows of its frames ``path [4 T]``, the memories it used, and their view ``[1, 4 T]``.

    The chunk as it is, nothing and None where nothing is remembered. by_heart: what is known of the frames ``[4 T]``; it goes
    before memory, which repeats what was dreamt with all its faults. remembers: False: show that alone.
    """
    if bank is None or bank.latest is None:
        return chunk, [], None
    seen, memories = recalled_view(bank if remembers else None, path, by_heart)
    if seen is None:
        return chunk, [], None
    hint = View(seen.rgb[None], seen.depth[None], seen.known[None])
    return replace(chunk, hint=hint_latents(vae, bank.latest.rgb[None].float(), hint)), memories, hint


def drop_contradicted(config: MemoryConfig | None, z: Tensor, said: Tensor | None, hint: View | None) -> View | None:
    """Return what the decoder is shown of memory ``hint [B, F]``, F = 4 T: not where latents ``z [B, T, C, h, w]`` are far from
    what memory said ``[B, T, C + 1, h, w]`` (``Frames.hint``), as where something moved, came or changed its light.
    """
    if hint is None or said is None or config is None or config.contradicted is None:
        return hint
    off = (z - said[:, :, :-1]).abs().mean(2)  # [B, T, h, w]
    agrees = (off < config.contradicted).to(hint.known)
    times = hint.known.shape[1] // off.shape[1], *(a // b for a, b in zip(hint.known.shape[2:], off.shape[2:], strict=True))
    for axis, n in enumerate(times, 1):
        agrees = agrees.repeat_interleave(n, axis)  # [B, F, H, W] at last
    return View(hint.rgb * agrees[:, :, None], hint.depth * agrees, hint.known * agrees)


def keep_off_walls(bank: Bank | None, start: Camera, path: Camera) -> tuple[Camera, bool]:
    """A path from ``start`` that stops at what a bank remembers (``geometry.walls``), and was it changed? None: it stays."""
    return (path, False) if bank is None else stop_at_walls(start, path, bank.surfaces(start))


def hint_latents(vae: VAE, before: Tensor, view: View) -> Tensor:
    """Encode rendered memory: ``[B, T, C + 1, h, w]``; the last channel is the known share of each place.

    ``before [B, 3, H, W]``: the frame before, in [-1, 1], which the encoder begins from; ``view [B, F]``, F = 4 T. Holes are
    filled smoothly from around them.
    """
    flat = View(view.rgb.flatten(0, 1), view.depth.flatten(0, 1), view.known.flatten(0, 1))
    # [B, F, 3, H, W]; a hole of 0 would be a grey patch to the encoder.
    pictures = fill_holes(flat).unflatten(0, view.rgb.shape[:2])
    # The encoder makes a latent of the first frame alone, so the frame before takes that place and its latent is dropped.
    z = vae.encode(torch.cat([before[:, None], pictures], 1))[:, 1:]
    known = torch.nn.functional.avg_pool2d(view.known, vae.config.shrink)  # [B, F, h, w]
    known = known.unflatten(1, (-1, GROUP)).mean(2)[:, :, None]  # [B, T, 1, h, w]: over the 4 frames of each latent
    hint = torch.cat([z, known], 2)
    assert hint.shape == hint_shape(z)
    return hint


_SURFACES = 8  # views whose surfaces stop a walker, beside the latest
_LEAST = 0.02  # share of what the camera sees, for a view to be used at all
