"""Rows that are not one for every frame, by their times or frame numbers, as a camera for each frame."""

from __future__ import annotations

from itertools import pairwise

import torch

from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.motion import LONGEST, MotionOptions, refuse_unturned
from dreamx.geometry.path import resample

_EVEN = 0.5  # of the usual step: how far a step in time may be from it where rows count as one a frame
_CLOCK = 1000  # whole numbers that are further apart count microseconds or nanoseconds, and no frames


def by_times(camera: Camera, times: list[float], rows: list[str], asked: MotionOptions) -> tuple[Camera, float, tuple[str, ...]]:
    """Cameras of rows at ``times`` as one a frame, the frames a second, and notes.

    Times with fractions are seconds. Whole ones are frame numbers or another clock, so that fps must be given. ValueError names
    the row (by its name of ``rows``) whose time is not after that of the row before.
    """
    whole = all(t == int(t) for t in times)
    if asked.fps is None and (whole or len(times) < 2):
        said = "its times are whole numbers, of frames or of another clock," if len(times) > 1 else "it has one row, so its times"
        raise ValueError(f"{said} give no frames a second; give fps")
    gaps = _gaps(times, rows, "time")
    if not gaps:
        return camera, asked.fps or 1.0, ()
    usual = sorted(gaps)[len(gaps) // 2]
    if whole and usual < _CLOCK:
        filled, notes = by_numbers(camera, times, rows)
        return filled, asked.fps or 1.0, notes
    own = asked.fps or 1.0 if whole else 1 / usual
    fps = asked.fps or own
    if all(abs(gap - usual) < _EVEN * usual for gap in gaps):
        other = f"Its times say {own:.3g} frames a second; {fps:g} are taken, as was asked."
        return camera, fps, (other,) if abs(own - fps) > 0.02 * fps else ()
    rate = 1 / usual if whole else fps
    note = (
        f"Its times are uneven, {min(gaps) * rate:.2g} to {max(gaps) * rate:.2g} frames apart; what lies between was filled in."
    )
    return _even(camera, [(t - times[0]) * rate for t in times]), fps, (note,)


def by_numbers(camera: Camera, numbers: list[float], rows: list[str]) -> tuple[Camera, tuple[str, ...]]:
    """Cameras of rows with frame numbers as one for each frame from the first number to the last, and a note of what is new."""
    gaps = _gaps(numbers, rows, "frame number")
    missing = int(sum(gaps)) - len(gaps)
    if not missing:
        return camera, ()
    note = f"Of {len(gaps) + missing + 1} frames it has {len(gaps) + 1}; those between were filled in."
    return _even(camera, [n - numbers[0] for n in numbers]), (note,)


def _gaps(times: list[float], rows: list[str], what: str) -> list[float]:
    gaps = [b - a for a, b in pairwise(times)]
    for gap, row in zip(gaps, rows[1:], strict=True):
        if gap <= 0:
            raise ValueError(f"{row}: its {what} is not after that of the one before; take one of the two out, or sort them")
    return gaps


def _even(camera: Camera, at: list[float]) -> Camera:
    """Cameras at the rising places ``at``, in frames from 0, as those of all whole frames."""
    if at[-1] >= LONGEST:
        raise ValueError(f"it lasts {at[-1]:.0f} frames; at most {LONGEST} are read, so cut it, or give other fps")
    refuse_unturned(camera)
    places = torch.tensor(at, dtype=torch.float64)
    frames = torch.arange(int(at[-1] + 1e-6) + 1, dtype=torch.float64)
    after = torch.searchsorted(places, frames).clamp(1, len(at) - 1)
    a, b = places[after - 1], places[after]
    return resample(camera, (after - 1 + ((frames - a) / (b - a)).clamp(0, 1)))
