"""``dreamx data sheet``: one picture of many clips, a row for each subset and kind, so that a person can look at them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from dreamx import atomic
from dreamx.bounds import Ending, InputFolder, OutputFile, PositiveInt
from dreamx.clip import Clip
from dreamx.data.clip_list import shots

_LABEL = 14  # pixels
_MADE = ("Software", "dreamx data sheet")


@dataclass(frozen=True)
class SheetConfig:
    """Draw a sheet of frames of clips."""

    clips: InputFolder
    """Folder of clips, or a dataset."""
    out: Annotated[OutputFile, Ending((".png",))]
    """The picture to write (.png)."""
    columns: PositiveInt = 6
    """Frames of each row, evenly in time."""

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"sheet.columns must be 1 or more, not {self.columns}")


def sheet(cfg: SheetConfig) -> None:
    """Write the picture; the first clip of each kind stands for it. ValueError where there are no clips, or another picture."""
    _refuse_other(cfg.out)
    rows: dict[tuple[str, str], tuple[str, Clip]] = {}
    for shot in shots(cfg.clips):
        clip = shot.load()
        subset, kind = clip.extra.get("subset", ""), clip.extra.get("kind", "")
        rows.setdefault((subset, kind), (f"{subset} {kind} ({clip.style}, {clip.scene})".strip(), clip))
    strips = [_strip(words, clip, cfg.columns) for _, (words, clip) in sorted(rows.items())]
    width = max(s.width for s in strips)
    out = Image.new("RGB", (width, sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        out.paste(strip, (0, top))
        top += strip.height
    made = PngInfo()
    made.add_text(*_MADE)
    with atomic.whole(cfg.out) as temporary:
        out.save(temporary, "PNG", pnginfo=made)


def _refuse_other(out: Path) -> None:
    """ValueError where ``out`` is no name of a picture, or somebody else's."""
    if out.suffix != ".png":
        raise ValueError(f"out: {out} does not end in .png; name the picture something.png")
    if not out.exists():
        return
    try:
        with Image.open(out) as there:
            ours = there.info.get(_MADE[0]) == _MADE[1]
    except OSError:
        ours = False
    if not ours:
        raise ValueError(f"out: {out} is there already and no sheet of this command; give another name")


def _strip(words: str, clip: Clip, columns: int) -> Image.Image:
    f, _, h, w = clip.video.shape
    out = Image.new("RGB", (w * columns, h + _LABEL), "white")
    ImageDraw.Draw(out).text((3, 1), words, fill="black")
    for column, frame in enumerate(np.linspace(0.04 * (f - 1), f - 1, columns).round().astype(int)):
        out.paste(Image.fromarray(clip.video[int(frame)].permute(1, 2, 0).numpy()), (w * column, _LABEL))
    return out
