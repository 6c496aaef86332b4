"""Datasets of clips: written whole or not at all, read at any frame.

    from dreamx.data import dataset

    dataset.write("clips-of-today", (("walk-1", clip), ("walk-2", other)))  # names must differ; returns what was dropped, and why
    clips = dataset.read("clips-of-today")      # or a folder of .safetensors clips, tars, or a url that fsspec knows: s3://...
    len(clips), clips.names, clips.row(0)       # ClipRow: caption, source, licence, story, frames, fps, ...; opens no pictures
    clips.clip(0)                               # a whole dreamx.clip.Clip
    clips.window(0, start=16, count=33)         # frames 16 to 49, frame-exact; the story's times count from there
    clips.cameras(0)                            # poses and lenses alone

Anything that has ``names`` and ``clip(i)`` is a source that a run of stages reads (``dreamx.data.engine``): a dataset here, a
reader of somebody's files, the simulator. All clips of a dataset have one size and one frame rate. H.264 at ``Coding().crf`` is
not lossless; depth and segments are, and so is everything with ``Coding(crf=None)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from dreamx.clip import Clip
from dreamx.geometry.camera import Camera

try:
    from dreamx.data.dataset.dataset import Dataset
    from dreamx.data.dataset.folder import Folder, window
    from dreamx.data.dataset.lerobot import LeRobot
    from dreamx.data.dataset.lerobot_info import is_foreign
    from dreamx.data.dataset.pack import INFO, Packer
    from dreamx.data.dataset.part import ClipRow, make
    from dreamx.data.dataset.picture_coding import Coding
    from dreamx.data.dataset.storage import Storage
    from dreamx.data.dataset.tar_index import tars_at
    from dreamx.data.dataset.tars import Tars
except ImportError as e:
    raise ValueError(f"datasets need the extra: pip install '.[data]' in the checkout ({e})") from e

__all__ = ["ClipRow", "Clips", "Coding", "Dataset", "Folder", "Storage", "make", "read", "window", "write"]


class Clips(Protocol):
    """Anything that can be read like a dataset: ``Dataset``, ``LeRobot``, ``Folder`` and ``Tars``."""

    @property
    def names(self) -> list[str]:
        """The name of every clip."""
        ...

    def __len__(self) -> int: ...

    @property
    def rows(self) -> list[ClipRow]:
        """The row of every clip."""
        ...

    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``."""
        ...

    def clip(self, i: int) -> Clip:
        """The whole of clip ``i``."""
        ...

    def window(self, i: int, start: int, count: int) -> Clip:
        """Frames ``start`` to ``start + count`` of clip ``i``."""
        ...

    def cameras(self, i: int) -> Camera:
        """The cameras of clip ``i``, without its pictures."""
        ...

    def encoded(self, i: int) -> dict[str, bytes]:
        """The encoded streams of clip ``i`` by name; empty where nothing is encoded."""
        ...


def read(place: str) -> Clips:
    """A dataset of ours or of LeRobot's version 3 with cameras, a folder of ``.safetensors`` clips, a WebDataset tar or a folder
    of tars; ValueError where it is none of them."""
    where = Storage(str(place))
    if where.exists(INFO):
        return LeRobot(str(place)) if is_foreign(where.read(INFO)) else Dataset(str(place))
    if where.local is not None and any(where.local.glob("*.safetensors")):
        return Folder(str(where.local))
    return Tars(str(place)) if tars_at(str(place))[1] else Dataset(str(place))


def write(place: str, clips: Iterable[tuple[str, Clip]], coding: Coding | None = None) -> list[dict[str, str]]:
    """Write named clips as a dataset, in this process; returns name and reason of each clip that was dropped.

    ValueError where something is at ``place`` already. For long work that must survive being killed use ``dreamx.data.engine``.
    """
    where, coding, dropped = Storage(str(place)), coding or Coding(), list[dict[str, str]]()
    if where.exists("meta"):
        raise ValueError(f"{place}: there is something already; choose another place or remove it")
    where.refuse_used("place")
    packer = Packer(where, coding)
    for name, clip in clips:
        try:
            packer.add(make(name, clip, coding))
        except ValueError as e:
            dropped.append({"name": name, "stage": "write", "reason": str(e)})
    run: dict[str, Any] = {}
    packer.close(dropped, run)
    return dropped
