"""NumPy's ``.npy`` and ``.npz`` without NumPy, which geometry does not know: plain numbers only, nothing is ever unpickled.

Source: the format description of numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import ldexp, prod
from typing import BinaryIO

import torch
from torch import Tensor

from dreamx.plaintext import cause

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*'([<>|=][a-z]\d+)'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    r"\s*'shape'\s*:\s*\(((?:\s*\d+\s*,)*(?:\s*\d+)?\s*)\)\s*,?\s*\}\s*",
    re.ASCII,
)
#: The same of any kind of numbers or letters, roughly: how many bytes each has at least, and how many there are.
_SHAPE = re.compile(r"'descr'\s*:\s*'[<>|=]?[A-Za-z](\d{0,9})[^']*'.*?'shape'\s*:\s*\(([^)]*)\)", re.ASCII)
_HEAD = 10_000
_LONG = "f16"  # numpy's long double: 80 bits of Intel, or 128 of IEEE
_TYPES = {
    "f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "i1": torch.int8, "i2": torch.int16, "i4": torch.int32,
    "i8": torch.int64, "u1": torch.uint8, "u2": torch.uint16, "u4": torch.uint32, "u8": torch.uint64, "b1": torch.bool,
}  # fmt: skip
_LIMIT = 2**24  # bytes of one array: two hours of cameras at 16 frames a second
_TOGETHER = 2**27  # of all arrays of a file together


def read_npy(data: bytes, name: str) -> Tensor:
    """An array of plain numbers. ValueError, one sentence with its ``name``, for anything else."""
    shape, kind, little, fortran, body = _header(data, name)
    if len(data) > _LIMIT + body:
        raise ValueError(f"{name} has {len(data)} bytes, and a trajectory {_LIMIT} at most; leave out what is none of it")
    raw = data[body:]
    if kind == _LONG:
        raw = _long_doubles(raw if little else _turned(raw, 16), name)
        kind, little = "f8", True
    dtype = _TYPES[kind]
    if len(raw) != prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} is cut short or too long: {len(raw)} bytes where its shape {list(shape)} needs another number")
    if dtype == torch.bool and raw.translate(None, b"\0\1"):
        raise ValueError(f"{name} is damaged: a truth value in it is neither true nor false")
    if not raw:
        return torch.zeros(shape, dtype=dtype)
    flat = torch.frombuffer(bytearray(raw if little else _turned(raw, dtype.itemsize)), dtype=torch.uint8).view(dtype)
    return flat.reshape(shape[::-1]).permute(*reversed(range(len(shape)))).contiguous() if fortran else flat.reshape(shape)


def _turned(raw: bytes, size: int) -> bytes:
    """Each number's bytes the other way round."""
    whole = bytearray(len(raw) // size * size)
    for i in range(size):
        whole[i::size] = raw[size - 1 - i : len(whole) : size]
    return bytes(whole)


def _long_doubles(raw: bytes, name: str) -> bytes:
    """Long doubles as doubles: Intel's 80 bits before 48 of whatever lay in memory, or IEEE's 128.

    A number of Intel's has the top bit of its fraction set, and its exponent in bytes 8 and 9.
    """
    if len(raw) % 16 or len(raw) > _LIMIT // 64:
        raise ValueError(f"{name} is cut short or too long: {len(raw)} bytes of numbers with 16 each")
    every = [raw[i : i + 16] for i in range(0, len(raw), 16)]
    powers = [int.from_bytes(b[8:10], "little") & 0x7FFF for b in every]
    usual = [p == 0x7FFF or abs(p - 16383) < 1100 for p in powers]  # NaN and infinity, or what a double holds
    intel = all(not any(b[:10]) or (b[7] >> 7 and ok) for b, ok in zip(every, usual, strict=True))
    ieee = not intel or (any(any(b) for b in every) and not any(any(b[:10]) for b in every))
    found: list[float] = []
    for b in every:
        top = int.from_bytes(b[14:16] if ieee else b[8:10], "little")
        fraction = int.from_bytes(b[:14] if ieee else b[:8], "little")
        bits, hidden = (112, 1 if top & 0x7FFF else 0) if ieee else (63, 0)
        power = top & 0x7FFF
        value = float("nan") if power == 0x7FFF else 0.0
        if power < 0x7FFF and -1100 < power - 16383 < 1024:
            value = ldexp(float(fraction + (hidden << bits)), power - 16383 - bits)
        elif power >= 16383 + 1024:
            value = float("inf") if power < 0x7FFF else value
        found.append(-value if top & 0x8000 else value)
    return struct.pack(f"<{len(found)}d", *found)


def shape_of(data: bytes, name: str) -> tuple[int, ...]:
    """The shape alone, from the beginning of the file."""
    return _header(data, name)[0]


def write_npy(x: Tensor) -> bytes:
    """An array as a ``.npy`` file of version 1."""
    kind = next(k for k, v in _TYPES.items() if v == x.dtype)
    order = "|" if x.dtype.itemsize == 1 else "<"
    shape = "(" + "".join(f"{n}, " for n in x.shape).rstrip() + ")"
    header = f"{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    values = x.contiguous().reshape(-1).view(torch.uint8) if x.numel() else torch.empty(0, dtype=torch.uint8)
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(header)) + header + bytes(values.tolist())


