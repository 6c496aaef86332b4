"""Clips of many sizes and rates made alike: a dataset has one size and one frame rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dreamx.clip import Clip
from dreamx.data.engine.engine_stage import Drop
from dreamx.geometry.camera import Camera


@dataclass(frozen=True)
class Conform:
    """``size``: width and height; the picture is cut to that shape around its middle and made smaller. ``fps``: frames a second;
    each new frame is the nearest old one. None leaves what is. Nothing is made larger or faster: such clips are dropped."""

    size: tuple[int, int] | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"conform.size must be 1x1 or more, not {self.size[0]}x{self.size[1]}")
        if self.fps is not None and not 0 < self.fps < 1000:
            raise ValueError(f"conform.fps must be frames a second, not {self.fps}")

    def __call__(self, clip: Clip) -> Clip | Drop:
        """The clip as asked for, or why it cannot be."""
        if self.fps is not None and abs(clip.fps - self.fps) > 1e-6:
            if clip.fps < self.fps:
                return Drop(f"it has {clip.fps:g} frames/s, and {self.fps:g} are wanted", "slow")
            clip = _slower(clip, self.fps)
        h, w = clip.video.shape[2:]
        if self.size is not None and (w, h) != self.size:
            if w < self.size[0] or h < self.size[1]:
                return Drop(f"it is {w}x{h}, and {self.size[0]}x{self.size[1]} is wanted", "small")
            clip = _smaller(clip, *self.size)
        return clip


def _slower(clip: Clip, fps: float) -> Clip:
    """Every so many frames. Keys held on the way to a new frame are the mean of those on the way over the old ones."""
    count = max(1, int((len(clip.video) - 1) * fps / clip.fps + 1e-6) + 1)
    at = (torch.arange(count).double() * clip.fps / fps).round().long().clamp(max=len(clip.video) - 1)
    actions = [clip.actions[:1] * 0] + [clip.actions[a + 1 : b + 1].mean(0, keepdim=True) for a, b in pairwise(at.tolist())]
    frames = torch.bucketize(torch.tensor([c.frame for c in clip.contacts], dtype=torch.long), at).clamp(max=count - 1).tolist()
    contacts = tuple(replace(c, frame=f) for c, f in zip(clip.contacts, frames, strict=True))
    return replace(clip.at(at), actions=torch.cat(actions), contacts=contacts, fps=float(fps))


def _smaller(clip: Clip, width: int, height: int) -> Clip:
    """Cut to the shape, then made smaller; depth and segments by the nearest pixel, and the lens follows."""
    h, w = clip.video.shape[2:]
    if w * height > h * width:
        rows, columns = h, max(width, round(h * width / height))
    else:
        rows, columns = max(height, round(w * height / width)), w
    top, left = (h - rows) // 2, (w - columns) // 2

    def cut(x: Tensor) -> Tensor:
        return x[..., top : top + rows, left : left + columns]

    def nearest(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        r, c = (((torch.arange(n) + 0.5) * m / n).long() for n, m in ((height, rows), (width, columns)))
        return cut(x)[:, r][:, :, c]

    parts = [
        interpolate(part.float(), (height, width), mode="bilinear", antialias=True).round().clamp(0, 255).byte()
        for part in cut(clip.video).split(16)
    ]
    fx, fy, cx, cy = clip.camera.lens.unbind(-1)
    lens = torch.stack([fx * w / columns, fy * h / rows, (cx * w - left) / columns, (cy * h - top) / rows], -1)
    return replace(
        clip,
        video=torch.cat(parts),
        camera=Camera(clip.camera.pose, lens),
        depth=nearest(clip.depth),
        segments=nearest(clip.segments),
    )
