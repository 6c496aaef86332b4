"""Which clips there are to encode, in a folder of ``.safetensors`` clips or in a dataset, and what of it is done already."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamx.clip import Clip

if TYPE_CHECKING:
    from dreamx.data.store import Dataset


@dataclass(frozen=True)
class Shot:
    """A clip by its file, or by its number in the dataset at ``place``."""

    place: Path
    number: int | None = None

    def load(self) -> Clip:
        """The clip; ValueError where it cannot be read."""
        return Clip.load(self.place) if self.number is None else _dataset(str(self.place)).clip(self.number)

    def __str__(self) -> str:
        return str(self.place) if self.number is None else f"{self.place}: clip {self.number}"


def shots(folder: Path) -> list[Shot]:
    """The clips of a folder in order; ValueError where there is none."""
    if (folder / "meta").is_dir():
        return [Shot(folder, i) for i in range(len(_dataset(str(folder))))]
    return [Shot(path) for path in clip_files(folder)]


def clip_files(folder: Path) -> list[Path]:
    """The ``.safetensors`` clips of a folder in order of name; ValueError where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"no clips (*.safetensors) in {folder}; render some first with `dreamx data`")
    return files


@cache
def _dataset(place: str) -> Dataset:
    from dreamx.data.store import Dataset  # here, because a folder of clips is encoded without its libraries

    return Dataset(place)


class Parts:
    """Files of finished work beside ``out``: what is done is not done again by a run that was killed, and is never mixed with
    what another configuration made (``about``)."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self._folder = out.with_name(out.name + ".parts")
        record, what = self._folder / "begun.json", json.dumps(about)
        if not record.exists() or record.read_text() != what:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            temporary = record.with_suffix(".tmp")
            temporary.write_text(what)
            os.replace(temporary, record)

    def path(self, number: int) -> Path:
        """Where part ``number`` lies, or will."""
        return self._folder / f"{number:06d}.safetensors"

    def done(self) -> None:
        """All of it is in ``out``."""
        shutil.rmtree(self._folder)


def stamp(shot: Shot) -> list[Any]:
    """A clip's file as it is now: its name, size and time; those of a dataset by the dataset's own record."""
    file = shot.place if shot.number is None else shot.place / "meta/info.json"
    about = file.stat()
    return [str(shot), about.st_size, about.st_mtime_ns]
