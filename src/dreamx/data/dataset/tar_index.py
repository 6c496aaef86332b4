"""Index the files in one tar or a folder of them, packed (``.tar.gz``, ``.tgz``, ``.tar.bz2``, ``.tar.xz``) or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from dreamx.data.dataset.storage import Storage

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
_BROKEN = (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError)
_TIMES = 100  # as large as it is packed, and a little, a tar may become: pictures and videos pack by 1 to 3
_SLACK = 2**26


@dataclass(frozen=True)
class Member:
    """A file in a tar."""

    tar: str
    offset: int
    size: int


def is_tar(name: str) -> bool:
    """Does a path or url end as a tar does?"""
    return name.lower().endswith(ENDINGS)


def tars_at(place: str) -> tuple[str, list[str]]:
    """A folder and the names in it: of the tar at ``place``, or of all tars in the folder ``place``; maybe none."""
    if is_tar(place) and not ((local := Storage(place).local) is not None and local.is_dir()):
        head, _, tail = place.rpartition("/")
        folder, names = (head or ("/" if place.startswith("/") else ".")), [tail]
        return folder, [n for n in names if Storage(folder).exists(n)]
    return place, [name for name in Storage(place).names("") if is_tar(name)]


class TarIndex:
    """The files of the tars at ``place``. Packed ones are unpacked once, into a temporary file of each process that reads them.

    ValueError, one sentence, where there is none.
    """

    def __init__(self, place: str) -> None:
        self._folder, self.tars = tars_at(place)
        if not self.tars:
            packed = ", ".join(ENDINGS[1:])
            raise ValueError(f"{place}: no tars (*.tar) are here, nor packed ones ({packed}); give one, or a folder of them")
        self._plain: dict[str, BinaryIO | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plain": {}}

    @cached_property
    def samples(self) -> dict[str, dict[str, Member]]:
        """``TAR#KEY`` -> ending -> where it lies, in order. A tar that cannot be read on gives what came before, and an entry
        ``TAR`` without files."""
        found: dict[str, dict[str, Member]] = {}
        for tar in self.tars:
            found[tar] = {}
            try:
                with self._open(tar) as f, tarfile.open(fileobj=f, mode="r:") as members:
                    for member in members:
                        path = PurePosixPath(member.name)  # ./KEY.json is KEY.json
                        key, _, suffix = path.name.partition(".")
                        if member.isfile() and suffix and key:
                            name = f"{tar}#{path.parent / key}"
                            found.setdefault(name, {})[suffix] = Member(tar, member.offset_data, member.size)
                    whole = members.offset
                    f.seek(0, io.SEEK_END)
                    short = f.tell() < whole
                    f.seek(whole)
                    if (
                        short or f.read(512).strip(b"\0") or tar in self._cut
                    ):  # a header that is cut ends tarfile's walk in silence
                        raise tarfile.ReadError("it ends in the middle of a file")
                del found[tar]
            except _BROKEN:
                continue
        return found

    def read(self, member: Member) -> bytes:
        """The bytes of a file; fewer where its tar is cut off."""
        with self._open(member.tar) as f:
            left = f.seek(0, io.SEEK_END) - member.offset  # a header may say more than there is
            f.seek(member.offset)
            return f.read(min(member.size, max(0, left)))

    @cached_property
    def _cut(self) -> set[str]:
        return set()

    def _open(self, tar: str) -> BinaryIO:
        """A tar that can be sought in, a handle of its own each time."""
        if tar not in self._plain:
            self._plain[tar] = self._unpacked(tar)
        if (plain := self._plain[tar]) is None:
            return Storage(self._folder).open(tar)
        return open(plain.name, "rb")  # a handle of its own: readers in threads do not move its place

    def _unpacked(self, tar: str) -> BinaryIO | None:
        """A packed tar as a temporary file that goes with this process; None for one that is not packed."""
        with Storage(self._folder).open(tar) as f:
            head = f.read(6)
            unpack = next((how for start, how in _PACKED if head.startswith(start)), None)
            if unpack is None:
                return None
            f.seek(0)
            out = cast("BinaryIO", tempfile.NamedTemporaryFile(suffix=".tar"))  # noqa: SIM115
            try:
                left = _TIMES * f.seek(0, io.SEEK_END) + _SLACK
                f.seek(0)
                with unpack(f) as source:
                    while left > 0 and (block := source.read(min(left, 2**20))):
                        left -= out.write(block)
                if left <= 0:
                    raise tarfile.ReadError(f"it unpacks to more than {_TIMES} times its size")
            except _BROKEN:  # what came before is read
                self._cut.add(tar)
            out.flush()
            return out
