"""``dreamx conformance FILE...``: do our definitions give the numbers of the official implementation?

A file holds inputs, small random weights under the official names and the official outputs, all float32; its tensors tell what
it is of: the causal transformer, the bidirectional one, the video autoencoder, or the trajectories of the released scripts.
Everything is run through the one definition that training and play use: ``DiT`` with ``KVCache`` or ``MaskedAttention``,
``WanVAE`` and ``geometry``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated

import torch
import tyro

from dreamx.bounds import InputFile
from dreamx.conformance.trajectory_vectors import trajectories
from dreamx.conformance.transformer_vectors import bidirectional, causal
from dreamx.conformance.vae_vectors import autoencoder
from dreamx.conformance.vectors import Vectors, read
from dreamx.plaintext import named

#: The largest difference that counts as agreement, in float32.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ConformanceConfig:
    """Compare with the official implementation, on files of its inputs, weights and outputs."""

    files: Annotated[tuple[InputFile, ...], tyro.conf.Positional]
    """The .safetensors files."""
    json: bool = False
    """Print one JSON list instead of lines; an error that is no number is null there."""


@dataclass(frozen=True)
class ConformanceResult:
    """Kind of a test-vector file, and the largest absolute error of each tensor; NaN and infinity are errors like any other."""

    file: str
    kind: str
    errors: dict[str, float]

    @property
    def passed(self) -> bool:
        return bool(self.errors) and all(e <= TOLERANCE for e in self.errors.values())


def main(cfg: ConformanceConfig) -> None:
    """Print the error of every tensor, then ``pass`` or ``FAIL``; exit code 1 where a file does not agree."""
    if not cfg.files:
        raise ValueError("files: give at least one .safetensors file")
    verdicts: list[ConformanceResult] = []
    for file in cfg.files:
        verdicts.append(check(file))
        if not cfg.json:
            _show(verdicts[-1])
    if cfg.json:
        print(json.dumps([_said(v) for v in verdicts], indent=2))
    if not all(v.passed for v in verdicts):
        raise SystemExit(1)


def check(file: Path) -> ConformanceResult:
    """Run one file. ValueError, one sentence with its name, when it cannot be run."""
    vectors = read(file)
    with named(file), torch.inference_mode():
        kind, run = _kind(vectors)
        return ConformanceResult(str(file), kind, run(vectors))


def _kind(vectors: Vectors) -> tuple[str, Callable[[Vectors], dict[str, float]]]:
    if any(re.fullmatch(r"call\d+\.latents", k) for k in vectors.tensors):
        return "causal transformer", causal
    if "flow" in vectors or "flow_no_camera" in vectors:
        return "bidirectional transformer", bidirectional
    if any(k.endswith(".w2c") for k in vectors.tensors):
        return "trajectories", trajectories
    if "reconstruction" in vectors:
        return "video autoencoder", autoencoder
    raise ValueError(
        "holds no conformance vectors: there is no call00.latents, flow, reconstruction or case0.w2c among its tensors"
    )


def _said(verdict: ConformanceResult) -> dict[str, object]:
    errors = {name: e if isfinite(e) else None for name, e in verdict.errors.items()}
    return {**asdict(verdict), "errors": errors, "tolerance": TOLERANCE, "passed": verdict.passed}


def _show(verdict: ConformanceResult) -> None:
    print(f"{verdict.file}: {verdict.kind}")
    width = max(map(len, verdict.errors), default=0)
    for name, error in verdict.errors.items():
        print(f"  {name:{width}}  {error:.1e}" + ("" if error <= TOLERANCE else f"  more than {TOLERANCE}"))
    print("pass" if verdict.passed else "FAIL")
