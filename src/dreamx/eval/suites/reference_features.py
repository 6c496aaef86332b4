"""Features and texture of true renders of one kind and look from random free poses: what dreamt frames are compared with.

At home they are of the very place; of open ground they are of many other held-out scenes of the same kind and look. Computed once
for each size of picture and each network, and kept in the folder of true renders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import place
from dreamx.data.sim.stills import render_stills
from dreamx.eval.metrics.hold import described
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.source_hash import source_hash

#: Pictures uint8 ``[N, 3, H, W]`` -> features ``[N, D]``.
Embed = Callable[[Tensor], Tensor]

PICTURES = 480  # of one kind and look
_SCENES = 24  # of open ground that they are spread over
_FIRST = FIRST_HELD_OUT_SEED + 2**31  # beyond the seeds that suites draw


def reference_features(kind: str, style: str, view: VideoFormat, embed: tuple[str, Embed], folder: Path) -> Tensor:
    """Rows ``[PICTURES, D]`` of ``hold.described``, from ``folder`` or made. ``embed``: the network, and a name of exactly it."""
    file = _file(kind, style, view, embed[0], folder)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = described(reference_pictures(kind, style, view), embed[1]).contiguous()
        with atomic.whole(file) as temporary:
            save_file({"features": made}, temporary)
    return _loaded(file)


def reference_pictures(kind: str, style: str, view: VideoFormat, count: int = PICTURES, scenes: int = _SCENES) -> Tensor:
    """True renders uint8 ``[count, 3, H, W]`` of a kind and look, from random free poses."""
    scenes = 1 if kind in HOMES else scenes
    each = -(-count // scenes)
    made: list[Tensor] = []
    for seed in range(_FIRST, _FIRST + scenes):
        rng = np.random.default_rng([seed, 47])
        made.append(render_stills(place(seed, style, kind), each, (view.height, view.width), view.lens, rng).pictures)
    return torch.cat(made)[:count]


def references_are_cached(places: set[tuple[str, str]], view: VideoFormat, network: str, folder: Path) -> bool:
    """Whether all features of these kinds and looks are in ``folder``, so that nothing has to be drawn."""
    return all(_file(kind, style, view, network, folder).exists() for kind, style in places)


def _file(kind: str, style: str, view: VideoFormat, network: str, folder: Path) -> Path:
    what = hashlib.sha256(repr((kind, style, view, network, PICTURES, _SCENES)).encode()).hexdigest()[:12]
    return folder / f"{kind}-{style}-features-{what}-{source_hash(__name__)}.safetensors"


@lru_cache(maxsize=4)
def _loaded(file: Path) -> Tensor:
    return tensor_file.load(file)["features"].clone()
