"""Whatever a person brings as a picture: it is read, or one sentence says why not."""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image

from dreamx.picture import open_picture, read_picture
from dreamx.picture_kinds import FORMATS, halvings


def data(image: Image.Image, form: str = "PNG", **save: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **save)
    return out.getvalue()


def halves(width: int = 64, height: int = 64) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width, height // 2))
    return image


@pytest.mark.parametrize("form", [*FORMATS, "HEIF"])
def test_common_files_are_read(form: str) -> None:
    pillow_heif.register_heif_opener()  # to write one
    tensor, note = read_picture(data(halves(), form), (32, 32))
    assert (tensor.shape, tensor.dtype, note) == ((3, 32, 32), torch.uint8, "")
    assert tensor[0, 4, 16] > 200 > 60 > tensor[0, 28, 16]


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "1", "CMYK", "I;16"])
def test_all_kinds_of_colour(mode: str) -> None:
    image = Image.new("I;16", (40, 40), 500) if mode == "I;16" else halves(40, 40).convert(mode)
    tensor, _ = read_picture(data(image, "JPEG" if mode == "CMYK" else "PNG"), (16, 24))
    assert tensor.shape == (3, 16, 24)


def test_transparency_is_black_and_said() -> None:
    tensor, note = read_picture(data(Image.new("RGBA", (8, 8), (255, 255, 255, 0))), (8, 8))
    assert tensor.max() == 0 and note == "Its transparent parts are shown on black."
    assert read_picture(data(Image.new("RGBA", (8, 8), (9, 9, 9, 255))), (8, 8))[1] == ""
    palette = halves(8, 8).quantize(4)
    got = read_picture(data(palette, transparency=palette.getpixel((0, 0))), (8, 8))[0]
    assert got[:, 0, 0].tolist() == [0, 0, 0] and got[2, 7, 0] > 250


def ramp(dtype: str, most: float) -> Image.Image:
    """Black on the left, ``most`` on the right."""
    return Image.fromarray(np.broadcast_to(np.linspace(0, most, 64), (64, 64)).astype(dtype))


@pytest.mark.parametrize(
    ("image", "form", "note"),
    [
        (ramp("uint16", 65535), "PNG", ""),
        (ramp("uint16", 65535), "TIFF", ""),
        (ramp("uint16", 65535), "PPM", ""),
        (ramp("float32", 1), "TIFF", ""),
        (ramp("float32", 4000), "TIFF", "Its values 0 to 4000 are shown as black to white."),
        (ramp("int32", 1 << 30), "TIFF", "Its values 0 to 1.07374e+09 are shown as black to white."),
    ],
)
def test_deep_greys_are_scaled_and_not_clipped(image: Image.Image, form: str, note: str) -> None:
    tensor, said = read_picture(data(image, form), (64, 64))
    want = torch.linspace(0, 255, 64).expand(3, 64, 64)
    assert (tensor.float() - want).abs().max() < 1 and said == note


def test_a_dark_deep_grey_stays_dark() -> None:
    assert read_picture(data(ramp("uint16", 6553)), (64, 64))[0].max() == 25


