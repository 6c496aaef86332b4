"""Storage of a dataset: a folder here, or any place that fsspec knows (``s3://``, ``gs://``, ``memory://``, ...)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


@dataclass(frozen=True)
class Storage:
    """A folder by its url or path. Files are named relative to it; each is written whole or not at all."""

    url: str

    @cached_property
    def _where(self) -> tuple[Any, str]:
        try:
            return fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as e:
            raise ValueError(f"{self.url}: not a place that fsspec can open ({e})") from e

    @property
    def local(self) -> Path | None:
        """The folder, where it is one of this machine; None in an object store."""
        fs, root = self._where
        return Path(root) if isinstance(fs, LocalFileSystem) else None

    def refresh(self) -> None:
        """Forget what an object store listed before: others write there, too."""
        self._where[0].invalidate_cache()

    def path(self, name: str) -> str:
        """The name as its file system wants it."""
        return f"{self._where[1].rstrip('/')}/{name}"

    def open(self, name: str) -> BinaryIO:
        """Open to read. FileNotFoundError where it is not there."""
        if self.local is not None:
            return (self.local / name).open("rb")
        return cast("BinaryIO", self._where[0].open(self.path(name), "rb"))

    def media(self, name: str) -> str | BinaryIO:
        """Return something for PyAV to open: a path of this machine, else a file that it can seek in."""
        return str(self.local / name) if self.local is not None else self.open(name)

    def read(self, name: str) -> bytes:
        """All of a file."""
        with self.open(name) as f:
            return f.read()

    def exists(self, name: str) -> bool:
        """Is there such a file or folder?"""
        return self.local.joinpath(name).exists() if self.local is not None else bool(self._where[0].exists(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted, half-written ones left out; empty where there is no folder."""
        if self.local is not None:
            place = self.local / folder
            found = [entry.name for entry in os.scandir(place) if entry.is_file()] if place.is_dir() else []
        elif self.exists(folder):
            found = [str(p).rsplit("/", 1)[-1] for p in self._where[0].ls(self.path(folder), detail=False)]
        else:
            found = []
        return sorted(name for name in found if not name.endswith(_HALF))

    def refuse_used(self, flag: str = "out") -> None:
        """ValueError where anything lies here: a run that begins would mix with it, or remove it."""
        if self.local is not None:
            if self.local.exists() and not self.local.is_dir():
                raise ValueError(f"{flag}: {self.url} is a file; give the name of a new or an empty folder")
            held = [p.name for p in self.local.iterdir()] if self.local.is_dir() else []
        else:
            fs, root = self._where
            held = [str(p).rstrip("/").rsplit("/", 1)[-1] for p in fs.ls(root, detail=False)] if fs.exists(root) else []
        half = re.compile(rf".+\.\d+{re.escape(_HALF)}")  # what a run left that was killed before it had written its first word
        if strange := sorted(name for name in held if not name.startswith(".") and not half.fullmatch(name)):
            raise ValueError(
                f"{flag}: {self.url} holds {strange[0]}, which is there already and no dataset; "
                "remove it, or give the name of a new or an empty folder"
            )

    def below(self, folder: str) -> list[str]:
        """Names of all files below a folder, with their folders, sorted; empty where there is no folder."""
        if self.local is not None:
            return sorted(p.relative_to(self.local).as_posix() for p in (self.local / folder).rglob("*") if p.is_file())
        if not self.exists(folder):
            return []
        root = self.path("")
        return sorted(str(p).removeprefix(root).lstrip("/") for p in self._where[0].find(self.path(folder)))

    def write(self, name: str, data: bytes) -> None:
        """Write a file: here through a temporary name; an object store shows an object when it is whole."""
        if self.local is None:
            self._where[0].pipe_file(self.path(name), data)
            return
        half = self._half(name)
        half.write_bytes(data)
        os.replace(half, self.local / name)

    def put(self, name: str, file: Path) -> None:
        """Move a local file to here."""
        if self.local is None:
            self._where[0].put_file(str(file), self.path(name))
            file.unlink()
            return
        half = self._half(name)
        try:
            os.replace(file, half)
        except OSError:  # another disk
            half.write_bytes(file.read_bytes())
            file.unlink()
        os.replace(half, self.local / name)

    def remove(self, name: str) -> None:
        """Remove a file or a whole folder, if it is there."""
        if self.exists(name):
            self._where[0].rm(self.path(name), recursive=True)

    def _half(self, name: str) -> Path:
        assert self.local is not None
        target = self.local / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f"{target.name}.{os.getpid()}{_HALF}")


_HALF = ".half"
