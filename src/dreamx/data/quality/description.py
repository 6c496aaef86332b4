"""The third stage: what kind of clip is it? Tags for filters and training, and one rule on words.

Without weights: motion by optical flow, a moving thing by flow that the camera does not explain, the rest from what the source
says or from the words of the caption. (How pleasing it is: ``aesthetic``.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip
from dreamx.data.quality.limits import Limits
from dreamx.geometry.camera import Camera, rays, relative_to

_PAIRS = 6  # of frames whose flow is looked at, evenly over the clip
_SIDE = 128  # pixels of the longer side, for flow
_APART = 1.5  # pixels that flow may differ from the camera's before it is a thing's own
_WORSE = 12.0  # of 255: by how much the camera's own flow must match worse
_SHARE = 0.04  # of the picture, moving by itself, that makes a clip 4D; clips of the simulator have 0.035 at most
_SCENES = {
    "indoor": "room indoor indoors kitchen corridor house hall office bedroom shop museum maze dungeon",
    "urban": "street city plaza road urban town building square market",
    "nature": "park forest mountain beach garden field river lake nature landscape desert",
}
_SUBJECTS = {
    "human": "person people man woman child human pedestrian walker figure character",
    "animal": "animal dog cat bird horse deer",
    "vehicle": "car bus truck vehicle bicycle train boat motorcycle",
}


@dataclass(frozen=True)
class Tags:
    """motion: 0 to 1. moving: share of the picture that moves by itself. kind: ``3D`` (only the camera moves) or ``4D``.

    style, scene, subject: a word each; ``unknown`` or ``none`` where nothing says it.
    """

    motion: float
    moving: float
    kind: str
    style: str
    scene: str
    subject: str


def words(clip: Clip, limits: Limits) -> str | None:
    """Does the caption say something?"""
    count = len(clip.caption.split())
    if limits.words is None or count >= limits.words:
        return None
    return f"the caption has {count} words, and {limits.words} are wanted"


def tags(clip: Clip) -> Tags:
    """All that can be said of it without a learned judge."""
    motion, moving = motion_of(clip)
    told = clip.subject is not None or (clip.story is not None and bool(clip.story.events))
    said = " ".join([clip.caption, *clip.entities.values()])
    return Tags(
        motion,
        moving,
        "4D" if told or moving > _SHARE else "3D",
        clip.style or "unknown",
        _word_of(clip.scene + " " + said, _SCENES) or "unknown",
        _word_of(said, _SUBJECTS) or "none",
    )


def motion_of(clip: Clip) -> tuple[float, float]:
    """Return the strength of motion, 0 to 1, and the share of the picture whose motion the camera does not explain.

    Strength is 1 - exp(-20 v) of the mean flow v, in widths of the picture a frame.
    With depth the camera's own flow is known; without it, only that it stays on the epipolar lines.
    ValueError where OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as e:
        raise ValueError(f"tags need OpenCV for optical flow ({e}); pip install '.[curate]' in the checkout") from None
    count, _, rows, cols = clip.video.shape
    if count < 2 or min(rows, cols) < 16:
        return 0.0, 0.0
    scale = min(1.0, _SIDE / max(rows, cols))
    h, w = max(16, round(rows * scale)), max(16, round(cols * scale))
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    speed, own = 0.0, 0.0
    pairs = sorted({round(float(i)) for i in torch.linspace(0, count - 2, min(_PAIRS, count - 1))})
    for i in pairs:
        a, b = (
            cv2.resize(
                cv2.cvtColor(clip.video[k].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY), (w, h), interpolation=cv2.INTER_AREA
            )
            for k in (i, i + 1)
        )
        seen = torch.from_numpy(flow_of.calc(a, b, None))  # pyright: ignore[reportArgumentType, reportCallIssue]
        speed += float(seen.norm(dim=-1).mean()) / w / len(pairs)
        pictures = torch.stack([torch.from_numpy(x) for x in (a, b)]).float()
        own += float(_unexplained(clip, i, seen, pictures).float().mean()) / len(pairs)
    return 1 - exp(-20 * speed), own


def _unexplained(clip: Clip, i: int, seen: Tensor, pictures: Tensor) -> Tensor:
    """Mark flow ``[h, w, 2]`` of frame i to the next, of grey pictures ``[2, h, w]``, not the camera's: bool ``[h, w]``.

    Flow guesses where walls are plain. So it counts only where the camera's own flow would match the pictures clearly worse.
    """
    h, w = seen.shape[:2]
    pair = clip.camera[i : i + 2].to(dtype=torch.float32)
    if not bool(torch.isfinite(pair.pose).all() and torch.isfinite(pair.lens).all()):
        return torch.zeros(h, w, dtype=torch.bool)
    here = torch.stack(torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy"), -1)
    depth = None
    if clip.depth is not None:
        rows, cols = ((torch.arange(n) * m) // n for n, m in zip((h, w), clip.depth.shape[1:], strict=True))
        depth = clip.depth[i][rows][:, cols].float()
    allowed = _by_camera(pair, depth, here + seen) - here
    far = (seen - allowed).norm(dim=-1) > _APART
    return far & (_mismatch(pictures, here + allowed) - _mismatch(pictures, here + seen) > _WORSE)


def _by_camera(pair: Camera, depth: Tensor | None, seen: Tensor) -> Tensor:
    """Project pixels of the first camera into the second ``[h, w, 2]``: by depth, or to the place nearest to where they are
    ``seen`` on their epipolar lines."""
    h, w = seen.shape[:2]
    ray, size, lens = rays(pair.lens[0], h, w), torch.tensor([w, h]), pair.lens[1]
    move = relative_to(pair[:1], pair[1:]).pose[0]  # axes of this frame -> of the next
    t = move[:3, 3]
    p = ray @ move[:3, :3].T * (1 if depth is None else depth.clamp(min=0.01)[..., None]) + (0 if depth is None else t)
    there = (p[..., :2] / p[..., 2:].clamp(min=0.05) * lens[:2] + lens[2:]) * size
    if depth is not None or float(t.norm()) < 1e-6:
        return there  # without depth: where it would be, infinitely far
    line = (t[:2] * lens[:2] + t[2] * lens[2:]) * size - t[2] * there  # towards the pole of all epipolar lines, times t_z
    line = line / line.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return there + ((seen - there) * line).sum(-1, keepdim=True) * line


def _mismatch(pictures: Tensor, there: Tensor) -> Tensor:
    """Return the difference of the second picture, at ``there [h, w, 2]``, from the first, of 255 levels."""
    h, w = pictures.shape[1:]
    grid = 2 * there / torch.tensor([w, h]) - 1
    found = F.grid_sample(pictures[None, 1:], grid[None], "bilinear", "border", align_corners=False)[0, 0]
    return (found - pictures[0]).abs()


def _word_of(said: str, table: dict[str, str]) -> str:
    """The word whose own words come first in what is said; empty where none does."""
    told = re.findall(r"[a-z]+", re.sub(r"(first|third)-person", "", said.lower()))
    return next((name for word in told for name, known in table.items() if word in known.split()), "")
