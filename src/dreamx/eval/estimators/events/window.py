"""Cut out a classifier's input for a record: eight moments around its object, and a mask of where that should be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.eval.metrics import event_recognition

FRAMES, SIZE = 8, 32  # moments of a window, and its height and width in pixels
SLACK = 0.4  # seconds before and after the record's time that are seen, too
_MARGIN = 2  # pixels around a thing that count as its place
_ROOM = 1.6  # a cut-out is so much larger than what the thing moves through,
_LEAST = 20 / 64  # and no smaller than this share of the picture


def region(segments: list[Tensor], ids: frozenset[int]) -> Tensor:
    """Mask a record's object, in the truth with the event or without: bool ``[F, H, W]``; true everywhere for no ids."""
    if not ids:
        return torch.ones(segments[0].shape, dtype=torch.bool)
    return event_recognition.dilated_region(segments, set(ids), _MARGIN)


def window(
    video: Tensor,
    where: Tensor,
    span: tuple[float, float],
    fps: float,
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Tensor:
    """``[FRAMES, 4, SIZE, SIZE]``: red, green, blue in [-1, 1], and ``where`` in [0, 1].

    Of a video uint8 ``[F, 3, H, W]`` and ``where [F, H, W]``, from ``SLACK`` before the span of seconds to ``SLACK`` after it.
    ``shift`` (shares of the cut-out, right and down) and ``scale`` move the cut-out, for training.
    """
    start, end = span
    times = torch.linspace(start - SLACK, end + SLACK, FRAMES)
    frames = (times * fps).round().long().clamp(0, len(video) - 1)
    pictures, mask = video[frames], where[frames]
    left, top, side = _box(mask.any(0), scale)
    height, width = mask.shape[-2:]
    left, top = _inside(left + shift[0] * side, side, width), _inside(top + shift[1] * side, side, height)
    rows, cols = slice(top, top + side), slice(left, left + side)
    planes = torch.cat([pictures[..., rows, cols] / 127.5 - 1, mask[:, None, rows, cols].float()], 1)
    return F.interpolate(planes, (SIZE, SIZE), mode="bilinear", antialias=side > SIZE, align_corners=False)


def _box(mask: Tensor, scale: float) -> tuple[float, float, int]:
    """Left, top and side of a square around a mask ``[H, W]``; the whole picture where the mask is empty."""
    height, width = mask.shape
    whole = min(height, width)
    if not bool(mask.any()):
        return (width - whole) / 2, (height - whole) / 2, whole
    rows, cols = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    (top, bottom), (left, right) = (int(rows[0]), int(rows[-1]) + 1), (int(cols[0]), int(cols[-1]) + 1)
    side = min(whole, round(scale * max(_ROOM * max(bottom - top, right - left), _LEAST * whole)))
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def _inside(at: float, side: int, size: int) -> int:
    return int(min(max(round(at), 0), size - side))
