"""Checkpoints of a run: folders ``step-00001200``, each there whole or not at all; the last two are kept.

A checkpoint is written under a temporary name and renamed when its manifest (a checksum of every file) is in place, so that
the process may be killed at any moment. Tensors go through torch.distributed.checkpoint: every process writes and reads its
own share, and another number of processes can read them. No pickle runs code here (``tensor_plan``; ``weights_only``).
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
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from dreamx.plaintext import brief, cause, read_json
from dreamx.train.tensor_plan import TensorPlanReader, read_plan

KEEP = 2


def rank() -> int:
    """Return the rank of this process; 0 when there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """Return the number of processes that train together."""
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
    torch.save(own, temporary / f"own-{rank()}.pt")  # random generators: each process has its own
    _together()
    if rank() == 0:
        files = {p.name: _checksum(p) for p in sorted(temporary.iterdir())}  # one process alone, when all have written
        shapes = {k: list(t.shape) for k, t in tensors.items()}
        manifest = {"step": step, "about": dict(about), "files": files, "tensors": shapes}
        (temporary / "manifest.json").write_text(json.dumps(manifest))
        final = root / f"step-{step:08d}"
        shutil.rmtree(final, ignore_errors=True)  # of a run that went back to an older checkpoint
        temporary.rename(final)  # atomic: a checkpoint has this name only when it is whole
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
        dist.broadcast_object_list(found, src=0)  # all must load the same one
    if found[1] and found[0] is None:
        raise ValueError(f"{found[1][-1]}, and no older one is left; delete {root} to begin again")
    return found[0], found[1]


def read(folder: Path, tensors: Mapping[str, Tensor]) -> tuple[int, Any, dict[str, Any]]:
    """Fill ``tensors`` in place; the step, this process's own values (None for a process that was not there) and ``about``.

    ValueError when the checkpoint is of other networks than the tensors, or its files hold something else.
    """
    manifest = _manifest(folder / "manifest.json")
    held, want = manifest["tensors"], {k: list(t.shape) for k, t in tensors.items()}
    for key in sorted({*held, *want}):
        if held.get(key) != want.get(key):
            raise ValueError(
                f"{folder}: {key!r} is {_shape(held.get(key))} in the checkpoint and {_shape(want.get(key))} in this stage; "
                "it is a run of another config: give another folder"
            )
    plan = read_plan(folder)
    places = plan.state_dict_metadata
    for key, t in tensors.items():
        # The manifest was checked above; torch reads by the plan, another file.
        if key not in places or list(places[key].size) != list(t.shape):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(f"{folder / '.metadata'}: has no place for {key!r} as it is; delete {folder} to go on without it")
    own = folder / f"own-{rank()}.pt"
    try:
        with _quiet():
            load(dict(tensors), storage_reader=TensorPlanReader(folder, plan), no_dist=not dist.is_initialized())
        mine = torch.load(own, weights_only=True) if own.exists() else None  # more processes than before: newcomers have none
    except (CheckpointException, Exception) as e:  # the first is no Exception; broken files break in many ways
        raise ValueError(f"{folder}: cannot be read ({cause(e)}); delete it to go on without it") from e
    return manifest["step"], mine, manifest["about"]


def _manifest(file: Path) -> dict[str, Any]:
    """A manifest with its keys. OSError or ValueError where it cannot be read."""
    found = read_json(file)
    kinds = {"step": int, "about": dict, "files": dict, "tensors": dict}
    if not isinstance(found, dict) or not all(isinstance(found.get(k), kind) for k, kind in kinds.items()):
        raise ValueError(f"{file}: is no manifest of a checkpoint; delete its folder to go on without it")
    return found


def _listed(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("step-*") if p.name[5:].isdigit())


def _broken(folder: Path) -> str | None:
    """Return the fault of a checkpoint, beginning with the file's name; None when it is whole."""
    manifest = folder / "manifest.json"
    try:
        files = _manifest(manifest)["files"]
    except (OSError, ValueError):
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
            crc = zlib.crc32(block, crc)  # against torn writes, not against attackers
    return crc


def _shape(shape: object) -> str:
    return "absent" if shape is None else brief(tuple(shape) if isinstance(shape, list) else shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns that there is no process group where there is one process; so be it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _together() -> None:
    if dist.is_initialized():
        dist.barrier()
