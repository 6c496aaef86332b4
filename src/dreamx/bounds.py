"""Limits on the values of config fields, declared at the field, and one walk that checks them.

    fps: PositiveFloat = 16.0
    clips: InputFolder

``check_values`` serves every config, also one read from JSON: ranges, and no NaN or infinity anywhere. ``check_paths`` serves
the command line alone: a checkpoint may name a folder that is long gone.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Probability = Annotated[float, Ge(0), Le(1)]
#: Seeds are counted on from, one a scene, and every generator of numbers has to take them.
Seed = Annotated[int, Ge(0), Lt(2**53)]
#: 0 lets the system choose a free one.
Port = Annotated[int, Ge(0), Le(65535)]
#: More than a machine has is slow, but 100 000 cannot be started at all, and the process dies without a word.
Threads = Annotated[int, Ge(1), Le(1024)]
#: The same for processes and threads where 0 is "as many as there are cores".
Workers = Annotated[int, Ge(0), Le(1024)]
FrameRate = Annotated[float, Ge(0.1), Le(240)]
#: Of H.264: 0 is the best, 51 the worst.
Crf = Annotated[int, Ge(0), Le(51)]
#: Degrees from edge to edge. Beyond them a pinhole's picture is a point or a plane.
FieldOfView = Annotated[float, Ge(1), Le(170)]
# Sizes of networks and of sessions. A file may say any number, and whoever builds what it says allocates it: each end is several
# times what the largest published model has, so that it never stands in the way, and far below what fells a machine by itself.
#: Channels; the largest have 16 thousand.
Width = Annotated[int, Ge(1), Le(2**16)]
#: Of attention; the largest have 128.
Heads = Annotated[int, Ge(1), Le(1024)]
#: Of a transformer; the largest have 126.
Layers = Annotated[int, Ge(1), Le(1000)]
#: Residual blocks of a level of a convolutional network; the largest have some 30.
Blocks = Annotated[int, Ge(0), Le(100)]
#: Pixels along the side of one token or place; the largest are 32.
Patch = Annotated[int, Ge(1), Le(64)]
#: Rows of a table of words; the largest tokenizers have 256 thousand.
Rows = Annotated[int, Ge(1), Le(2**22)]
#: Words or tokens of a prompt.
Words = Annotated[int, Ge(1), Le(2**14)]
#: Denoising steps; the schedules that models are trained on have 1000.
Denoising = Annotated[int, Ge(1), Le(1000)]
#: Latent frames: of a chunk, a window, a look ahead. A thousand are four minutes.
LatentCount = Annotated[int, Ge(1), Le(1024)]
#: The same where there may be none.
AnyLatentCount = Annotated[int, Ge(0), Le(1024)]
#: Clips or pictures of one training step; the largest runs have some ten thousand on all machines together.
BatchSize = Annotated[int, Ge(1), Le(2**16)]
#: Updates of a run: at a hundred a second, four months.
Updates = Annotated[int, Ge(1), Le(10**9)]
#: Frames of a clip or a window: a day at 16 frames a second is 1.4 million.
FrameCount = Annotated[int, Ge(1), Le(10**7)]
#: Levels of a convolutional network, each half as large: 2**10 pixels become one.
MAX_LEVELS = 10
#: Pixels of a picture that a network makes, and of one that is opened (16 megapixels).
MAX_PICTURE = 2**24
#: A side in pixels; more than the largest video codecs take is a slip of the finger.
Pixels = Annotated[int, Ge(8), Le(16384)]


@dataclass(frozen=True)
class Web:
    """Marks the address of a service, which is asked over HTTP."""


WebAddress = Annotated[str, Web()]


@dataclass(frozen=True)
class Existing:
    """Marks a path that is read: a file, a folder, or either."""

    file: bool = False
    folder: bool = False


@dataclass(frozen=True)
class Written:
    """Marks a path that is written: a file, or a folder."""

    folder: bool


@dataclass(frozen=True)
class Ending:
    """Marks a path whose name must end in one of ``endings`` (``.png``), in any case of letters."""

    endings: tuple[str, ...]


InputFile = Annotated[Path, Existing(file=True)]
InputFolder = Annotated[Path, Existing(folder=True)]
InputPath = Annotated[Path, Existing(file=True, folder=True)]
OutputFile = Annotated[Path, Written(folder=False)]
OutputFolder = Annotated[Path, Written(folder=True)]


@dataclass(frozen=True)
class Leaf:
    """A value that is no dataclass and no tuple. path: names of fields from the top; marks: what its type is annotated with."""

    path: tuple[str, ...]
    value: Any
    marks: tuple[Any, ...]


class FieldError(ValueError):
    """A value that a field may not hold. ``str`` is a sentence that begins with the field's dotted name."""

    def __init__(self, leaf: Leaf, fault: str) -> None:
        super().__init__(f"{'.'.join(leaf.path)} {fault}")
        self.leaf = leaf
        self.fault = fault


