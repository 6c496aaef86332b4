"""The files of one session in its folder: of each moment the world, the picture and the steps (``store`` tells their names).

Each is on the disk, whole, before anything names it.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamx.atomic import whole
from dreamx.plaintext import cause, read_json
from dreamx.play.history import Snapshot, Span
from dreamx.replay import ReplayStep
from dreamx.session import Switches
from dreamx.world import World

_NEVER = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # this file system does not wait for anything


def write(folder: Path, kept: Snapshot, name: str) -> str:
    """The three files of a moment, the one with the steps last; a moment that is there already stays, for they do not change."""
    steps = folder / f"{name}.json"
    if not steps.exists():
        kept.world().save(folder / f"{name}.safetensors")
        sync(folder / f"{name}.safetensors")
        replace(folder / f"{name}.png", png(kept.picture))
        # A list a span, not an object: this is written every few seconds, and grows for as long as one walks.
        on = [(s.switches.memory, s.switches.camera, n, s.switches.walls, s.switches.packed) for s, n in kept.spans]
        rows = [[s.keys, s.frames, s.look, s.event, *flags] for (s, _), flags in zip(kept.spans, on, strict=True)]
        replace(steps, json.dumps({"id": kept.id, "frames": kept.frames, "chunk": kept.chunk, "spans": rows}).encode())
    return name


def read(folder: Path, name: str, fork: Callable[[], World], shared: dict[Span, Span]) -> Snapshot:
    """A moment that ``write`` wrote; its world is read when it is asked for. ValueError, one sentence, where it is not whole."""
    said, place, spans = steps_of(folder, name)
    try:
        picture = read_png(folder / f"{name}.png")
    except (OSError, ValueError) as e:
        raise not_whole(folder, e) from e
    steps = tuple(shared.setdefault(s, s) for s in spans)
    return Snapshot(said, partial(_world, folder, name, fork), picture, place[0], place[1], steps)


def _world(folder: Path, name: str, fork: Callable[[], World]) -> World:
    world = fork()
    try:
        world.load(folder / f"{name}.safetensors")
    except Exception as e:  # whatever it is: there are other moments
        text = f"session {folder.name!r} cannot go on from there ({_why(folder, e)})"
        raise ValueError(f"{text}; go back to another moment, or start a new one") from e
    return world


def steps_of(folder: Path, name: str) -> tuple[str, tuple[int, int], tuple[Span, ...]]:
    """Read a moment's id, its frames and chunk, and its steps. ValueError, one sentence, where they are not whole."""
    try:
        words = read_json(folder / f"{name}.json")
        spans = [_span(*row) for row in words["spans"]]
        return words["id"], (words["frames"], words["chunk"]), tuple(spans)
    except (OSError, KeyError, TypeError, ValueError, IndexError) as e:
        raise not_whole(folder, e) from e


def _span(
    keys: str,
    frames: int,
    look: list[float] | None,
    event: str | None,
    memory: bool,
    camera: bool,
    times: int,
    walls: bool = False,  # sessions of before have none of these
    packed: bool = True,
) -> Span:
    on = Switches(memory, camera, walls, packed)
    return ReplayStep(keys, frames, None if look is None else (look[0], look[1]), event, on), times


def not_whole(folder: Path, e: Exception) -> ValueError:
    """Return the error for a missing or damaged file of a session."""
    return ValueError(f"session {folder.name!r} is not whole ({_why(folder, e)}); start a new one")


def _why(folder: Path, e: Exception) -> str:
    """Return the cause without the folder: players read it, and need not know where a server keeps its files."""
    return cause(e).replace(f"{folder}{os.sep}", "")


def clear(folder: Path, names: Collection[str]) -> None:
    """Delete all files but those of these names, whatever their endings: of earlier saves, and halves of one that was cut off."""
    for path in folder.iterdir():
        if path.stem not in names:
            path.unlink(missing_ok=True)


def png(picture: Tensor) -> bytes:
    """A picture ``[3, H, W]`` uint8 as PNG: nothing of it is lost."""
    out = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy()).save(out, "PNG")
    return out.getvalue()


def read_png(path: Path) -> Tensor:
    """The inverse."""
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1).contiguous()


def replace(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and onto the disk."""
    with whole(path) as temporary:
        temporary.write_bytes(data)
        sync(temporary)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as e:
        if e.errno not in _NEVER:
            raise
    finally:
        os.close(file)
