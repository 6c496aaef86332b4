"""Event scores: does the event of the prompt happen, at its time, and nothing else; and does its result last?

The simulator knows the walk twice, with the event and without. A frame *tells* (shows) the event when, where these two differ,
it looks more like the one with the event: no network has to recognise anything. Other changes by the words are seen in the
model's own run of the same walk from the same seed without the words (``no_prompt``).

Videos are uint8 ``[F, 3, H, W]`` of one walk and equally long; masks are bool ``[F, H, W]``; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

_DIFFER = 12.0  # grey levels of 255: truths that differ by less in a pixel do not differ there
_FEW = 4  # pixels: where truths differ in fewer, a frame cannot tell
_HOLD = 3  # frames: an event has begun when so many in a row tell it


@dataclass(frozen=True)
class EventScore:
    """happened: share of the frames of the interval that tell the event. delay: seconds from its start to the first of three
    frames in a row that do, None if it never does. lasted: share of the frames afterwards that still do, None where truth shows
    no trace of it then. leakage: mean change elsewhere, in grey levels; focus: share of all change that is where it should be,
    None where nothing changed."""

    happened: float
    delay: float | None
    lasted: float | None
    leakage: float
    focus: float | None


def score(
    video: Tensor, no_prompt: Tensor, with_event: Tensor, no_event: Tensor, region: Tensor, fps: float, span: tuple[float, float]
) -> EventScore:
    """All scores of one event: ``video`` and the same run with ``no_prompt`` of the event, the truths ``with_event`` and
    ``no_event``, where it may change something (``region``, see ``dilated_region``), and when it happens (``span``).

    ValueError when shapes disagree, the span is outside of the video, or the truths do not differ in it.
    """
    for name, other in (("no_prompt", no_prompt), ("with_event", with_event), ("no_event", no_event)):
        if other.shape != video.shape:
            raise ValueError(f"{name} is {tuple(other.shape)} and the video {tuple(video.shape)}; they must be of one walk")
    start, end = frames_of(span, fps, len(video))
    tells = evidence(video, with_event, no_event)
    inside = tells[start:end]
    if bool(inside.isnan().all()):
        raise ValueError("with the event and without, the truth is the same in its interval; it cannot be seen from there")
    after = tells[end:]
    leak, focus = leakage(video, no_prompt, region)
    return EventScore(
        happened=recognised_share(inside),
        delay=delay(tells, start, fps),
        lasted=None if bool(after.isnan().all()) else recognised_share(after),
        leakage=leak,
        focus=focus,
    )


def frames_of(span: tuple[float, float], fps: float, frames: int) -> tuple[int, int]:
    """The first frame of an interval of seconds, and the first after it; at least one frame long."""
    start, end = span
    first = ceil(start * fps - 1e-6)  # 1.1 * 10 is 11.000000000000002
    if not 0 <= start <= end or first >= frames:
        raise ValueError(f"the event is from {start:g} to {end:g} s of {frames / fps:g} s; choose a span inside of the video")
    return first, min(frames, max(first + 1, int(end * fps + 1e-6) + 1))


def evidence(video: Tensor, with_event: Tensor, no_event: Tensor) -> Tensor:
    """Score how much each frame looks like the truth with the event ``[F]``: 1 with it, 0 without, 0.5 between.

    NaN for frames in which the truths do not differ. Only pixels that differ count, by how much they differ.
    """
    v, a, b = (x.float() for x in (video, with_event, no_event))
    apart = (a - b).abs().mean(1)  # [F, H, W]
    weight = torch.where(apart >= _DIFFER, apart, 0.0)  # [F, H, W]
    to_told = ((v - a).square().mean(1) * weight).flatten(1).sum(1)  # [F]
    to_plain = ((v - b).square().mean(1) * weight).flatten(1).sum(1)
    both = to_told + to_plain
    known = (weight > 0).flatten(1).sum(1) >= _FEW
    # The share of error that is against `no_event`.
    return torch.where(known & (both > 0), to_plain / both.clamp(min=1e-6), torch.nan)


def recognised_share(tells: Tensor) -> float:
    """The share of the frames ``[F]`` that can tell which tells the event; 0 where none can."""
    known = tells[~tells.isnan()]
    return float((known > 0.5).float().mean()) if len(known) else 0.0


def delay(tells: Tensor, start: int, fps: float) -> float | None:
    """Seconds from frame ``start`` to the first of three frames in a row that tell the event; the last frames count with fewer.

    Frames that cannot tell are passed over: a thing behind a wall is not late.
    """
    known = (~tells[start:].isnan()).nonzero().flatten()
    yes = tells[start:][known] > 0.5
    for i in range(len(yes)):
        if bool(yes[i : i + _HOLD].all()):
            late = int(known[i]) - int(known[0])  # from the first frame that can show it
            return late / fps
    return None


def leakage(video: Tensor, no_prompt: Tensor, region: Tensor) -> tuple[float, float | None]:
    """Return the change by the prompt outside ``region``, mean grey levels, and the share of all change inside (or None)."""
    if region.shape != (len(video), *video.shape[-2:]):
        raise ValueError(f"region must be {(len(video), *video.shape[-2:])}, not {tuple(region.shape)}")
    change = (video.float() - no_prompt.float()).abs().mean(1)  # [F, H, W]; same seed, so words alone make it
    outside = ~region
    total = float(change.sum())
    leak = float((change * outside).sum()) / max(1, int(outside.sum()))
    return leak, None if total == 0 else float((change * region).sum()) / total


def dilated_region(segments: list[Tensor], ids: set[int], margin: int) -> Tensor:
    """Mask things in any of these ``segments [F, H, W]`` (of the truth with the event, and without), and ``margin`` pixels
    more, for shadows: bool ``[F, H, W]``."""
    found = torch.zeros(segments[0].shape, dtype=torch.bool)
    for plane in segments:
        found |= torch.isin(plane, torch.tensor(sorted(ids), dtype=plane.dtype))
    size = 2 * margin + 1  # dilation by a square
    return F.max_pool2d(found[:, None].float(), size, 1, margin)[:, 0] > 0.5
