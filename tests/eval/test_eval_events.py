"""Event scores on a square that crosses the picture: every answer is known by construction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx.eval.metrics.event_recognition import (
    delay,
    dilated_region,
    evidence,
    frames_of,
    leakage,
    recognised_share,
    score,
)

FRAMES, FPS = 32, 8.0
SPAN = (1.0, 3.0)  # frames 8 to 24


def walk(shift: Tensor) -> tuple[Tensor, Tensor]:
    """A white square on grey, so many pixels right of where it began, by frame; and its segments, id 5."""
    video = torch.full((FRAMES, 3, 32, 32), 90, dtype=torch.uint8)
    segments = torch.zeros(FRAMES, 32, 32, dtype=torch.int16)
    for t, x in enumerate(shift.tolist()):
        video[t, :, 12:18, 2 + x : 8 + x] = 240
        segments[t, 12:18, 2 + x : 8 + x] = 5
    return video, segments


def rolls(start: int = 8, back: int | None = None) -> Tensor:
    """From frame ``start`` on it rolls, a pixel a frame, for 16 frames; from ``back`` on it is where it was."""
    shift = (torch.arange(FRAMES) - start + 1).clamp(0, 17)
    if back is not None:
        shift[back:] = 0
    return shift


PLAIN, STILL = walk(torch.zeros(FRAMES, dtype=torch.long))
TOLD, MOVING = walk(rolls())
REGION = dilated_region([STILL, MOVING], {5}, 1)


def test_the_truth_is_perfect_and_its_twin_without_the_event_fails() -> None:
    perfect = score(TOLD, PLAIN, TOLD, PLAIN, REGION, FPS, SPAN)
    assert (perfect.happened, perfect.delay, perfect.lasted) == (1, 0, 1)
    assert (perfect.leakage, perfect.focus) == (0, 1)
    nothing = score(PLAIN, PLAIN, TOLD, PLAIN, REGION, FPS, SPAN)
    assert (nothing.happened, nothing.delay, nothing.lasted) == (0, None, 0)
    assert (nothing.leakage, nothing.focus) == (0, None)


def test_an_event_that_is_late_is_late() -> None:
    """The square goes at once to where it should be, but half a second too late."""
    late = TOLD.clone()
    late[8:12] = PLAIN[8:12]
    got = score(late, PLAIN, TOLD, PLAIN, REGION, FPS, SPAN)
    assert got.delay == pytest.approx(0.5)
    assert got.happened == pytest.approx(13 / 17)  # frames 8 to 24, the first four do not tell it
    assert got.lasted == 1


def test_an_event_that_is_forgotten_does_not_last() -> None:
    forgot, _ = walk(rolls(back=27))
    got = score(forgot, PLAIN, TOLD, PLAIN, REGION, FPS, SPAN)
    assert got.happened == 1
    assert got.lasted == pytest.approx(2 / 7)  # frames 25 and 26 of 25 to 31


def test_what_else_changed_is_leakage() -> None:
    dirty = TOLD.clone()
    dirty[:, :, 24:, :] += 10  # a quarter of the picture, ten grey levels
    got = score(dirty, PLAIN, TOLD, PLAIN, REGION, FPS, SPAN)
    outside = (~REGION).sum()
    assert got.leakage == pytest.approx(10 * FRAMES * 8 * 32 / float(outside), rel=1e-5)
    assert got.focus is not None
    assert 0 < got.focus < 1
    assert got.happened == 1
    with pytest.raises(ValueError, match="region must be"):
        leakage(TOLD, PLAIN, REGION[1:])


def test_a_blur_of_both_tells_neither() -> None:
    both = ((TOLD.float() + PLAIN.float()) / 2).round().to(torch.uint8)
    tells = evidence(both, TOLD, PLAIN)
    assert bool(tells[:8].isnan().all())  # nothing differs yet
    assert torch.allclose(tells[8:], torch.full((24,), 0.5), atol=0.01)


def test_frames_that_cannot_tell_are_not_late() -> None:
    nan = float("nan")
    assert delay(torch.tensor([0, 0, nan, nan, 1, 1, 1]), 2, 2.0) == 0
    assert delay(torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), 2, 2.0) == 1.5  # one frame alone is chance
    assert delay(torch.tensor([0.0, 0, 0]), 0, 2.0) is None
    assert recognised_share(torch.tensor([nan, 1, 0])) == 0.5
    assert recognised_share(torch.tensor([nan])) == 0


def test_things_are_found_in_their_segments() -> None:
    assert int(dilated_region([STILL], {5}, 1)[0].sum()) == 64
    assert int(dilated_region([STILL, MOVING], {5}, 0)[-1].sum()) == 72


def test_intervals() -> None:
    assert frames_of((1.0, 3.0), 8.0, 32) == (8, 25)
    assert frames_of((3.8, 9.0), 8.0, 32) == (31, 32)
    with pytest.raises(ValueError, match="choose a span inside"):
        frames_of((4.0, 5.0), 8.0, 32)


def test_an_event_that_cannot_be_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be seen"):
        score(PLAIN, PLAIN, PLAIN, PLAIN, REGION, FPS, SPAN)
    with pytest.raises(ValueError, match="no_prompt is"):
        score(TOLD, PLAIN[1:], TOLD, PLAIN, REGION, FPS, SPAN)
