"""JSON of a message in which one list may be very long: its members are read one at a time, and are packed text until then.

As objects 50,000 steps fill 40 of Python's arenas of 1 MB, and each of these stays for ever where one small object lies in it
that another thread made meanwhile: after its first long replay a server was 40 MB larger.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping

from dreamx.play.yielding import resting

KEYS = 64  # of an object that is read key by key; those of messages have nine at most
_GAP = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class TooMany(ValueError):
    """A list is longer than anybody needs."""


class Members:
    """A list of JSON as packed text. ``for`` reads its members one after the other, anew each time."""

    def __init__(self, packed: bytes, count: int) -> None:
        self._packed, self._count = packed, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[object]:
        with gzip.open(io.BytesIO(self._packed)) as lines:
            for line in lines:
                yield _DECODER.decode(line.decode())  # our own text, which was checked when it was packed


class Cursor:
    """A place in a text of JSON that moves on as it is read. ValueError where the text is none."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def value(self) -> object:
        """Read any value, as Python has it."""
        self._skip()
        begin = self._at
        try:
            found, self._at = _DECODER.raw_decode(self._text, begin)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if self._text.find("\\u", begin, self._at) >= 0:  # halves of letters, which nothing can write
            json.dumps(found, ensure_ascii=False).encode()
        return found

    def fields(self, readers: Mapping[str, Callable[[Cursor], object]]) -> object:
        """Read any value; of an object, some keys by readers of their own."""
        found: dict[str, object] = {}
        if not self._take("{"):
            return self.value()
        for _ in self._until("}", KEYS):
            if not isinstance(key := self.value(), str) or not self._take(":"):
                raise ValueError("a key is no string, or has no value")
            found[key] = readers.get(key, Cursor.value)(self)
        return found

    def members(self, most: int | None = None) -> object:
        """Read any value; a list as ``Members``. ``TooMany`` for more than so many: the rest is not read."""
        if not self._take("["):
            return self.value()
        out, count, rest = io.BytesIO(), 0, resting()
        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed, io.BufferedWriter(packed) as lines:
            for _ in self._until("]"):
                count += 1
                if count - 1 == most:
                    raise TooMany
                rest()
                self._skip()
                begin = self._at
                self.value()
                lines.write(self._text[begin : self._at].replace("\n", " ").encode() + b"\n")
        return Members(out.getvalue(), count)

    def end(self) -> None:
        """ValueError where something comes."""
        self._skip()
        if self._at < len(self._text):
            raise ValueError("there is more behind its end")

    def _until(self, end: str, most: int | None = None) -> Iterator[None]:
        """Once for each of what stands between commas before the ``end``, at most so many."""
        count = 0
        while not self._take(end):
            if count and not self._take(","):
                raise ValueError("a comma is missing")
            if count == most:
                raise ValueError(f"it has more than {most} keys")
            yield
            count += 1

    def _take(self, sign: str) -> bool:
        """Move behind this sign, if it comes next."""
        self._skip()
        there = self._text.startswith(sign, self._at)
        self._at += there
        return there

    def _skip(self) -> None:
        found = _GAP.match(self._text, self._at)
        self._at = found.end() if found else self._at
