"""Locate the tensors of a run's state by torch.distributed.checkpoint's plan: a pickle, read as data and nothing else.

torch reads its ``.metadata`` with ``pickle.load``, so that a run folder of somebody else runs whatever code it likes. Here the
classes of the plan are the only names that a pickle may say; values that are no tensors, which torch would unpickle in turn, are
none of them.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch.distributed.checkpoint import metadata as plan
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.serialization import _get_layout

from dreamx.plaintext import cause

_PLAN = "torch.distributed.checkpoint.metadata"
_KNOWN: dict[tuple[str, str], Any] = {
    **{(_PLAN, c.__name__): c for c in (plan.Metadata, plan.TensorStorageMetadata, plan.TensorProperties, plan.StorageMeta)},
    **{(_PLAN, c.__name__): c for c in (plan.ChunkStorageMetadata, plan.MetadataIndex, plan._MEM_FORMAT_ENCODING)},
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): _StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): _get_layout,  # from a table of layouts
}
_AGAIN = "delete it to go back to the one before"


class TensorPlanReader(FileSystemReader):
    """torch's reader of a checkpoint folder, with a plan that ``read_plan`` opened."""

    def __init__(self, folder: Path, found: plan.Metadata) -> None:
        super().__init__(folder)
        self._plan = found

    def read_metadata(self, rank: int | None = None) -> plan.Metadata:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The plan."""
        self._plan.storage_meta = plan.StorageMeta(load_id=self.load_id)  # torch sets it where it reads the file itself
        return self._plan


def read_plan(folder: Path) -> plan.Metadata:
    """``folder/.metadata``. ValueError, one sentence, where it is damaged, or holds more than the places of tensors."""
    file = folder / ".metadata"
    try:
        found = _Plan(io.BytesIO(file.read_bytes())).load()
        entries, places = found.state_dict_metadata, found.storage_data
        whole = all(isinstance(e, plan.TensorStorageMetadata) for e in entries.values())
        whole = whole and all(isinstance(p, _StorageInfo) and _is_beside(p) for p in places.values())
    except _Forbidden as e:
        raise ValueError(f"{file}: names {e}, which a plan of tensors does not need and may run code; {_AGAIN}") from None
    except Exception as e:  # broken pickles break in many ways
        raise ValueError(f"{file}: is no plan of tensors ({cause(e)}); {_AGAIN}") from e
    if not isinstance(found, plan.Metadata) or not whole:
        raise ValueError(f"{file}: holds more than a plan of tensors in this folder; {_AGAIN}")
    return found


class _Forbidden(ValueError):
    """A name that a plan does not need."""


class _Plan(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """An unpickler that knows the classes of a plan by name, and nothing else.

    Python's own, not that of C: there a pickle of ten bytes asks for a memo of 16 GB, and gets it.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if module.partition(".")[0] == "pathlib":  # where it was written: a note, which opens nothing
            return PurePosixPath
        raise _Forbidden(f"{module}.{name}")


def _is_beside(place: _StorageInfo) -> bool:
    """Return whether it is a file of the same folder, stored without codecs."""
    name = place.relative_path
    # A path with folders in it could name any file of the machine.
    return isinstance(name, str) and Path(name).name == name and not getattr(place, "transform_descriptors", None)
