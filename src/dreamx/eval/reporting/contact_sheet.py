"""A contact sheet for the eye: dream above truth, time from left to right."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

_LINE = 14  # pixels of a line of text
_LEAST = 112  # pixels of width below which a picture is enlarged, by whole pixels


@dataclass(frozen=True)
class Strip:
    """One row of the sheet: what it is of, and frames ``[N, 3, H, W]`` uint8 of dream and truth at these seconds."""

    title: str
    seconds: list[float]
    dream: Tensor
    truth: Tensor


def contact_sheet(strips: list[Strip]) -> Image.Image:
    """All strips under each other."""
    scale = max(1, -(-_LEAST // strips[0].dream.shape[-1]))
    height, width = (scale * n for n in strips[0].dream.shape[-2:])
    block = 2 * _LINE + 2 * height + 6
    page = Image.new("RGB", (60 + (width + 2) * max(len(s.seconds) for s in strips), block * len(strips)), "white")
    draw = ImageDraw.Draw(page)
    for number, strip in enumerate(strips):
        top = number * block
        draw.text((4, top), strip.title, "black")
        for row, (label, frames) in enumerate((("dream", strip.dream), ("truth", strip.truth))):
            y = top + 2 * _LINE + row * (height + 2)
            draw.text((4, y + height // 2 - 6), label, "black")
            for column, (second, frame) in enumerate(zip(strip.seconds, frames, strict=True)):
                x = 60 + column * (width + 2)
                picture = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
                page.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x, y))
                if row == 0:
                    draw.text((x, top + _LINE), f"{second:.1f} s", "grey")
    return page
