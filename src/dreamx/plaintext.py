"""Text as people's programs write it: byte-order marks, UTF-16, line ends, letters that nobody sees, numbers in names.

THE reader of every text file that somebody else made. Strict: a byte that is no text is refused with its place, never replaced.
"""

from __future__ import annotations

import json
import re
import reprlib
import unicodedata
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Of JSON: how deep lists and objects are nested at most (our own: 8), and how many letters are read at most.
DEPTH = 64
JSON_LIMIT = 2**28
_JSON_VALUES = 5_000_000  # some 64 bytes each, when they are read

_ECHO = 200  # letters
_PIECE = re.compile(r"""[(\[{]*(?:'[^']*(?:'|$)|"[^"]*(?:"|$))|[^ ]+""")

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (BOM_UTF32_LE, "utf-32-le"), (BOM_UTF32_BE, "utf-32-be"), (BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
#: Letters by their category that have no ink of their own.
_BLANK = set("ᅟᅠㅤﾠ⠀឴឵͏")
#: What keyboards and word processors write for a star, a dash, a comma, and for letters.
_SIGNS = str.maketrans(
    {**dict.fromkeys("×∗✕", "*"), **dict.fromkeys("‐‑‒–—―−", "-"), **dict.fromkeys("、،", ",")}
    | {chr(i): chr(i - 0xFEE0) for i in range(0xFF01, 0xFF5F)}  # full-width letters, digits and signs
)


def decode(data: bytes, name: str, errors: str = "strict") -> str:
    """A file's bytes as text with ``\\n`` for every line end, without marks at the beginning of lines.

    UTF-8, or UTF-16 and UTF-32 by their mark or, without one, by where their zero bytes lie. ValueError, one sentence with the
    file's ``name`` (may be empty) and the place, for bytes that are no text and for NUL.
    """
    said = f"{name}: " if name else ""
    mark, coding = next(((m, c) for m, c in _MARKS if data.startswith(m)), (b"", ""))
    coding = coding or _by_zeros(data)
    try:
        text = data[len(mark) :].decode(coding, errors)
    except UnicodeDecodeError as e:
        at = e.start + len(mark)
        what = coding.removesuffix("-le").removesuffix("-be").upper()
        line = data[:at].count(b"\n") + 1
        raise ValueError(f"{said}byte {at} (0x{data[at]:02x}, in line {line}) is not {what}; save it as text in UTF-8") from None
    if "\0" in text:
        at = text.index("\0")
        where = data.index(b"\0") if coding == "utf-8" else len(mark) + len(text[:at].encode(coding))
        raise ValueError(f"{said}byte {where} is NUL, so it is no text or a damaged one; save it as text in UTF-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("(?m)^\ufeff+", "", text)  # files that were joined have a mark in the middle


def _by_zeros(data: bytes) -> str:
    """The coding of text without a mark: blanks, digits and line ends have zero bytes in UTF-16 and UTF-32, all on one side."""
    if b"\0" not in data:
        return "utf-8"
    zeros = [data[i::4].count(0) for i in range(4)] if len(data) % 4 == 0 else []
    whole = len(data) // 4
    if zeros and zeros[2] == zeros[3] == whole and not zeros[0]:
        return "utf-32-le"
    if zeros and zeros[0] == zeros[1] == whole and not zeros[3]:
        return "utf-32-be"
    even, odd = data[::2].count(0), data[1::2].count(0)
    if len(data) % 2 or (even and odd):
        return "utf-8"
    every = max(even, odd) == len(data) // 2
    try:  # a stray NUL in other text is no UTF-16
        data.replace(b"\0", b"").decode()
        other = True
    except UnicodeDecodeError:
        other = False
    return "utf-8" if other and not every else "utf-16-le" if odd else "utf-16-be"


def read_text(path: Path) -> str:
    """A file as text, see ``decode``. OSError where it cannot be opened."""
    return decode(path.read_bytes(), str(path))


def read_json(path: Path, most: int | None = None) -> Any:
    """A file as JSON. OSError where it cannot be opened; ValueError, one sentence with file and line, where it is none.

    most: the bytes that it may have.
    """
    if (size := path.stat().st_size) > (most or JSON_LIMIT):
        raise ValueError(f"{path}: has {size} bytes, and {most or JSON_LIMIT} are read at most; it is too large for what it is")
    return parse_json(path.read_bytes(), str(path))


def parse_json(data: str | bytes, name: str = "", once: bool = False) -> Any:
    """JSON, THE way from text to values: not nested deeper than ``DEPTH``, of bounded size, whole numbers within 64 bits.

    ValueError, one sentence with its ``name`` (may be empty) and the line, where it is none. Bytes may be text of any coding
    (``decode``). once: no key may stand twice in one object.
    """
    text = decode(data, name, "surrogatepass") if isinstance(data, bytes) else data
    said = f"{name}: " if name else ""
    if len(text) > JSON_LIMIT or sum(map(text.count, ",[{")) > _JSON_VALUES:
        raise ValueError(f"{said}it is too large: {len(text)} letters; at most {_JSON_VALUES} values are read")
    try:
        found = json.loads(text, parse_int=_whole, object_pairs_hook=_once if once else None)
    except RecursionError:
        raise ValueError(f"{said}it is nested too deeply") from None
    except json.JSONDecodeError as e:
        raise ValueError(f"{said or 'it is '}not JSON ({e.msg}, line {e.lineno})") from None
    except _Unfit as e:
        raise ValueError(f"{said}{e}") from None
    level = [found]
    for _ in range(DEPTH):
        level = [v for x in level if isinstance(x, dict | list) for v in (x.values() if isinstance(x, dict) else x)]
        if not level:
            return found
    raise ValueError(f"{said}it is nested too deeply")


class _Unfit(ValueError):
    """JSON that is valid and not accepted."""


def _whole(digits: str) -> int:
    """A whole number that a float can hold, too: Python's have no end, and break whatever meets them."""
    if len(digits) > 20:
        raise _Unfit("a number in it is too long")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unfit("a key stands twice in one object")
    return found


def lines(text: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers counted from 1; ``#`` begins a comment line."""
    found = ((i, line.strip()) for i, line in enumerate(text.split("\n"), 1))
    return [(i, line) for i, line in found if line and not line.startswith("#")]


def folded(text: str) -> str:
    """Text that is meant for a program as plain letters: full-width ones folded, those that nobody sees left out."""
    plain = (" " if unicodedata.category(c) == "Zs" else c for c in text.translate(_SIGNS))
    return "".join(c for c in plain if c in "\n\t" or not (unicodedata.category(c) in ("Cf", "Cc") or _unseen(c)))


def shown(text: str, most: int = 60) -> str:
    """Text in quotation marks for a sentence, at most so much of it; letters that nobody sees by their names."""
    cut = text if len(text) <= most else text[:most] + "..."
    return "'" + "".join(c if c.isprintable() and not _unseen(c) else f"<{letter(c)}>" for c in cut) + "'"


def brief(value: object, most: int = 80) -> str:
    """``repr(value)`` for a sentence, cut to about ``most`` characters; of a huge value the rest is never written out, either."""
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = writer.maxlong = most
    writer.maxlevel = 4
    try:
        text = writer.repr(value)
    except ValueError:  # Python's limit of digits
        text = "a number of too many digits"
    return text if len(text) <= most else text[: most - 3] + "..."


def sentence(text: object, most: int = 400) -> str:
    """An error as it is said and logged: on one line, without letters that would move a terminal, at most so many of them.

    It may repeat what somebody wrote: of a word, or of what stands in quotation marks, the middle is left out beyond 200 letters.
    """
    cut = str(text)[: 50 * most]  # what is long in it is cut next
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(cut.split()))
    line = _PIECE.sub(lambda x: x[0] if len(x[0]) <= _ECHO else f"{x[0][: _ECHO - 53]}...{x[0][-50:]}", line)
    return line if len(line) <= most else line[: most - 3] + "..."


def cause(e: BaseException) -> str:
    """Why something could not be read, as words within a sentence: never the name of an exception's class."""
    if isinstance(e, KeyError):
        return f"it has no {brief(e.args[0])}" if e.args else "something in it is missing"
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    if isinstance(e, TypeError | AttributeError | IndexError):
        return "something in it is of another kind or length than it must be"
    if isinstance(e, MemoryError | OverflowError):
        return "a number in it is too large"
    said = sentence((str(e).splitlines() or [""])[0], 200).rstrip(".")
    return "it is cut or damaged" if not said or " at 0x" in said else said


@contextmanager
def named(what: object, known: object = None) -> Iterator[None]:
    """Put ``what``, a file or a field, before every ValueError raised inside; unless that begins with ``known``, its folder."""
    try:
        yield
    except ValueError as e:
        if known is not None and str(e).startswith(str(known)):
            raise
        raise ValueError(f"{what}: {e}") from e


@contextmanager
def readable(path: object, kind: str, remedy: str) -> Iterator[None]:
    """Say of whatever is raised inside that the file is not a readable one of its ``kind``, why, and the remedy: a ValueError."""
    try:
        yield
    except Exception as e:  # of a damaged file anything may be of another kind
        raise ValueError(f"{path}: not a readable {kind} ({cause(e)}); {remedy}") from e


def letter(c: str) -> str:
    """The name of a letter: ``U+200B ZERO WIDTH SPACE``."""
    return f"U+{ord(c):04X} {unicodedata.name(c, '')}".strip()


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which ``frame_2`` comes before ``frame_10``; of equal numbers, the one with fewer zeros in front."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(1, int(p), "") if i % 2 else (2, 0, p) for i, p in enumerate(parts) if p] + [(0, 0, name)]


def _unseen(c: str) -> bool:
    return c in _BLANK or 0xFE00 <= ord(c) <= 0xFE0F or 0xE0100 <= ord(c) <= 0xE01EF or 0x180B <= ord(c) <= 0x180F
