"""The thresholds of quality control, in one place, each with where it comes from.

The paper (DreamX-World 1.0, section on data) names the rules and gives no number. "Sheet" is the algorithm sheet's own proposal,
"measured" is ours: set between clean and broken clips, as ``tests/test_quality.py`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a clip must keep to. A limit of None switches its rule off.

    seconds, fps: at least. text, border: share of the picture. change: of brightness (0 to 255), at least. cut: score of
    PySceneDetect. dark, bright: mean brightness (0 to 255). blur: 0 sharp to 1 flat. zoom: relative drift of the focal length.
    spike: times the usual step. spin: degrees a second. bounce: of the height, as a share of the way of a second. roll: degrees.
    words: of the caption, at least. metres: a second, which a walk without a scale is brought to.
    """

    seconds: float | None = 5.0  # sheet: at least 5 s
    fps: float | None = 16.0  # sheet: at least 16, the rate of the model
    text: float | None = 0.05  # sheet: at most 5 % of the picture
    border: float | None = 0.02  # sheet: at most 2 %
    change: float | None = 2.5  # measured; in place of the paper's CLIP cosine of first and last, which needs weights
    cut: float | None = 27.0  # PySceneDetect's own (ContentDetector); its adaptive detector also asks that it stands out
    dark: float | None = 20.0  # SpatialVID's lower bound of brightness
    bright: float | None = 235.0  # ours, its mirror image: SpatialVID's 140 throws plain skies and snow away
    blur: float | None = (
        0.65  # measured: sharp renders 0.19 to 0.41, blurred by 1.5 pixels 0.59 at most, by 3 pixels 0.75 at least
    )
    zoom: float | None = 0.10  # sheet: focal drift over 10 %
    spike: float | None = 5.0  # sheet: a step of more than 5 times the median
    spin: float | None = 80.0  # sheet: 5 degrees a frame, at 16 frames a second
    bounce: float | None = 0.10  # sheet: 10 % of the way; ours: of the way of one second, else no clip could break it
    roll: float | None = 30.0  # sheet: over 30 degrees
    words: int | None = None  # off: clips are captioned after they are cleaned; 3 after that
    aesthetic: float | None = None
    """Least aesthetic score by ``aesthetic_net``; LAION's are from 1 to 10, and 4.5 to 5 is a usual limit. Off by default."""
    aesthetic_stand_in: float | None = None
    """Least score, 0 to 1, by the stand-in (colour, contrast, sharpness) where no network is given. Off by default."""
    aesthetic_net: Path | None = None
    """A network that rates pictures, or gives CLIP's features for ``aesthetic_head``; TorchScript or ONNX."""
    aesthetic_head: Path | None = None
    """LAION's head on these features, as safetensors."""
    metres: float = 1.2  # the official speed of a held key, 0.075 a frame at 16 frames a second

    def __post_init__(self) -> None:
        for name in ("aesthetic_net", "aesthetic_head"):
            value = getattr(self, name)
            if isinstance(value, str):  # from JSON
                object.__setattr__(self, name, value := Path(value))
            if value is not None and not value.is_file():
                raise ValueError(f"limits.{name}: there is no file {value}; give one, or leave it out for a stand-in")
        for name, without in (("aesthetic", "aesthetic_net"), ("aesthetic_head", "aesthetic_net")):
            if getattr(self, name) is not None and getattr(self, without) is None:
                raise ValueError(f"limits.{name} needs limits.{without}; the stand-in has limits.aesthetic_stand_in")
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and not isinstance(value, Path) and not 0 <= value < float("inf"):
                raise ValueError(f"limits.{f.name} must be a number of 0 or more, or None, not {value}")
        if not self.metres:
            raise ValueError("limits.metres must be more than 0: it is the speed that walks are brought to")