def leaves(config: Any) -> Iterator[Leaf]:
    """Every value in a tree of dataclasses, in the order of the fields; of a tuple its members one by one."""
    for name, hint in hints(type(config)).items():
        yield from _leaves((name,), getattr(config, name), hint, ())


def check_values(config: Any) -> None:
    """``FieldError`` for the first number that is not finite or not within the range of its field, or address that is none."""
    if _is_fine(config):
        return
    for leaf in leaves(config):
        fault = _value_fault(leaf.value, leaf.marks)
        if fault:
            raise FieldError(leaf, fault)


def check_paths(config: Any) -> None:
    """``FieldError`` for the first path that is not there, is of the wrong kind, or cannot be written."""
    for leaf in leaves(config):
        if isinstance(leaf.value, Path):
            for mark in leaf.marks:
                fault = path_fault(leaf.value, mark)
                if fault:
                    raise FieldError(leaf, fault)


def new_folders(config: Any) -> list[Path]:
    """Return the topmost missing folder of each path that a command writes."""
    found: list[Path] = []
    for leaf in leaves(config):
        if isinstance(leaf.value, Path) and any(isinstance(mark, Written) for mark in leaf.marks):
            missing = [p for p in (leaf.value.absolute(), *leaf.value.absolute().parents) if not p.exists()]
            found += missing[-1:]
    return found


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove the folders, and those below them, that hold nothing: a command that was refused leaves none behind."""
    for folder in folders:
        below = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True)
        for place in (*below, folder):
            with suppress(OSError):  # there is something in it, or it was never made
                place.rmdir()


def number_fault(value: float, marks: Sequence[Any]) -> str | None:
    """Return the fault of a number, as the end of a sentence that begins with its name; None if it is good."""
    bounds = [m for m in marks if isinstance(m, Ge | Gt | Le | Lt)]
    if (isinstance(value, int) or isfinite(value)) and all(_within(value, bound) for bound in bounds):
        return None
    words = [f"{word} {limit}" if word != "or more" else f"{limit} or more" for word, limit, _ in map(_told, bounds)]
    given = f"a number of {value.bit_length()} bits" if isinstance(value, int) and value.bit_length() > 100 else value
    return f"must be {' and '.join(words) or 'a finite number'}, not {given}"


def path_fault(path: Path, mark: Any) -> str | None:
    """The same for a path and one mark."""
    if isinstance(mark, Ending):
        good = path.name.lower().endswith(mark.endings)
        return None if good else f"must end in {' or '.join(mark.endings)}, not be {str(path)!r}"
    if isinstance(mark, Existing):
        wanted = " or ".join(["file"] * mark.file + ["folder"] * mark.folder)
        if path.is_dir():
            return None if mark.folder else f"must be a file, and {path} is a folder"
        if path.exists():
            return None if mark.file else f"must be a folder, and {path} is a file"
        return f"must be a {wanted}, and there is no such {wanted}: {path}"
    if isinstance(mark, Written):
        if mark.folder and path.exists() and not path.is_dir():
            return f"must be a folder, and {path} is a file"
        if not mark.folder and path.is_dir():
            return f"must be a file, and {path} is a folder"
        above = path if path.exists() else next(p for p in path.absolute().parents if p.exists())
        if not path.exists() and not above.is_dir():
            return f"cannot be {path}: {above} is a file, not a folder"
        if not os.access(above, os.W_OK):
            return f"cannot be {path}: {above} is not yours to write to"
    return None


@cache
def hints(cls: type) -> dict[str, Any]:
    """The fields of a dataclass with their types, annotations and all."""
    known = get_type_hints(cls, include_extras=True)
    return {f.name: known[f.name] for f in fields(cls)}


def _leaves(path: tuple[str, ...], value: Any, hint: Any, marks: tuple[Any, ...]) -> Iterator[Leaf]:
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        marks = (*marks, *more)
    if value is None:
        return
    if get_origin(hint) in (Union, UnionType):
        kinds = [h for h in get_args(hint) if h is not NoneType]
        if len(kinds) == 1:
            yield from _leaves(path, value, kinds[0], marks)
            return
    if is_dataclass(value):
        for leaf in leaves(value):
            yield Leaf((*path, *leaf.path), leaf.value, leaf.marks)
    elif isinstance(value, tuple | list):
        kinds = get_args(hint)
        for i, member in enumerate(value):
            kind = kinds[0] if len(kinds) == 2 and kinds[1] is Ellipsis else kinds[i] if i < len(kinds) else Any
            yield from _leaves(path, member, kind, marks)
    else:
        yield Leaf(path, value, marks)


def _value_fault(value: Any, marks: Sequence[Any]) -> str | None:
    """Return the fault of a leaf's value, as the end of a sentence; None if it is good."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_fault(value, marks)
    if isinstance(value, str) and any(isinstance(mark, Web) for mark in marks):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return f"must be an address like http://host:8000/v1, not {value!r}"
    return None


