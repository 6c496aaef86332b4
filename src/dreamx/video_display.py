"""A decoded frame of a film as a player shows it: turned by its display matrix, with square pixels, in sRGB.

Matrix and range of the colours are those of its tags; high dynamic range is brought down, wide primaries are converted.

PQ: SMPTE ST 2084; HLG: ITU-R BT.2100, with its system gamma of 1.2 at 1000 nits; reference white: 203 nits (ITU-R BT.2408).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation
from numpy.typing import NDArray
from torch import Tensor

_WHITE = 203.0
_KNEE = 0.8  # of reference white: what is darker stays as it is, what is brighter is pressed together below 1
_TO_SRGB = {
    ColorPrimaries.BT2020: np.array(
        [[1.66049, -0.58764, -0.07285], [-0.12455, 1.13290, -0.00835], [-0.01815, -0.10058, 1.11873]]
    ),
    ColorPrimaries.SMPTE432: np.array([[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09828]]),
}
_LUMA = np.array([0.2627, 0.6780, 0.0593])  # of BT.2020


class DisplayTransform:
    """Display of a stream's frames as in a player: turned, with square pixels, in sRGB. ``size``: width and height then."""

    def __init__(self, frame: Any, stream: Any) -> None:
        self.notes: list[str] = []
        self._turn = _turn_of(frame)
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
        ratio = ratio if Fraction(1, 8) <= ratio <= 8 else Fraction(1)
        w, h = frame.width, frame.height
        self._ratio = float(ratio)
        if ratio != 1:
            self.notes.append(f"its pixels are {ratio.numerator}:{ratio.denominator}, made square")
        w, h = self._square(w, h)
        self.size = (h, w) if self._turn is not None and self._turn[0] else (w, h)
        if self._turn is not None:
            self.notes.append("it is turned upright")
        if frame.interlaced_frame:
            self.notes.append("it is interlaced: each picture is made of one field")
        if name := range_of(frame):
            self.notes.append(f"it is {name}, shown as sRGB")

    def _square(self, w: int, h: int) -> tuple[int, int]:
        return (round(w * self._ratio), h) if self._ratio >= 1 else (w, round(h / self._ratio))

    def shown(self, frame: Any) -> Tensor:
        """uint8 ``[3, H, W]``."""
        picture = in_srgb(frame, self._square(frame.width, frame.height))
        if self._turn is not None:
            swap, mirror, flip = self._turn
            picture = picture.transpose(1, 0, 2) if swap else picture
            picture = picture[:: -1 if flip else 1, :: -1 if mirror else 1]
        return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)


def _turn_of(frame: Any) -> tuple[bool, bool, bool] | None:
    """The display matrix as what is done to rows and columns: swap them, then mirror left and right, flip above and below.

    None where there is none. ValueError for a turn that is no quarter.
    """
    try:
        raw = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32)
    except KeyError:
        return None
    (a, b), (c, d) = raw[:2].tolist(), raw[3:5].tolist()  # x' = a x + c y, y' = b x + d y; x right, y down
    most = max(map(abs, (a, b, c, d)))
    if not most:
        return None
    swap = abs(b) > abs(a)
    others, kept = ((a, d), (c, b)) if swap else ((b, c), (a, d))
    if max(map(abs, others)) > 0.02 * most or not all(kept):
        raise ValueError("it is to be shown turned by no quarter of a circle; turn it and write it anew")
    turn = (swap, kept[0] < 0, kept[1] < 0)
    return turn if any(turn) else None


def range_of(frame: Any) -> str:
    """The name of colours that a plain conversion would show wrongly (``"HDR (PQ)"``), or ``""``."""
    if frame.color_trc == ColorTrc.SMPTE2084:
        return "HDR (PQ)"
    if frame.color_trc == ColorTrc.ARIB_STD_B67:
        return "HDR (HLG)"
    return {ColorPrimaries.BT2020: "wide in colour (BT.2020)", ColorPrimaries.SMPTE432: "wide in colour (P3)"}.get(
        frame.color_primaries, ""
    )


def in_srgb(frame: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame as ``[H, W, 3]`` of ``size`` (width, height)."""
    w, h = size
    how = Interpolation.BICUBIC if (w, h) != (frame.width, frame.height) else None
    if not range_of(frame):
        return frame.reformat(width=w, height=h, format="rgb24", interpolation=how).to_ndarray()
    deep = frame.reformat(width=w, height=h, format="rgb48le", interpolation=how).to_ndarray()
    linear = _linear(int(frame.color_trc))[deep]
    if frame.color_trc == ColorTrc.ARIB_STD_B67:
        linear *= np.maximum(linear @ _LUMA, 1e-6)[..., None] ** 0.2 * (1000 / _WHITE)
    linear = linear @ _TO_SRGB.get(frame.color_primaries, np.eye(3)).T.astype(np.float32)
    most = linear.max(-1, keepdims=True)
    pressed = _KNEE + (1 - _KNEE) * (1 - np.exp(-(most - _KNEE) / (1 - _KNEE)))
    linear = np.where(most > _KNEE, linear * pressed / np.maximum(most, 1e-6), linear) if _is_high(frame) else linear
    return _encoded()[(linear.clip(0, 1) * 65535).round().astype(np.uint16)]


def _is_high(frame: Any) -> bool:
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


@lru_cache(4)
def _linear(curve: int) -> NDArray[np.float32]:
    """Table of light by 16-bit value, 1 being reference white (of HLG: the scene's, 1 being its brightest)."""
    x = np.arange(65536) / 65535
    if curve == ColorTrc.SMPTE2084:
        p = x ** (1 / 78.84375)
        light = 10000 / _WHITE * (np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125)
    elif curve == ColorTrc.ARIB_STD_B67:
        light = np.where(x <= 0.5, x * x / 3, (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    else:
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)  # shown by the screen that shows the rest
    return light.astype(np.float32)


@lru_cache(1)
def _encoded() -> NDArray[np.uint8]:
    """Table of sRGB by 16-bit light."""
    x = np.arange(65536) / 65535
    return (np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 255).round().astype(np.uint8)
