"""Checkpoints of a run: folders ``step-00001200``, each there whole or not at all; the last two are kept.

A checkpoint is written under a temporary name and renamed when its manifest (a checksum of every file) is in place, so that
the process may be killed at any moment. Tensors go through torch.distributed.checkpoint: every process writes and reads its
own share, and another number of processes can read them.
"""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

KEEP = 2


def rank() -> int:
    """Which process this is; 0 when there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def write(root: Path, step: int, tensors: Mapping[str, Tensor], own: object, about: Mapping[str, Any]) -> None:
    """Write ``root/step-...``: ``tensors`` shared by all processes, ``own`` (plain values) of this one, ``about`` for people."""
    temporary = root / ".writing"
    if rank() == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    _together()
    with _quiet():
        save(dict(tensors), checkpoint_id=temporary, no_dist=not dist.is_initialized())
    torch.save(own, temporary / f"own-{rank()}.pt")
    _together()
    if rank() == 0:
        files = {p.name: _checksum(p) for p in sorted(temporary.iterdir())}
        shapes = {k: list(t.shape) for k, t in tensors.items()}
        manifest = {"step": step, "about": dict(about), "files": files, "tensors": shapes}
        (temporary / "manifest.json").write_text(json.dumps(manifest))
        final = root / f"step-{step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        for old in _listed(root)[:-KEEP]:
            shutil.rmtree(old)
    _together()


def newest(root: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint, or None where there never was one, and one sentence for each broken one passed over.

    Broken ones are renamed to ``step-....broken``. ValueError when all are broken: to begin again is not ours to decide.
    """
    found: list[Any] = [None, []]
    if rank() == 0:
        said: list[str] = []
        for folder in reversed(_listed(root)):
            bad = _broken(folder)
            if bad is None:
                found[0] = folder
                break
            aside = folder.with_name(folder.name + ".broken")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            said.append(f"{bad}, so this checkpoint was passed over and set aside as {aside.name}")
        found[1] = said
    if dist.is_initialized():
        dist.broadcast_object_list(found, src=0)
    if found[1] and found[0] is None:
        raise ValueError(f"{found[1][-1]}, and no older one is left; delete {root} to begin again")
    return found[0], found[1]


def read(folder: Path, tensors: Mapping[str, Tensor]) -> tuple[int, object, dict[str, Any]]:
    """Fill ``tensors`` in place; the step, this process's own values (None for a process that was not there) and ``about``.

    ValueError when the checkpoint is of other networks than the tensors.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    held, want = manifest["tensors"], {k: list(t.shape) for k, t in tensors.items()}
    for key in sorted({*held, *want}):
        if held.get(key) != want.get(key):
            raise ValueError(
                f"{folder}: {key!r} is {_shape(held.get(key))} in the checkpoint and {_shape(want.get(key))} in this stage; "
                "it is a run of another config: give another folder"
            )
    with _quiet():
        load(dict(tensors), checkpoint_id=folder, no_dist=not dist.is_initialized())
    own = folder / f"own-{rank()}.pt"
    return manifest["step"], torch.load(own, weights_only=True) if own.exists() else None, manifest["about"]


def _listed(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("step-*") if p.name[5:].isdigit())


def _broken(folder: Path) -> str | None:
    """What is wrong with a checkpoint, beginning with the file's name; None when it is whole."""
    manifest = folder / "manifest.json"
    try:
        files = json.loads(manifest.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{manifest} is missing or not readable"
    for name, checksum in files.items():
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        if _checksum(folder / name) != checksum:
            return f"{folder / name} is not what was written (its checksum differs)"
    return None


def _checksum(file: Path) -> int:
    crc = 0
    with file.open("rb") as f:
        while block := f.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def _shape(shape: list[int] | None) -> str:
    return "absent" if shape is None else str(tuple(shape))


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns that there is no process group where there is one process; so be it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _together() -> None:
    if dist.is_initialized():
        dist.barrier()
