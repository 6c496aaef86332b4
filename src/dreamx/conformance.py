"""``dreamx conformance FILE...``: do our definitions give the numbers of the official implementation?

A file holds inputs, small random weights under the official names and the official outputs, all float32; its tensors tell what
it is of: the causal transformer, the bidirectional one, or the trajectories of the released scripts. Everything is run through
the one definition that training and play use: ``DiT`` with ``Cache`` or ``Table``, and ``geometry``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import pad

from dreamx import flow
from dreamx.frames import Frames
from dreamx.geometry import official as scripts
from dreamx.geometry.camera import Camera, level, se3_inverse
from dreamx.model import official
from dreamx.model.attend import Cache, Table
from dreamx.model.dit import DiT

#: The largest difference that counts as agreement, in float32.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ConformanceConfig:
    """Compare with the official implementation, on files of its inputs, weights and outputs."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The .safetensors files."""
    json: bool = False
    """Print one JSON list instead of lines."""


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


@dataclass(frozen=True)
class Verdict:
    """What a file is of, and the largest absolute error of each tensor; NaN and infinity are errors like any other."""

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
    verdicts: list[Verdict] = []
    for file in cfg.files:
        verdicts.append(check(file))
        if not cfg.json:
            _show(verdicts[-1])
    if cfg.json:
        print(json.dumps([{**asdict(v), "tolerance": TOLERANCE, "passed": v.passed} for v in verdicts], indent=2))
    if not all(v.passed for v in verdicts):
        raise SystemExit(1)


def check(file: Path) -> Verdict:
    """Run one file. ValueError, one sentence with its name, when it cannot be run."""
    vectors = read(file)
    try:
        kind, run = _kind(vectors)
        with torch.inference_mode():
            return Verdict(str(file), kind, run(vectors))
    except ValueError as e:
        raise ValueError(f"{file}: {e}") from e


def read(file: Path) -> Vectors:
    """All of a file; ValueError when it is not there or not whole."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; give the .safetensors file of conformance vectors")
    try:
        with safe_open(file, "pt") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
            words = {k: _parse(v) for k, v in (f.metadata() or {}).items()}
    except Exception as e:
        raise ValueError(f"{file}: not a whole safetensors file ({e}); probably cut short: copy it again") from e
    return Vectors(tensors, words)


def causal(vectors: Vectors) -> dict[str, float]:
    """Chunk by chunk, every pass of the sampler against one cache. Source: the released autoregressive pipeline."""
    seen = bool(vectors.word("camera"))
    dit = _transformer(vectors, causal=True, camera=seen)
    window, sinks = vectors.word("config", "local_attn_size"), vectors.word("config", "sink_size")
    cache = Cache(None if window == -1 else window, sinks, alone=("view",))
    text, errors, before = _text(vectors), _schedule(vectors), None
    for name in sorted((k for k in vectors.tensors if re.fullmatch(r"call\d+\.latents", k)), key=_ordinal):
        call = name.removesuffix(".latents")
        start = int(vectors[f"{call}.first_frame"])
        if before is not None and start != before:
            cache.keep()
        before = start
        frames = _frames(vectors, vectors[name], vectors[f"{call}.timesteps"], start, seen)
        errors[f"{call}.flow"] = _error(_answer(dit, frames, text, cache), vectors[f"{call}.flow"])
    return errors


def bidirectional(vectors: Vectors) -> dict[str, float]:
    """One pass over all frames, each with its own timestep, with and without cameras."""
    text, errors = _text(vectors), {}
    for name, seen in (("flow", True), ("flow_no_camera", False)):
        if name in vectors:
            dit = _transformer(vectors, causal=False, camera=seen)
            frames = _frames(vectors, vectors["latents"], vectors["timesteps"], 0, seen)
            errors[name] = _error(_answer(dit, frames, text, Table()), vectors[name])
    return errors


def trajectories(vectors: Vectors) -> dict[str, float]:
    """Action lists to world-to-camera rows of the video, and from these to the cameras of the latents.

    Which of the two released scripts made a case shows in its intrinsics: the bidirectional one counts the principal point
    from the middle of the picture, the autoregressive one from its corner.
    """
    errors: dict[str, float] = {}
    for name in sorted((k for k in vectors.tensors if k.endswith(".w2c")), key=_ordinal):
        case = name.removesuffix(".w2c")
        lens = vectors[f"{case}.intrinsics"]
        middle = bool((lens[..., :2, 2] == 0).all())
        how = scripts.bidirectional if middle else scripts.autoregressive
        camera = how(*(vectors.word(case, part) for part in ("actions", "speeds", "num_frames")))
        if middle:
            latents = scripts.bidirectional_latents(camera)
        else:
            latents = scripts.autoregressive_latents(camera, 3 if vectors.word(case, "chunk_relative") else None)
        k = torch.eye(3)
        k[0, 0], k[1, 1], k[:2, 2] = latents.lens[0, 0], latents.lens[0, 1], 0.0 if middle else 0.5
        errors[name] = _error(scripts.rows(camera), vectors[name])
        errors[f"{case}.viewmats"] = _error(se3_inverse(latents.pose), vectors[f"{case}.viewmats"])
        errors[f"{case}.intrinsics"] = _error(k.expand_as(lens), lens)
    return errors


def _kind(vectors: Vectors) -> tuple[str, Callable[[Vectors], dict[str, float]]]:
    if "call00.latents" in vectors:
        return "causal transformer", causal
    if "flow" in vectors or "flow_no_camera" in vectors:
        return "bidirectional transformer", bidirectional
    if any(k.endswith(".w2c") for k in vectors.tensors):
        return "trajectories", trajectories
    if "reconstruction" in vectors:
        raise ValueError("holds vectors of the video autoencoder of Wan2.2, which dreamx does not have yet")
    raise ValueError("holds no conformance vectors: there is no call00.latents, flow or case0.w2c among its tensors")


def _transformer(vectors: Vectors, causal: bool, camera: bool) -> DiT:
    """Our network with the file's weights; without ``camera`` it has no camera lane, whatever the file holds."""
    config = official.read_config(vectors.word("config"), causal)
    weights = {k.removeprefix("weights."): x.float() for k, x in vectors.tensors.items() if k.startswith("weights.")}
    if not camera:
        config = replace(config, view=None)
        weights = {k: x for k, x in weights.items() if "cam_self_attn" not in k}
    return official.load(weights, config)


