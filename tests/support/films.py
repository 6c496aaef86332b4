"""Films as other people make them: any container and codec, times of their own, turned, with pixels that are not square."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def scene(shade: int = 60, h: int = 48, w: int = 64) -> Picture:
    """Grey, red above left, green above right, blue below right."""
    picture = np.full((h, w, 3), shade, np.uint8)
    picture[: h // 4, : w // 4], picture[: h // 4, -(w // 4) :], picture[-(h // 4) :, -(w // 4) :] = (
        (250, 10, 10), (10, 250, 10), (10, 10, 250),
    )  # fmt: skip
    return picture


def write(
    path: Path,
    pictures: list[Picture],
    codec: str = "libx264",
    *,
    form: str | None = None,
    times: list[float] | None = None,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    turned: tuple[int, bool, bool] | None = None,
    ratio: Fraction | None = None,
) -> Path:
    """A film of 30 frames a second, or with a time for each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tick = Fraction(1, 90000) if times else Fraction(1, 30)
    with av.open(str(path), "w", format=form) as file:
        stream: Any = file.add_stream(codec, rate=30, options=options or {"crf": "2", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], pixels
        stream.codec_context.time_base = tick
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        if turned is not None:
            stream.set_display_rotation(turned[0], hflip=turned[1], vflip=turned[2])
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format=pixels)
            frame.time_base, frame.pts = tick, round(times[i] * 90000) if times else i
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
