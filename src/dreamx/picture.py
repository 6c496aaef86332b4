"""Reading a person's picture: any common file, any shape, any size -> the one picture a world begins from.

Files are known by their first bytes, never by their names. Colours come out as a viewer shows them: sRGB, upright, 8 bits.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from dreamx.picture_kinds import MAX_SCANS, PICTURES, formats_of, halvings, is_raw, kind_of, refusal, scans
from dreamx.plaintext import cause

PIXEL_LIMIT = 50_000_000
_LARGE = 4_000_000  # pixels, beyond which a picture is shrunk before anything else is done to it
_SLOW = 2_000_000  # pixels of a JPEG 2000, whose decoder lets nothing else run


def read_picture(data: bytes, size: tuple[int, int], pixels: int = PIXEL_LIMIT) -> tuple[Tensor, str]:
    """A picture file -> uint8 ``[3, H, W]`` of ``size`` (rows, columns), and what was done to it, in sentences or ``""``.

    Read as ``open_picture`` does; another aspect is cropped about the middle. A large picture is shrunk as soon as it is decoded,
    a JPEG while it is, to no less than twice the size. ValueError in one sentence when the file is empty, no picture (it says
    what it is), broken, or by its header of more than so many ``pixels``.
    """
    image, note, stored = _open(data, None, pixels, 2 * max(size))
    tensor, cropped = _fit(image, size, stored)
    return tensor, " ".join(x for x in (note, cropped) if x)


def open_picture(data: bytes, aspect: float | None = None) -> tuple[Image.Image, str]:
    """A picture file -> the picture as a viewer shows it, of mode RGB, and a note where viewers differ, or ``""``.

    Turned upright by its EXIF orientation; wide gamuts become sRGB by the file's ICC profile; 16 bits are scaled to 8; of
    several pictures the first; transparency on black. ``aspect``: width over height of the camera that took it; where only the
    picture as it is stored has that shape, it is not turned, for then the camera belongs to the stored one.

    ValueError in one sentence, as ``read_picture``, and for more than 50 million pixels.
    """
    return _open(data, aspect, PIXEL_LIMIT, None)[:2]


def _open(data: bytes, aspect: float | None, pixels: int, least: int | None) -> tuple[Image.Image, str, tuple[int, int]]:
    """``open_picture``, and width and height of the upright picture in the file. ``least``: what its shorter side shrinks to."""
    if not data:
        raise ValueError("the picture is empty; choose a PNG or JPEG file")
    kind = kind_of(data)
    formats = formats_of(data, kind)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's own size warning: the limit below is stricter
            image = Image.open(io.BytesIO(data), formats=formats)
            stored = image.size
            if stored[0] * stored[1] > pixels:
                raise Image.DecompressionBombError
            if kind == "JPEG" and scans(data) > MAX_SCANS:
                raise _NotRead(f"a JPEG of more than {MAX_SCANS} scans")
            if is_raw(image, data):
                raise _NotRead("a camera's raw file")
            if kind == "JPEG 2000" and least is not None:
                _halve(image, data, least)
            shrunk = _shrunk(image, least)
            upright = _upright(shrunk, aspect)
            if shrunk is image and image.size == stored:
                stored = upright.size
            elif (upright.width > upright.height) != (stored[0] > stored[1]):
                stored = stored[1], stored[0]
            shown, note = _coloured(upright, image)
            return shown, note, stored
    except _NotRead as e:
        raise ValueError(f"the file is {e}, which is not read here; save it as PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise ValueError(f"the picture has more than {pixels // 10**6} million pixels; make it smaller") from None
    except Image.UnidentifiedImageError:
        raise ValueError(refusal(kind)) from None
    except Exception as e:  # PIL raises half a dozen kinds for broken files
        name = f"{kind} " if kind in PICTURES else ""
        raise ValueError(f"the {name}picture is broken ({cause(e)}); choose another file") from e


class _NotRead(Exception):
    """A picture of a kind that is known and not read."""


def _halve(image: Any, data: bytes, least: int) -> None:
    """Have a JPEG 2000 halved while it is decoded: 16 million pixels take a second, in which no other thread runs (GIL)."""
    times = min(halvings(data), max(0, (min(image.size) // least).bit_length() - 1))
    if image.width * image.height >> 2 * times > _SLOW:
        raise _NotRead(f"a JPEG 2000 of more than {_SLOW // 10**6} million pixels")
    image.reduce = times


def _shrunk(image: Image.Image, least: int | None) -> Image.Image:
    """The picture, decoded; a large one with its shorter side shrunk to no less than ``least``."""
    if least is None or image.width * image.height <= _LARGE:
        image.load()
        return image
    image.draft(None, (least, least))  # JPEG alone decodes to a half, a quarter or an eighth
    image.load()
    factor = min(image.size) // least
    if factor < 2:
        return image
    if image.mode in ("P", "PA", "1"):
        image = image.convert("L" if image.mode == "1" else "RGBA" if image.has_transparency_data else "RGB")
    elif image.mode.startswith("I;16"):
        image = image.convert("I")
    return image.resize((round(image.width / factor), round(image.height / factor)), Image.Resampling.BOX)


def _upright(image: Image.Image, aspect: float | None) -> Image.Image:
    """The picture turned by its EXIF orientation, unless only the stored one has the camera's shape."""
    image.load()  # TIFF turns itself here
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be read turns nothing, and the picture is still one
        return image
    if aspect is None or turned.size == image.size:
        return turned

    def off(size: tuple[int, int]) -> float:
        return abs(float(np.log(size[0] / size[1] / aspect)))

    return image if off(image.size) < off(turned.size) else turned


