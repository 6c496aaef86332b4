"""Numbers of a recipe from the command line: ``causal.run.steps=100``, a step, the way to a field of its config, and a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from dreamx.bounds import check_values, hints
from dreamx.config import from_json, to_json
from dreamx.plaintext import parse_json, sentence
from dreamx.recipes.step import Recipe

T = TypeVar("T")


def override_recipe(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe with each of ``words`` (``STAGE.FIELD=VALUE``) in place. ValueError, one sentence, for what is not there."""
    steps = {step.name: step for step in recipe}
    found: dict[str, list[str]] = {}
    for word in words:
        name, dot, rest = word.partition(".")
        if not (dot and rest and "=" in rest) or "=" in name:
            raise ValueError(f"set: {sentence(word, 60)!r} must be STAGE.FIELD=VALUE, as causal.run.steps=100")
        if name not in steps:
            raise ValueError(f"set: {sentence(name, 60)!r} is no stage of this recipe; the stages are {', '.join(steps)}")
        found.setdefault(name, []).append(rest)
    for name, settings in found.items():
        if not is_dataclass(steps[name].cfg):
            raise ValueError(f"set: the stage {name} has no settings")
        steps[name] = replace(steps[name], cfg=override(steps[name].cfg, settings, f"{name}."))
    return tuple(steps.values())


def override(config: T, settings: Sequence[str], prefix: str = "") -> T:
    """The config with ``settings`` (``run.steps=100``, a dotted path and a value of the field's type), all at once.

    ValueError, one sentence, where a field is not there or cannot hold that; ``prefix`` stands before its path.
    """
    data = to_json(config)
    for setting in settings:
        path, _, value = setting.partition("=")
        at, here = data, config
        *way, last = path.split(".")
        for i, name in enumerate(way):
            _field(here, name, f"set: {prefix}{path}")
            at, here = at[name], getattr(here, name)
            if not is_dataclass(here):
                inner = "nothing (None)" if here is None else "no settings of its own"
                so_far, rest = ".".join(way[: i + 1]), ".".join([*way[i + 1 :], last])
                raise ValueError(f"set: {prefix}{path}: {so_far} holds {inner}, so there is no {rest} in it")
        hint, inner = _field(here, last, f"set: {prefix}{path}"), getattr(here, last)
        if is_dataclass(inner) and _text(value) is not None:
            raise ValueError(f"set: {prefix}{path} is a group of settings, not one; its fields are {_names(inner)}")
        at[last] = _read(value, hint)
    try:
        made = from_json(type(config), data)
        check_values(made)
    except ValueError as e:
        raise ValueError(f"set: {', '.join(prefix + sentence(s, 60) for s in settings)} cannot be: {e}") from e
    return made


def _field(config: Any, name: str, said: str) -> Any:
    """The type of a field. ValueError where a config has none of that name."""
    known = hints(type(config))
    if name not in known:
        raise ValueError(f"{said}: {sentence(name, 60)!r} is no field; the fields are {_names(config)}")
    return known[name]


def _names(config: Any) -> str:
    return ", ".join(f.name for f in fields(config))


def _kinds(hint: Any) -> list[Any]:
    """The types that a field may have, without their marks."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in _kinds(part)]
    return [get_origin(hint) or hint]


def _text(value: str) -> str | None:
    """The value as it was typed; None where it says None."""
    return None if value.lower() in ("none", "null") else value


def _read(value: str, hint: Any) -> Any:
    """Read JSON, with Python's spelling of true, false and None, and lists without brackets; text where the field holds text."""
    kinds = _kinds(hint)
    if NoneType in kinds and _text(value) is None:
        return None
    if str in kinds or Path in kinds:
        return value
    if value in ("True", "False"):
        return value == "True"
    for words in (value, f"[{value}]") if tuple in kinds else (value,):
        try:
            found = parse_json(words)
        except ValueError:
            continue
        return [found] if tuple in kinds and not isinstance(found, list) else found
    return value.split(",") if tuple in kinds else value
