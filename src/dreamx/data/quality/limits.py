"""The thresholds of quality control, in one place, each with where it comes from.

The paper (DreamX-World 1.0, section on data) names the rules and gives no number. "Sheet" is the algorithm sheet's own proposal,
"measured" is ours: set between clean and broken clips, as ``tests/data/test_quality.py`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Limits that a clip must keep. None switches a rule off."""

    seconds: float | None = 5.0
    """Least length (sheet)."""
    fps: float | None = 16.0
    """Least frames a second (sheet); the rate of the model."""
    text: float | None = 0.05
    """Most of the picture that text covers, as a share (sheet)."""
    border: float | None = 0.02
    """Most of the picture that black borders cover, as a share (sheet)."""
    change: float | None = 2.5
    """Least change of brightness, of 255 (measured); for the paper's CLIP cosine of first and last, which needs weights."""
    cut: float | None = 27.0
    """Score of a cut by PySceneDetect's ContentDetector, its own default; its adaptive detector also asks that it stands out."""
    dark: float | None = 20.0
    """Least mean brightness, of 255: SpatialVID's."""
    bright: float | None = 235.0
    """Most mean brightness, of 255: ours, the mirror image of ``dark``. SpatialVID's 140 throws plain skies and snow away."""
    blur: float | None = 0.65
    """Most blur, 0 sharp to 1 flat (measured): sharp renders 0.19 to 0.41; blurred by 1.5 pixels <= 0.59, by 3 >= 0.75."""
    zoom: float | None = 0.10
    """Most relative drift of the focal length (sheet)."""
    spike: float | None = 5.0
    """Longest step, in median steps (sheet)."""
    spin: float | None = 80.0
    """Most degrees a second (sheet: 5 a frame, at 16 frames a second)."""
    bounce: float | None = 0.10
    """Most change of height, as a share of the way (sheet) of one second (ours: else no clip could break it)."""
    roll: float | None = 30.0
    """Most roll, in degrees (sheet)."""
    words: int | None = None
    """Least words of the caption. Off: clips are captioned after they are cleaned; 3 after that."""
    aesthetic: float | None = None
    """Least aesthetic score by ``aesthetic_net``; LAION's are from 1 to 10, and 4.5 to 5 is a usual limit. Off by default."""
    aesthetic_stand_in: float | None = None
    """Least score, 0 to 1, by the stand-in (colour, contrast, sharpness) where no network is given. Off by default."""
    aesthetic_net: Path | None = None
    """A network that rates pictures, or gives CLIP's features for ``aesthetic_head``; TorchScript or ONNX."""
    aesthetic_head: Path | None = None
    """LAION's head on these features, as safetensors."""
    metres: float = 1.2
    """Metres a second that a walk without a scale is brought to: the official speed of a held key, 0.075 a frame at 16 fps."""

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