def _is_fine(config: Any) -> bool:
    """Whether no leaf has a fault: what ``check_values`` would say, without the names, of thousands of values in a moment."""
    return all(test(getattr(config, name)) for name, test in _tests(type(config)))


@cache
def _tests(cls: type) -> list[tuple[str, Callable[[Any], bool]]]:
    """The fields of a dataclass whose values have to be looked at, and how."""
    return [(name, test) for name, hint in hints(cls).items() if (test := _test(hint, ())) is not None]


def _test(hint: Any, marks: tuple[Any, ...]) -> Callable[[Any], bool] | None:
    """Whether a value of that type is fine; None where every one is."""
    if get_origin(hint) is Annotated:
        return _test(get_args(hint)[0], (*marks, *get_args(hint)[1:]))
    if hint in (bool, Path, NoneType) or (hint is str and not marks):
        return None
    kinds = [h for h in get_args(hint) if h is not NoneType]
    if get_origin(hint) in (Union, UnionType) and len(kinds) == 1:
        inner = _test(kinds[0], marks)
        return None if inner is None else lambda value: value is None or inner(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: _is_fine(value) if is_dataclass(value) else value is None
    if get_origin(hint) in (tuple, list) and kinds[1:] in ([], [Ellipsis]):
        each = _test(kinds[0], marks)
        return None if each is None else lambda value: isinstance(value, tuple | list) and all(map(each, value))
    return lambda value: all(_value_fault(x.value, x.marks) is None for x in _leaves((), value, hint, marks))


def _told(bound: Ge | Gt | Le | Lt) -> tuple[str, Any, Callable[[Any, Any], bool]]:
    """A bound in words, its limit, and how a number is held against it."""
    match bound:
        case Ge(limit):
            return "or more", limit, operator.ge
        case Gt(limit):
            return "more than", limit, operator.gt
        case Le(limit):
            return "at most", limit, operator.le
        case Lt(limit):
            return "less than", limit, operator.lt


def _within(value: float, bound: Ge | Gt | Le | Lt) -> bool:
    _, limit, fits = _told(bound)
    return fits(value, limit)
