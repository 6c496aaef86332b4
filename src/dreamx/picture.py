"""Reading a person's picture: any common file, any shape, any size -> the one picture a world begins from."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
PIXEL_LIMIT = 50_000_000


def read_picture(data: bytes, size: tuple[int, int]) -> tuple[Tensor, str]:
    """A picture file -> uint8 ``[3, H, W]`` of ``size`` (rows, columns), and what was done to it, in one sentence or ``""``.

    Turned upright by its EXIF orientation; transparency on black; another aspect is cropped about the middle. ValueError in
    one sentence when the file is empty, no picture, broken, or of more than 50 million pixels.
    """
    if not data:
        raise ValueError("the picture is empty; choose a PNG or JPEG file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's own size warning: the limit below is stricter
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            huge = image.width * image.height > PIXEL_LIMIT
            upright = None if huge else ImageOps.exif_transpose(image).convert("RGBA")
    except Image.UnidentifiedImageError:
        raise ValueError("the file is not a picture; choose a PNG, JPEG, WebP, GIF or BMP file") from None
    except Image.DecompressionBombError:
        upright = None
    except Exception as e:  # PIL raises half a dozen kinds for broken files
        raise ValueError(f"the picture is broken ({type(e).__name__}); choose another file") from e
    if upright is None:
        raise ValueError(f"the picture has more than {PIXEL_LIMIT // 10**6} million pixels; make it smaller")
    return _fit(Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright).convert("RGB"), size)


def _fit(image: Image.Image, size: tuple[int, int]) -> tuple[Tensor, str]:
    rows, cols = size
    fitted = ImageOps.fit(image, (cols, rows), Image.Resampling.LANCZOS)
    w, h = image.size
    scale = min(w / cols, h / rows)
    used = (round(cols * scale), round(rows * scale))
    tensor = torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).contiguous()
    if abs(used[0] - w) <= 1 and abs(used[1] - h) <= 1:
        return tensor, ""
    return tensor, f"The picture is {w} x {h}; its middle {used[0]} x {used[1]} is used."