def _frames(vectors: Vectors, latents: Tensor, timesteps: Tensor, start: int, camera: bool) -> Frames:
    """``latents [1, C, T, H, W]`` from latent frame ``start`` on; ``timesteps [T]`` of 1000."""
    z = latents.movedim(1, 2).float()  # [1, T, C, H, W]
    b, t = z.shape[:2]
    index = torch.arange(start, start + t).expand(b, t)
    seen = _cameras(vectors, start, t) if camera else level().map(lambda x: x.expand(t, *x.shape))
    # float64, since 1000 * float32(t / 1000) is not t, and the network sees the difference.
    sigma = timesteps.double().expand(b, t) / 1000
    return Frames(z, sigma, index, seen.map(lambda x: x.expand(b, *x.shape)))


def _cameras(vectors: Vectors, start: int, frames: int) -> Camera:
    """World-to-camera ``viewmats`` and ``intrinsics``. Whatever these say, the official lane puts the principal point in
    the middle."""
    views = vectors["viewmats"].float().reshape(-1, 4, 4)[start : start + frames]
    if len(views) != frames:
        raise ValueError(f"viewmats: has no cameras for latent frames {start} to {start + frames - 1}")
    k = vectors["intrinsics"].float().reshape(-1, 3, 3)
    k = (k if len(k) == 1 else k[start : start + frames]).expand(frames, 3, 3)
    middle = torch.full((frames,), 0.5)
    return Camera(se3_inverse(views), torch.stack([k[:, 0, 0], k[:, 1, 1], middle, middle], -1))


def _text(vectors: Vectors) -> Tensor:
    """Text tokens, filled up with zeros to the length that the network always reads."""
    text, length = vectors["text_embeddings"].float(), vectors.word("config", "text_len")
    if text.shape[1] > length:
        raise ValueError(f"text_embeddings: {text.shape[1]} tokens are more than the text_len of {length}")
    return pad(text, (0, 0, 0, length - text.shape[1]))


def _answer(dit: DiT, frames: Frames, text: Tensor, attend: Cache | Table) -> Tensor:
    return dit(frames, text, attend).movedim(2, 1)


def _schedule(vectors: Vectors) -> dict[str, float]:
    """Errors of the noise schedule: a lattice from 1 down, shifted by 5, of which the few steps are points."""
    if "scheduler.sigmas" not in vectors:
        return {}
    lattice = flow.shift(torch.linspace(1, 0, len(vectors["scheduler.sigmas"]) + 1), 5.0)  # float32, as theirs: 1000 is large
    steps = vectors["denoising_timesteps"]
    nearest = 1000 * lattice[(steps[:, None] - 1000 * lattice).abs().argmin(1)]
    return {
        "scheduler.sigmas": _error(lattice[:-1], vectors["scheduler.sigmas"]),
        "scheduler.timesteps": _error(1000 * lattice[:-1], vectors["scheduler.timesteps"]),
        "denoising_timesteps": _error(nearest, steps),
    }


def _error(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise ValueError(f"expected values are {tuple(theirs.shape)}, but their inputs make {tuple(ours.shape)}")
    return float((ours.double() - theirs.double()).abs().max())


def _ordinal(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0, name


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(verdict: Verdict) -> None:
    print(f"{verdict.file}: {verdict.kind}")
    width = max(map(len, verdict.errors), default=0)
    for name, error in verdict.errors.items():
        print(f"  {name:{width}}  {error:.1e}" + ("" if error <= TOLERANCE else f"  more than {TOLERANCE}"))
    print("pass" if verdict.passed else "FAIL")
