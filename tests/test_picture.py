"""Whatever a person brings as a picture: it is read, or one sentence says why not."""

from __future__ import annotations

import io
import random

import pytest
import torch
from PIL import Image

from dreamx import picture
from dreamx.picture import read_picture


def data(image: Image.Image, form: str = "PNG", **save: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **save)
    return out.getvalue()


def halves(width: int = 64, height: int = 64) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width, height // 2))
    return image


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_common_files_are_read(form: str) -> None:
    tensor, note = read_picture(data(halves(), form), (32, 32))
    assert (tensor.shape, tensor.dtype, note) == ((3, 32, 32), torch.uint8, "")
    assert tensor[0, 4, 16] > 200 > 60 > tensor[0, 28, 16]


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "1", "CMYK", "I;16"])
def test_all_kinds_of_colour(mode: str) -> None:
    image = Image.new("I;16", (40, 40), 500) if mode == "I;16" else halves(40, 40).convert(mode)
    tensor, _ = read_picture(data(image, "JPEG" if mode == "CMYK" else "PNG"), (16, 24))
    assert tensor.shape == (3, 16, 24)


def test_transparency_is_black() -> None:
    assert read_picture(data(Image.new("RGBA", (8, 8), (255, 255, 255, 0))), (8, 8))[0].max() == 0


def test_another_aspect_is_cropped_about_the_middle_and_said() -> None:
    image = Image.new("RGB", (160, 90), "white")
    image.paste("black", (35, 0, 125, 90))
    tensor, note = read_picture(data(image), (64, 64))
    assert tensor.max() < 40
    assert note == "The picture is 160 x 90; its middle 90 x 90 is used."
    assert read_picture(data(Image.new("RGB", (90, 160))), (48, 80))[1] == "The picture is 90 x 160; its middle 90 x 54 is used."
    assert read_picture(data(Image.new("RGB", (641, 360))), (90, 160))[1] == ""


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    tensor, _ = read_picture(data(halves(), "JPEG", exif=exif), (32, 32))
    assert tensor[2, 4, 16] > 200


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


def test_huge_pictures_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bytearray(data(Image.new("1", (8, 8))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height of the header; its checksum is wrong now
    with pytest.raises(ValueError, match="broken|not a picture|million"):
        read_picture(bytes(bomb), (64, 64))
    monkeypatch.setattr(picture, "PIXEL_LIMIT", 1000)
    with pytest.raises(ValueError, match="million pixels"):
        read_picture(data(halves()), (64, 64))


def test_damaged_files_never_raise_anything_else() -> None:
    rng = random.Random(0)
    whole = [data(halves(24, 24), form) for form in picture.FORMATS]
    for _ in range(150):
        damaged = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            tensor, _ = read_picture(bytes(damaged), (16, 16))
        except ValueError as e:
            assert "\n" not in str(e)
        else:
            assert tensor.shape == (3, 16, 16)
