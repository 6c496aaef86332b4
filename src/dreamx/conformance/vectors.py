"""A file of conformance vectors: inputs, small random weights under the official names, the official outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dreamx import tensor_file
from dreamx.plaintext import parse_json


@dataclass(frozen=True)
class Vectors:
    """The tensors of a file and its metadata, whose values are JSON wherever they can be."""

    tensors: Mapping[str, Tensor]
    words: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise ValueError(f"has no tensor {name!r}, which files of its kind hold; copy it again")
        return self.tensors[name]

    def word(self, name: str, part: str | None = None) -> Any:
        """An entry of the metadata, or a part of an entry that is a dict."""
        found, path = self.words, (name,) if part is None else (name, part)
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                raise ValueError(f"has no {'.'.join(path)} in its metadata, which files of its kind have; copy it again")
            found = found[key]
        return found

    def weights(self) -> dict[str, Tensor]:
        """The network's tensors by their official names, float32."""
        found = {k.removeprefix("weights."): x.float() for k, x in self.tensors.items() if k.startswith("weights.")}
        if not found:
            raise ValueError("has no weights.* tensors, which files of its kind hold; copy it again")
        return found


def read(file: Path) -> Vectors:
    """All of a file; ValueError when it is not there or not whole."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; give the .safetensors file of conformance vectors")
    try:
        with tensor_file.opened(file) as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
            words = {k: _parse(v) for k, v in (f.metadata() or {}).items()}
    except Exception as e:
        raise ValueError(f"{file}: not a whole safetensors file ({e}); probably cut short: copy it again") from e
    return Vectors(tensors, words)


def error(ours: Tensor, theirs: Tensor) -> float:
    """The largest absolute difference. ValueError when the shapes differ."""
    if ours.shape != theirs.shape:
        raise ValueError(f"expected values are {tuple(theirs.shape)}, but their inputs make {tuple(ours.shape)}")
    return float((ours.double() - theirs.double()).abs().max())


def ordinal(name: str) -> tuple[int, str]:
    """Sort key: the first number in a name, then the name."""
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0, name


def _parse(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text
