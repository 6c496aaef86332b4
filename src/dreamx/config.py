"""Frozen dataclasses to JSON and back, strictly: a key too many, a key too few or a value of the wrong type is an error.

A checkpoint carries its resolved config, so every key is written and every key is expected; a default that changes later can
never change what an old checkpoint means. A part of a network that did not exist when checkpoints were written already is a field
with the metadata ``LATER``: its key may be missing, and then it has its default, which must mean that the part is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import cattrs
from cattrs.gen import make_dict_structure_fn

from dreamx.bounds import check_values
from dreamx.plaintext import brief, sentence

T = TypeVar("T")

#: Metadata of a field that came after checkpoints without it were written.
LATER = {"later": True}


def to_json(config: object) -> dict[str, Any]:
    """A dataclass instance as what ``json`` knows: dicts, lists, strings, numbers, booleans and None."""
    if not is_dataclass(config) or isinstance(config, type):
        raise ValueError(f"to_json wants an instance of a dataclass, not {config!r}")
    return cast("dict[str, Any]", _plain(_CONVERTER.unstructure(config)))


def from_json(cls: type[T], data: object) -> T:
    """An instance of the dataclass ``cls`` from what ``to_json`` gave (or ``json.loads``).

    ValueError, one sentence that names the key by its path (``vae.width``), for an unknown key, a missing key or a value
    that is not of the field's type or not within its bounds.
    """
    try:
        found = _CONVERTER.structure(data, cls)
        check_values(found)
        return found
    except cattrs.BaseValidationError as e:
        path, cause = _first(e)
        where = ".".join((cls.__name__, *path))
        raise ValueError(f"config {where}: {cause}") from e
    except ValueError as e:
        raise ValueError(f"config {cls.__name__}: {e}") from e


def _first(e: BaseException) -> tuple[list[str], BaseException]:
    """The first leaf of cattrs' tree of errors and the path of fields that leads to it."""
    path: list[str] = []
    while isinstance(e, cattrs.BaseValidationError):
        e = e.exceptions[0]
        for note in getattr(e, "__notes__", ()):
            if isinstance(note, cattrs.AttributeValidationNote):
                path.append(note.name)
            elif isinstance(note, cattrs.IterableValidationNote):
                path.append(sentence(note.index, 60))
    return path, e


def _dataclass_hook(cls: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    inner = cast("Callable[[Any, Any], Any]", make_dict_structure_fn(cls, converter))
    known = {f.name: f for f in fields(cls)}
    hints = get_type_hints(cls)
    lists = [key for key in known if _is_list(hints[key])]

    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be an object with the keys {', '.join(known)}, not {brief(value)}")
        given = cast("dict[str, Any]", value)
        for key in given:
            if key not in known:
                raise ValueError(f"the key {brief(key)} is unknown; the keys are {', '.join(known)}")
        for key, f in known.items():
            if key not in given and not f.metadata.get("later"):
                raise ValueError(f"the key {key!r} is missing{_hint(f)}")
        for key in lists:
            if given.get(key) is not None and not isinstance(given[key], list | tuple):
                raise ValueError(f"{key!r} must be a list, not {brief(given[key])}")  # "ab" would become ["a", "b"]
        return inner(given, kind)

    return structure


def _hint(f: Field[Any]) -> str:
    default = f.default_factory() if f.default_factory is not MISSING else f.default
    return "" if default is MISSING else f"; write it out (a new config has {default!r})"


def _exactly(kind: type, words: str, accept: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    """A hook that takes no value for another: cattrs alone would make 1 of True, 0 of 0.5 and True of "no"."""

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, accept) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"must be {words}, not {brief(value)}")
        return kind(value)

    return structure


def _is_many(hint: Any) -> bool:
    """A list, a tuple or a dict of which the types of the members are known."""
    return get_origin(hint) in (list, tuple, dict) and bool(get_args(hint))


def _members_hook(hint: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """A hook that stops at the first member that is wrong: cattrs alone keeps an error of 2 kB for each of them, however many."""
    kind, types = get_origin(hint), tuple(t for t in get_args(hint) if t is not Ellipsis)
    fixed = kind is tuple and Ellipsis not in get_args(hint)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict if kind is dict else list | tuple):
            raise ValueError(f"must be {'an object' if kind is dict else 'a list'}, not {brief(value)}")
        if fixed and len(value) != len(types):
            raise ValueError(f"must be a list of {len(types)}, not {brief(value)}")
        hooks = [(converter.get_structure_hook(t), t) for t in types]
        each = hooks if fixed else repeat(hooks[-1])
        given = cast("list[Any] | dict[str, Any]", value)
        members = given.values() if isinstance(given, dict) else given
        found: list[Any] = []
        try:
            for member, (hook, of) in zip(members, each, strict=False):
                found.append(hook(member, of))
        except Exception as e:
            at = list(given)[len(found)] if isinstance(given, dict) else len(found)
            e.add_note(cattrs.IterableValidationNote("", at, hint))
            raise cattrs.IterableValidationError("", [e], hint) from None  # pyright: ignore[reportCallIssue]  (its own __new__ takes three)
        if isinstance(given, dict):
            return dict(zip(given, found, strict=True))
        return found if kind is list else tuple(found)

    return structure


def _is_list(hint: Any) -> bool:
    """A list or a tuple, or one that may be None."""
    kinds = [h for h in get_args(hint) if h is not type(None)] if get_origin(hint) in (Union, UnionType) else [hint]
    return all((get_origin(k) or k) in (list, tuple) for k in kinds)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in cast("list[Any]", value)]
    return value


def _converter() -> cattrs.Converter:
    c = cattrs.Converter()
    for kind, words, accept in (
        (bool, "true or false", (bool,)),
        (int, "a whole number", (int,)),
        (float, "a number", (int, float)),
        (str, "a string", (str,)),
        (Path, "a path", (str, Path)),
    ):
        c.register_structure_hook(kind, _exactly(kind, words, accept))
    c.register_unstructure_hook(Path, lambda p: p.as_posix())

    def factory(cls: type) -> Callable[[Any, Any], Any]:
        return _dataclass_hook(cls, c)

    def many(hint: Any) -> Callable[[Any, Any], Any]:
        return _members_hook(hint, c)

    c.register_structure_hook_factory(is_dataclass, factory)
    c.register_structure_hook_factory(_is_many, many)
    return c


_CONVERTER = _converter()
