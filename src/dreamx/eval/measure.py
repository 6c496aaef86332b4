"""Every score of one video of one trial."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval.scores import psnr, sharpness

_CODE = "measure scores likeness look motion transition tools camera pose memory events".split()


@dataclass(frozen=True)
class Measured:
    """scores: one number each, by name. curves: one number a second each, by name."""

    scores: dict[str, float] = field(default_factory=dict[str, float])
    curves: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


def measure(video: Tensor, truth: Clip) -> Measured:
    """Of uint8 ``[F, 3, H, W]``, as long as the truth, whose frame 0 was given and is not counted."""
    decibels = psnr(video[1:], truth.video[1:])
    sharp = sharpness(video[1:], truth.video[1:])
    scores = {"psnr": float(decibels.mean()), "sharpness": float(sharp.mean())}
    return Measured(scores, {"psnr": by_second(decibels, truth.fps)})


def by_second(values: Tensor, fps: float) -> list[float]:
    """The mean of each second of ``values [F]``; what is left over at the end counts where it is half a second or more."""
    parts = values.split(round(fps))
    if len(parts) > 1 and len(parts[-1]) < fps / 2:
        parts = parts[:-1]
    return [float(part.mean()) for part in parts]


def code() -> str:
    """A hash of all code that scores: what was measured by other code is measured anew."""
    root = Path(str(resources.files("dreamx"))) / "eval"
    return hashlib.sha256(b"".join(f.read_bytes() for n in _CODE if (f := root / f"{n}.py").is_file())).hexdigest()[:10]
