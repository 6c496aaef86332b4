"""The truth beside the dream: a start picture of the simulator, walked in the scene that it is of.

A process of its own draws (``python -m dreamx.play.truth``), one for all sessions: it is not in the way of the network, it owns its
GL context on its one thread, and a graphics driver that crashes takes no session with it. Requests and answers are pickles on
its standard input and output; it ends with its input.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO
from weakref import finalize

import torch
from torch import Tensor

from dreamx.config import from_json
from dreamx.geometry.camera import Camera
from dreamx.world import World

_OPEN = 4  # scenes that the process keeps ready; of older ones the next picture takes a second longer


@dataclass(frozen=True)
class Whence:
    """What ``NAME.json`` beside a start picture says: ``scene(seed, style, kind)``, seen from ``start(index)``."""

    seed: int
    kind: str
    style: str
    index: int


def truth_for(world: World, start_file: Path) -> Callable[[Camera], Tensor] | None:
    """What renders the truth of a walk that begins from this picture: cameras ``[n]`` of the session -> uint8 ``[n, 3, H, W]``.

    None where the picture is not of the simulator. It may be called from any thread, and waits for the picture; RuntimeError when it
    cannot be drawn any more. ValueError, one sentence, where MuJoCo is not installed, nothing can be drawn, or the file is bad.
    """
    beside = start_file.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        whence = from_json(Whence, json.loads(beside.read_bytes()))
    except ValueError as e:
        raise ValueError(f"{beside}: {e}; delete it, or make the starts again with dreamx data starts") from e
    if find_spec("mujoco") is None:
        raise ValueError("truth: the simulator is not installed; pip install dreamx[sim]")
    rows, cols = world.size
    truth = _Truth(whence, rows, cols)
    try:
        truth(world.camera.map(lambda x: x[:0].expand(0, *x.shape)))  # builds the scene, so that what fails does so now
    except RuntimeError as e:
        raise ValueError(f"truth: {e}") from e
    return truth


class _Truth:
    """Pictures of one scene. When it is forgotten, the painter forgets the scene, too."""

    def __init__(self, whence: Whence, rows: int, cols: int) -> None:
        self._scene = (whence, rows, cols)

    def __call__(self, path: Camera) -> Tensor:
        _, rows, cols = self._scene
        lens = path.lens.cpu().float()
        data = _PAINTER.ask((self._scene, path.pose.cpu().float().numpy(), lens.numpy()))
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(len(path), 3, rows, cols)