def png_of_sixteen_bits(values: np.ndarray) -> bytes:
    """RGB ``[H, W, 3]``, which Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    h, w, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits() -> None:
    values = np.asarray(halves(16, 16)).astype(np.uint16) * 257
    assert torch.equal(read_picture(png_of_sixteen_bits(values), (16, 16))[0], read_picture(data(halves(16, 16)), (16, 16))[0])


#: Columns are red, green and blue of Display P3 in the connection space (D50); sRGB's are Pillow's own.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def profile(primaries: np.ndarray, gamma: float) -> bytes:
    """An ICC profile of three primaries."""

    def fixed(x: float) -> bytes:
        return struct.pack(">i", round(x * 65536))

    tags = {f"{c}XYZ".encode(): b"XYZ \0\0\0\0" + b"".join(map(fixed, primaries[:, i])) for i, c in enumerate("rgb")}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags |= {f"{c}TRC".encode(): curve for c in "rgb"}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_wide_gamuts_become_srgb(form: str) -> None:
    pillow_heif.register_heif_opener()
    stored = (180, 110, 90)
    image = Image.new("RGB", (32, 32), stored)
    linear = np.linalg.inv(SRGB) @ P3 @ (np.array(stored) / 255) ** 2.2
    want = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    got = read_picture(data(image, form, icc_profile=profile(P3, 2.2)), (8, 8))[0]
    assert np.abs(got.float().mean((1, 2)).numpy() - want).max() < 3 and want[0] > stored[0] + 5
    same = read_picture(data(image, form, icc_profile=b"no profile at all"), (8, 8))[0]
    assert (same.float().mean((1, 2)) - torch.tensor(stored)).abs().max() < 3


def test_the_first_of_several_pictures() -> None:
    white = Image.new("RGB", (64, 64), "white")
    for form in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        tensor, _ = read_picture(data(halves(), form, save_all=True, append_images=[white]), (32, 32))
        assert tensor[0, 4, 16] > 200 > 60 > tensor[0, 28, 16], form


def test_a_file_is_known_by_its_bytes_and_named() -> None:
    for head, words in (
        (b"<!DOCTYPE html><html>404", "a page of HTML, not a picture"),
        (b'\n{"error": "no such file"}', "a JSON file, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a film"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture, which is not read here; save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 500, "the HEIC picture is broken"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "a camera's raw file"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    ):
        with pytest.raises(ValueError, match=words):
            read_picture(head, (8, 8))


def test_a_raw_file_is_not_its_thumbnail() -> None:
    with pytest.raises(ValueError, match="a camera's raw file"):
        read_picture(data(halves(), "TIFF", tiffinfo={254: 1}), (8, 8))


def test_heic_without_its_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif.register_heif_opener()
    whole = data(halves(), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="a HEIC picture, which pillow-heif reads .*save it as JPEG"):
        read_picture(whole, (8, 8))


def test_another_aspect_is_cropped_about_the_middle_and_said() -> None:
    image = Image.new("RGB", (160, 90), "white")
    image.paste("black", (35, 0, 125, 90))
    tensor, note = read_picture(data(image), (64, 64))
    assert tensor.max() < 40
    assert note == "The picture is 160 x 90; its middle 90 x 90 is used."
    assert read_picture(data(Image.new("RGB", (90, 160))), (48, 80))[1] == "The picture is 90 x 160; its middle 90 x 54 is used."
    assert read_picture(data(Image.new("RGB", (641, 360))), (90, 160))[1] == ""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_photograph_is_turned_upright(form: str) -> None:
    pillow_heif.register_heif_opener()
    lying = halves(64, 48).transpose(Image.Transpose.ROTATE_90)  # on its left side
    lying.getexif()[0x0112] = 6
    said = {} if form == "HEIF" else {"exif": lying.getexif()}  # HEIF turns by a box of its own
    tensor, _ = read_picture(data(lying, form, **said), (24, 32))
    assert tensor[0, 2, 16] > 200 and tensor[2, 21, 16] > 200


def test_a_picture_whose_camera_knows_it_lying_stays_so() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = data(halves(64, 48).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    assert open_picture(lying)[0].size == open_picture(lying, aspect=4 / 3)[0].size == (64, 48)
    assert open_picture(lying, aspect=3 / 4)[0].size == (48, 64)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (b"%PDF-1.7 ...", "not a picture"),
        (data(halves())[:80], "broken"),
        (data(halves(200, 200), "JPEG")[:400], "broken"),
    ],
)
def test_bad_files_get_one_sentence(bad: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_picture(bad, (64, 64))


def test_huge_pictures_are_refused_before_they_are_unpacked() -> None:
    bomb = bytearray(data(Image.new("1", (8, 8))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height of the header; its checksum is wrong now
    with pytest.raises(ValueError, match="broken|not a picture|million"):
        read_picture(bytes(bomb), (64, 64))
    with pytest.raises(ValueError, match="million pixels"):
        read_picture(data(halves()), (64, 64), pixels=1000)


def test_damaged_files_never_raise_anything_else() -> None:
    rng = random.Random(0)
    pillow_heif.register_heif_opener()
    whole = [data(halves(24, 24), form) for form in (*FORMATS, "HEIF")]
    for _ in range(300):
        damaged = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            tensor, _ = read_picture(bytes(damaged), (16, 16))
        except ValueError as e:
            assert "\n" not in str(e)
        else:
            assert tensor.shape == (3, 16, 16)


def test_a_large_jpeg_2000_is_halved_while_it_is_decoded() -> None:
    """Its decoder lets no other thread run, for a second where the picture has 16 million pixels."""
    image = Image.linear_gradient("L").resize((2000, 1400), Image.Resampling.BICUBIC).convert("RGB")
    files = {n: io.BytesIO() for n in (1, 4)}
    for resolutions, file in files.items():
        image.save(file, "JPEG2000", num_resolutions=resolutions)
    assert [halvings(file.getvalue()) for file in files.values()] == [0, 3]
    got, note = read_picture(files[4].getvalue(), (64, 64))
    want, _ = read_picture(data(image, "PNG"), (64, 64))
    assert int((got.int() - want.int()).abs().max()) <= 6
    assert note == "The picture is 2000 x 1400; its middle 1400 x 1400 is used."
    with pytest.raises(ValueError, match="a JPEG 2000 of more than 2 million pixels, which is not read here"):
        read_picture(files[1].getvalue(), (64, 64))
    assert open_picture(files[1].getvalue())[0].size == (2000, 1400), "where nobody waits it is read whole"
