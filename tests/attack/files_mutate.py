"""Ways to spoil a file: as bytes, as text, as JSON, as tensors and as arrays. All of a generator, so that a number says which."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

_NUMBERS = (
    b"0",
    b"-1",
    b"1e309",
    b"-1e309",
    b"nan",
    b"inf",
    b"99999999999999999999",
    b"1" * 400,
    b"0x10",
    b"1e-320",
    b"--1",
    b"1_0",
)
_INTS = (0, -1, 1, 2, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**6, 10**9, 10**18, 10**30, 1 << 400)
_FLOATS = (0.0, -0.0, -1.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 0.5)
_WORDS = (
    "", " ", "\0", "a" * 5000, "../../../etc/passwd", "/etc/passwd", "\ud800", "\u202e\u200b", "𝔘𝔫𝔦",
    "true", "null", "%s%n", "{0.__class__}",
    "__import__('os').system('touch escaped')", "CON", "é" * 300, "\n\r\t", "-" * 70, "w*16", "1e999", "😀" * 40,
)  # fmt: skip


def value(rng: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can hold."""
    kind = rng.randrange(9)
    if kind == 0:
        return rng.choice(_INTS)
    if kind == 1:
        return rng.choice(_FLOATS)
    if kind == 2:
        return rng.choice(_WORDS)
    if kind == 3:
        return rng.choice((None, True, False, [], {}, [[]], [None], {"": None}))
    if kind == 4 and depth < 3:
        return [value(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 5 and depth < 3:
        return {rng.choice(_WORDS)[:40]: value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == 6:
        return [rng.choice(_FLOATS)] * rng.choice((1, 3, 4, 16, 1000))
    return rng.choice((rng.choice(_INTS), rng.choice(_FLOATS), rng.choice(_WORDS)))


def spots(data: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in JSON that holds a value: its list or object, and where in it."""
    waiting = [data]
    while waiting:
        here = waiting.pop()
        items = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, inner in items:
            found.append((here, key))
            waiting.append(inner)
    return found


def bend(rng: random.Random, data: Any) -> Any:
    """JSON with one to three of its values changed."""
    box = [json.loads(json.dumps(data))]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        where, key = rng.choice(spots(box, []))
        old, kind = where[key], rng.randrange(10)
        if kind < 4:
            where[key] = value(rng)
        elif kind == 4 and isinstance(where, dict):
            del where[key]
        elif kind == 5 and isinstance(where, dict):
            where[rng.choice(_WORDS)[:60]] = value(rng)
        elif kind == 6 and isinstance(old, (int, float)) and not isinstance(old, bool):
            where[key] = rng.choice((-old, old * 1000, old * 10**9, old + 1, old - 1, old / 2, old * 2, int(old), -1, 0))
        elif kind == 7 and isinstance(old, list):
            where[key] = rng.choice((old * 2, old[:-1], old * 200, old[::-1], [old], [*old, value(rng)]))
        elif kind == 8 and isinstance(old, str):
            where[key] = rng.choice((old * 300, old[: len(old) // 2], old + rng.choice(_WORDS), old.upper(), [old], {"a": old}))
        else:
            where[key] = value(rng)
    return box[0]


def said(data: Any) -> bytes:
    """JSON as bytes; halves of surrogate pairs stay escapes."""
    return json.dumps(data).encode()


def as_json(rng: random.Random, data: bytes) -> bytes:
    """JSON as JSON, or as text and bytes."""
    kind = rng.randrange(12)
    if kind == 0:
        opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
        n = rng.choice((65, 300, 990, 5000, 100_000))
        return rng.choice(
            (opened * n, opened * n + b"1" + closed * n, data[:-2] + b',"x":' + opened * n + b"0" + closed * n + b"}")
        )
    if kind == 1:
        return as_text(rng, data)
    if kind == 2:
        return as_bytes(rng, data)
    if kind == 3:  # a key that stands twice
        keys = list(re.finditer(rb'"[^"\\]*"\s*:', data))
        if keys:
            key = rng.choice(keys)
            return data[: key.start()] + key[0] + said(value(rng)) + b"," + data[key.start() :]
    try:
        return said(bend(rng, json.loads(data)))
    except (ValueError, RecursionError):
        return as_text(rng, data)


def as_lines(rng: random.Random, data: bytes) -> bytes:
    """JSON lines."""
    lines = data.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    lines[at] = as_json(rng, lines[at])
    return b"\n".join(lines) + rng.choice((b"\n", b""))


def as_text(rng: random.Random, data: bytes) -> bytes:
    """Numbers, words and lines of text."""
    kind = rng.randrange(8)
    if kind < 3:
        found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", data))
        if found:
            number = rng.choice(found)
            return data[: number.start()] + rng.choice(_NUMBERS) + data[number.end() :]
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    if kind == 3:
        lines[at : at + 1] = [lines[at]] * rng.choice((0, 2, 100, 3000))
    elif kind == 4:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    elif kind == 5:
        words = rng.choice(_WORDS).encode("utf-8", "surrogatepass")
        cut = rng.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:cut] + words + lines[at][cut:]
    elif kind == 6:
        lines.insert(at, rng.choice(_WORDS).encode("utf-8", "surrogatepass"))
    else:
        text = data.decode("utf-8", "replace")
        coding = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7"))
        return text.encode(coding, "replace")
    return b"\n".join(lines)


def as_bytes(rng: random.Random, data: bytes) -> bytes:
    """Anything as bytes."""
    out, n = bytearray(data), max(1, len(data))
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind, at = rng.randrange(10), rng.randrange(n)
        near = min(at, rng.randrange(1, 200))  # heads say what a file is
        at = rng.choice((at, near))
        if kind == 0:
            del out[at:]
        elif kind == 1:
            for _ in range(rng.choice((1, 1, 8, 64))):
                if out:
                    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            out[at : at + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(1, 64))
        elif kind == 3:
            out[at:at] = out[: rng.randrange(1, 4096)]
        elif kind == 4:
            out[at : at + 8] = struct.pack(rng.choice("<>") + "Q", rng.choice(_INTS) % 2**64)
        elif kind == 5:
            out[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_INTS) % 2**32)
        elif kind == 6:
            out[at : at + rng.randrange(1, 512)] = bytes(rng.randrange(1, 512))
        elif kind == 7:
            del out[at : at + rng.randrange(1, 256)]
        elif kind == 8:
            out += rng.randbytes(rng.randrange(1, 100))
        elif out:
            other = rng.randrange(len(out))
            out[at : at + 64], out[other : other + 64] = out[other : other + 64], out[at : at + 64]
    return rng.choice((b"", b"\0", b"{}", b"[]", b"PK\x03\x04", b"\xff" * 100)) if rng.random() < 0.02 else bytes(out)


def as_tensors(rng: random.Random, data: bytes) -> bytes:
    """Safetensors: a header that is bent, or numbers that are none."""
    length = int.from_bytes(data[:8], "little")
    head, body = data[8 : 8 + length], bytearray(data[8 + length :])
    kind = rng.randrange(9)
    if kind == 0:
        return as_bytes(rng, data)
    header = json.loads(head)
    names = [k for k in header if k != "__metadata__"]
    one = header[rng.choice(names)]
    if kind == 1:  # numbers that are none
        at, end = one["data_offsets"]
        size = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}.get(one["dtype"], 1)
        bad = {
            8: struct.pack("<d", rng.choice(_FLOATS)),
            4: struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38, -3e38))),
        }
        piece = bad.get(size, rng.choice((b"\x00\x7e", b"\x00\x7c", b"\xff\xff"))[:size])
        for _ in range(rng.choice((1, 100))):
            if end - at >= size:
                where = at + rng.randrange((end - at) // size) * size
                body[where : where + size] = piece
    elif kind == 2:
        one["dtype"] = rng.choice(("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "X9", 3, None))
    elif kind == 3:
        one["shape"] = rng.choice(
            ([], [0], [2**62], [-1, 4], [1] * 100, one["shape"][::-1], [*one["shape"], 1], [2**32, 2**32], "a")
        )
    elif kind == 4:
        del header[rng.choice(names)]
    elif kind == 5:
        header[rng.choice((*_WORDS, "x"))[:50]] = header.pop(rng.choice(names))
    elif kind == 6 and isinstance(header.get("__metadata__"), dict):
        key = rng.choice([*header["__metadata__"]])
        inner = header["__metadata__"][key].encode()
        header["__metadata__"][key] = as_json(rng, inner).decode("utf-8", "replace")
    elif kind == 7:
        nothing = {"dtype": "U8", "shape": [0], "data_offsets": [len(body), len(body)]}
        header |= {f"none{i}": nothing for i in range(rng.choice((1, 1000, 60_000)))}
    else:
        header = bend(rng, header)
    head = said(header)
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", rng.choice((len(head),) * 20 + (len(head) + 8, 2**40, 2**63))) + head + bytes(body)


def as_archive(rng: random.Random, data: bytes) -> bytes:
    """A zip of arrays, or of anything: members that are bent, very large, many, or twice."""
    kind = rng.randrange(7)
    if kind == 0:
        return as_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = [(n, file.read(n)) for n in file.namelist()]
    at = rng.randrange(len(members))
    name, inner = members[at]
    if kind == 1:  # it packs by a thousand
        big = rng.choice((2**22, 2**26, 2**27))
        shape = rng.choice((f"({big},)", f"({big // 16}, 4, 4)", f"({big // 8},)"))
        members[at] = (name, npy(rng.choice(("|u1", "<f8", "<f4")), shape, bytes(big)))
        members += [(f"b{i}.npy", members[at][1]) for i in range(rng.choice((0, 0, 3)))]
    elif kind == 2:  # it says more than it has
        shape = rng.choice(
            ("(99999999999,)", "(4000000000, 4, 4)", "(-1,)", "()", "(3, 4", "(1, 1, 1, 1, 1, 1, 1, 1, 1)", "(0, 4, 4)")
        )
        kinds = ("<f8", "|O", "<U4", ">f4", "<c16", "|V8", "<M8[ns]", "<f16", "|b1")
        members[at] = (name, npy(rng.choice(kinds), shape, inner[128:]))
    elif kind == 3:
        members[at] = (name, as_bytes(rng, inner))
    elif kind == 4:
        members[at] = (rng.choice(("../../escaped.npy", "/tmp/escaped.npy", "", "a" * 300, name.upper(), "\u202e")), inner)
    elif kind == 5:
        members += [(rng.choice((name, f"c{i}.npy")), inner) for i in range(rng.choice((1, 2000)))]
    else:
        del members[at]
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, "w", rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)) if kind != 1 else zipfile.ZIP_DEFLATED
    ) as file:
        for n, x in members:
            file.writestr(zipfile.ZipInfo(n), x, file.compression)
    return as_bytes(rng, out.getvalue()) if rng.random() < 0.1 else out.getvalue()


def npy(kind: str, shape: str, body: bytes) -> bytes:
    """A ``.npy`` file that says whatever it likes."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def as_array(rng: random.Random, data: bytes) -> bytes:
    """One array."""
    if rng.random() < 0.5:
        return as_bytes(rng, data)
    shape = rng.choice(("(99999999999,)", "(2, 4, 4)", "()", "(0,)", "(1, 3, 4)", "(-1, 4, 4)", "(8,)"))
    return npy(
        rng.choice(("<f8", "|O", ">f4", "|u1", "<f2", "|b1", "<f16")),
        shape,
        rng.choice((data[128:], b"", bytes(64), bytes(2**25))),
    )


Mutator = Callable[[random.Random, bytes], bytes]
#: By what a file is.
MUTATORS: dict[str, Mutator] = {
    "json": as_json, "lines": as_lines, "text": as_text, "bytes": as_bytes, "tensors": as_tensors, "archive": as_archive,
    "array": as_array,
}  # fmt: skip


def spoil(rng: random.Random, kind: str, data: bytes) -> bytes:
    """A file of a kind, spoilt; now and then as what it is not."""
    mutator = MUTATORS[kind] if rng.random() < 0.9 else as_bytes
    try:
        return mutator(rng, data)
    except (ValueError, LookupError, ArithmeticError, zipfile.BadZipFile, TypeError, struct.error):
        return as_bytes(rng, data)