def read_npz(data: bytes, name: str = "it") -> dict[str, bytes]:
    """The members of an ``.npz`` as ``.npy`` files, by name; larger ones (pictures) are cut to what tells their shape.

    ValueError where what is left has more than ``_TOGETHER`` bytes: no member is unpacked beyond the size that it says.
    """
    found: dict[str, bytes] = {}
    left = _TOGETHER
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            for info in file.infolist()[:1000]:
                if info.filename.endswith(".npy"):
                    size = 2**14 if info.file_size > _LIMIT + 2**14 else info.file_size
                    if (left := left - size) < 0:
                        break
                    with file.open(info) as member:
                        found[info.filename.removesuffix(".npy")] = member.read(size)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError, struct.error) as e:
        raise ValueError(f"{name} is not a whole .npz file ({cause(e)}); copy it again") from None
    if left < 0:
        raise ValueError(f"{name} unpacks to more than {_TOGETHER // 2**20} MB; leave out what is no trajectory")
    return found


def refuse_npz_bomb(data: BinaryIO, size: int, name: str) -> None:
    """ValueError where an ``.npz`` of ``size`` bytes says that it unpacks to more than thirty times that, or a member's shape
    needs more bytes than the member has: whoever believed it would allocate them."""
    try:
        with zipfile.ZipFile(data) as file:
            every = file.infolist()
            said = sum(info.file_size for info in every)
            if said > 30 * size + _TOGETHER // 2 or len(every) > 1000:
                raise ValueError(f"{name} has {size} bytes and unpacks to {said}, which no pictures do; make it again")
            for info in every:
                with file.open(info) as member:
                    head = member.read(2**14)
                match = _SHAPE.search(head[:_HEAD].decode("latin-1"))
                shape = [int(s) for s in re.findall(r"\d{1,18}", match[2])] if match else []
                if match and prod(shape) * int(match[1] or 1) > info.file_size:
                    raise ValueError(f"{name}: {info.filename} has {info.file_size} bytes, too few for its shape {shape}")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, struct.error) as e:
        raise ValueError(f"{name} is not a whole .npz file ({cause(e)}); copy it again") from None


def write_npz(arrays: Mapping[str, Tensor]) -> bytes:
    """Arrays as an ``.npz`` file; the same arrays are the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, x in arrays.items():
            file.writestr(zipfile.ZipInfo(name + ".npy"), write_npy(x))
    return out.getvalue()


def _header(data: bytes, name: str) -> tuple[tuple[int, ...], str, bool, bool, int]:
    wide = data[6:7] in (b"\x02", b"\x03")
    start = 12 if wide else 10
    if not data.startswith(_MAGIC) or len(data) < start or data[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise ValueError(f"{name} is not a .npy file")
    length = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    text = data[start : start + length].decode("latin-1")
    match = _HEADER.fullmatch(text)
    if "'descr': '|O'" in text:
        raise ValueError(f"{name} holds no array of plain numbers but pickled objects, which are never opened; save it as floats")
    if len(text) != length or length > 10_000 or match is None or match[1][1:] not in (*_TYPES, _LONG):
        raise ValueError(f"{name} holds no array of plain numbers, or it is cut short; save it with numpy.save as floats")
    sizes = [s for s in (part.strip() for part in match[3].split(",")) if s]
    if any(len(s) > 12 for s in sizes) or len(sizes) > 8:
        raise ValueError(f"{name} is too large to be a trajectory")
    return tuple(map(int, sizes)), match[1][1:], match[1][0] != ">", match[2] == "True", start + length
