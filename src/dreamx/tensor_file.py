"""The one way in for safetensors files: their header is looked at before anything is built of it.

The library checks lengths, shapes and byte ranges against the file. What it does not: a header of a hundred megabytes may list a
million tensors of nothing, each of which becomes objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamx.plaintext import sentence

#: Tensors of one file: a session of 50,000 steps, our longest, has 100,000; released networks have some thousands.
TENSOR_LIMIT = 2**18


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A safetensors file to take tensors from. ValueError, or what the library raises, where it is none or lists too many."""
    with file.open("rb") as f:
        head = f.read(8)
        length, size = int.from_bytes(head, "little"), f.seek(0, 2)
        if len(head) < 8 or length > size - 8:
            raise ValueError(f"its header has {length} bytes, and the file {size}")
        f.seek(8)
        check_header(f.read(length))
    try:
        tensors = safe_open(file, "pt")
    except SafetensorError as e:
        raise ValueError(sentence(e, 200).removeprefix("Error while deserializing header: ")) from e
    with tensors:
        yield tensors


def load(file: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, a view of it on the disk; raises as ``opened``."""
    with opened(file) as f:
        return {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (it is no dict)


def check_bytes(data: bytes) -> None:
    """``check_header`` of a whole file in memory; the library checks the rest."""
    check_header(data[8 : 8 + int.from_bytes(data[:8], "little")])


def check_header(header: bytes) -> None:
    """ValueError where a header lists more tensors than ``TENSOR_LIMIT``."""
    if (count := header.count(b'"data_offsets"')) > TENSOR_LIMIT:
        raise ValueError(f"it lists {count} tensors, and {TENSOR_LIMIT} are read at most")