def _coloured(image: Image.Image, opened: Image.Image) -> tuple[Image.Image, str]:
    """A decoded picture of any mode as RGB in sRGB, and a note. ``opened`` knows the file's profile."""
    notes: list[str] = []
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image, note = _in_eight_bits(image, opened)
        notes += [note] if note else []
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode in ("P", "1", "PA"):
        image = image.convert("RGB")
    image = _srgb(image, opened.info.get("icc_profile"))
    if alpha is not None and alpha.getextrema()[0] != 255:
        image = Image.composite(image, Image.new("RGB", image.size, "black"), alpha)
        notes.append("Its transparent parts are shown on black.")
    return image, " ".join(notes)


def _in_eight_bits(image: Image.Image, opened: Image.Image) -> tuple[Image.Image, str]:
    """Greys of 16 or 32 bits or floats as mode L. Where nothing says what is white, the greatest value is, with a note."""
    exact = image.width * image.height <= _LARGE
    values = np.nan_to_num(np.asarray(image).astype(np.float64 if exact else np.float32), copy=False)
    tags: Any = getattr(opened, "tag_v2", {})
    bits = max(tags.get(0x0102, (16,))) if opened.format == "TIFF" else 16
    if image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        least, most, note = 0.0, 1.0, ""
    elif image.mode == "F" or bits > 16:
        least, most = float(values.min()), float(values.max())
        note = f"Its values {least:g} to {most:g} are shown as black to white."
    else:
        least, most, note = 0.0, 65535.0, ""
    if tags.get(0x0106) == 0:  # TIFF's "white is zero"
        values = least + most - values
    shades = (values - least) / max(most - least, 1e-12) * 255
    return Image.fromarray(shades.round().clip(0, 255).astype(np.uint8)), note


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours of a file with an ICC profile as sRGB; a profile that is broken or of another kind of colours is as none."""
    if image.mode == "LAB":
        known: Any = ImageCms.createProfile("LAB")
    elif not profile:
        return image.convert("RGB")
    else:
        try:
            known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = known.profile.xcolor_space.strip()
        except (OSError, ImageCms.PyCMSError, ValueError):
            return image.convert("RGB")
        if image.mode not in _SPACES.get(space, ()):
            if space != "RGB" or image.mode == "CMYK":
                return image.convert("RGB")
            image = image.convert("RGB")
        if "srgb" in (known.profile.profile_description or "").lower():
            return image.convert("RGB")
    try:
        intent = (
            ImageCms.Intent(known.profile.rendering_intent) if profile and image.mode != "LAB" else ImageCms.Intent.PERCEPTUAL
        )
        shown = ImageCms.profileToProfile(
            image, known, ImageCms.createProfile("sRGB"), intent, "RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION
        )
    except (ImageCms.PyCMSError, ValueError):
        return image.convert("RGB")
    assert shown is not None  # only in place it is
    return shown


_SPACES = {"RGB": ("RGB",), "GRAY": ("L",), "CMYK": ("CMYK",)}


def _fit(image: Image.Image, size: tuple[int, int], stored: tuple[int, int]) -> tuple[Tensor, str]:
    """The middle of a picture that had the width and height ``stored``, and what was left out."""
    rows, cols = size
    fitted = ImageOps.fit(image, (cols, rows), Image.Resampling.LANCZOS)
    w, h = stored
    scale = min(w / cols, h / rows)
    used = (round(cols * scale), round(rows * scale))
    tensor = torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).contiguous()
    if abs(used[0] - w) <= 1 and abs(used[1] - h) <= 1:
        return tensor, ""
    return tensor, f"The picture is {w} x {h}; its middle {used[0]} x {used[1]} is used."
