"""Kinds of picture files, known by their first bytes, and what else is told from their headers before they are decoded."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

#: Pillow's readers that are used, beside pillow-heif's: none that starts programs (EPS) or takes any bytes for its own (TGA).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "JPEG2000", "PPM", "QOI")
MAX_SCANS = 100  # of a JPEG: cameras and editors write a dozen at most, and each is a pass over the whole picture
CHOOSE = "choose a PNG, JPEG, WebP, HEIC, AVIF, TIFF, GIF or BMP file"
_SUBFILE, _DNG = 0x00FE, 0xC612

PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "JPEG 2000", "WebP", "AVIF", "HEIC", "QOI", "PPM")
#: First bytes -> the picture's format, or what else it is, with its article.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"qoif", "QOI"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "a JPEG XL picture"), (b"\0\0\0\x0cJXL ", "a JPEG XL picture"), (b"8BPS", "a Photoshop picture"),
    (b"v/1\x01", "an OpenEXR picture"), (b"#?RADIANCE", "a Radiance HDR picture"), (b"FUJIFILMCCD", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"), (b"IIRS", "a camera's raw file"), (b"IIU\0", "a camera's raw file"),
    (b"\0\0\1\0", "an icon"), (b"%PDF", "a PDF document"), (b"%!PS", "a PostScript document"), (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"), (b"\x1aE\xdf\xa3", "a film (Matroska or WebM)"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was never downloaded"),
)  # fmt: skip
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
#: Pillow's name of each kind that it reads.
_READERS = {"JPEG 2000": "JPEG2000", "WebP": "WEBP", "HEIC": "HEIF"}


def kind_of(data: bytes) -> str:
    """The format of a picture (one of ``PICTURES``), or what else the bytes are (``"a PDF document"``), or ``""``."""
    for start, kind in _BEGINNINGS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "a film (AVI)"}.get(data[8:12], "")
    if data[4:8] == b"ftyp":
        end = max(16, min(int.from_bytes(data[:4], "big"), 256))
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & (_HEIC | {b"mif1", b"msf1"}):
            return "HEIC"
        return "a camera's raw file" if b"crx " in brands else "a film (MP4 or MOV)"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    text = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "a page of HTML"
    if b"<svg" in text:
        return "an SVG drawing"
    if text.startswith(b"<?xml"):
        return "an XML file"
    if text and not any(c < 9 or 13 < c < 32 for c in text):
        return "a JSON file" if text[:1] in (b"{", b"[") else "a text file"
    return ""


def formats_of(data: bytes, kind: str) -> list[str]:
    """Pillow's readers for a file of this kind; HEIC's is loaded here. ValueError where that is not installed."""
    if kind != "HEIC":
        return [_READERS.get(kind, kind)] if kind in PICTURES else list(FORMATS)
    try:
        from pillow_heif import register_heif_opener
    except ImportError as e:
        raise ValueError(
            f"the file is a HEIC picture, which pillow-heif reads ({e}); pip install pillow-heif, or save it as JPEG"
        ) from None
    register_heif_opener()
    return ["HEIF"]


def is_raw(image: Image.Image, data: bytes) -> bool:
    """A camera's raw file looks like TIFF, and its first picture is a thumbnail."""
    tags: Any = getattr(image, "tag_v2", None)
    return image.format == "TIFF" and (data[8:10] == b"CR" or (tags is not None and (_DNG in tags or tags.get(_SUBFILE) == 1)))


def refusal(kind: str) -> str:
    if kind in PICTURES:
        return f"the {kind} picture is broken, or of a kind that is not read here; save it anew as PNG or JPEG"
    if kind.endswith(" picture") or kind in ("an SVG drawing", "an icon", "a camera's raw file"):
        return f"the file is {kind}, which is not read here; save it as PNG or JPEG"
    return f"the file is {kind}, not a picture; {CHOOSE}" if kind else f"the file is not a picture; {CHOOSE}"


def scans(data: bytes) -> int:
    """Count the scans of a JPEG, as far as it is one; counting stops beyond the limit."""
    at, scans = 2, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)) is not None and found[0] != b"\xff\xd9":
        scans += found[0] == b"\xff\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return scans


#: A marker of a JPEG with a length behind it, or its end; what else may follow 0xFF stands in the pixels.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def halvings(data: bytes) -> int:
    """Count how often a JPEG 2000 can be halved while it is decoded; 0 where it does not say."""
    at = data.find(b"\xff\x52\x00")  # the marker COD and its length
    return min(data[at + 9], 32) if 0 <= at < len(data) - 9 else 0
