"""Flags of the command line to a config. Every mistake is a ``ValueError`` of one sentence that names the flag.

tyro reads the flags; it tells of a mistake by an event, which becomes a sentence here. The events are tyro's own business and may
change (``tyro._errors``), so whatever it prints instead is made one line.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import tyro
from tyro import _errors as events

from dreamx.bounds import FieldError, check_paths, check_values, hints
from dreamx.plaintext import sentence

T = TypeVar("T")


def parse(cls: type[T], words: Sequence[str], prog: str, default: T | None = None) -> T:
    """A config from ``words``, with the defaults of ``default`` if one is given. ``--help`` prints and raises SystemExit(0).
    ValueError, one sentence, for anything wrong."""
    printed = io.StringIO()
    start: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with redirect_stderr(printed), events.on_parse_error(lambda event: _raise(cls, event)):
            config = tyro.cli(cls, prog=prog, args=words, config=(tyro.conf.FlagCreatePairsOff,), **start)
    except SystemExit as e:
        if e.code in (0, None):
            raise
        raise ValueError(_unboxed(printed.getvalue())) from None
    try:
        _refuse_empty(cls, words)
        check_values(config)
        check_paths(config)
    except FieldError as e:
        shown = {field.path: field.shown for field in _walk(cls)}
        raise ValueError(f"{shown.get(e.leaf.path, '.'.join(e.leaf.path))} {e.fault}") from e
    return config


def flags(cls: type) -> dict[str, Any]:
    """Every flag of a config (``--wanted.fps``, and ``--no-memory`` for what is on) and the default of its field."""
    found: dict[str, Any] = {}
    for field in _walk(cls):
        if field.shown.startswith("--"):
            found |= dict.fromkeys((field.shown, *field.aliases), field.default)
            if field.default is True:
                found[f"--no-{field.shown[2:]}"] = True
    return found


def _raise(cls: type, event: events.ParseErrorEvent) -> None:
    """A ValueError for what is known of tyro's events; returns for others."""
    if isinstance(event, events.UnrecognizedArgs):
        raise ValueError(_unknown(cls, event.tokens, event.prog))
    if isinstance(event, events.MissingArgs):
        if event.unrecognized_tokens:
            raise ValueError(_unknown(cls, event.unrecognized_tokens, event.prog))
        names = [_name(a.arg) for a in event.missing_arguments]
        raise ValueError(f"{_and(names)} {'is' if len(names) == 1 else 'are'} missing; see {event.prog} --help")
    if isinstance(event, events.BadValue):
        count = event.argument.lowered.nargs
        raise ValueError(f"{_name(event.argument)} wants {'a value' if count == 1 else f'{count} values'} after it")
    if isinstance(event, events.InvalidChoice):
        choices = ", ".join(sorted(c for c in event.choices if c != "None"))  # tyro's order is by hash
        raise ValueError(f"{_name(event.argument)} must be one of {choices}, not {event.value!r}")
    if isinstance(event, events.InstantiationFailure):
        if event.argument is None:
            raise ValueError(event.message)
        raise ValueError(f"{_name(event.argument)} {_misfit(str(event.message))}")


def _unknown(cls: type, tokens: Sequence[str], prog: str) -> str:
    first = next((t for t in tokens if t.startswith("-")), tokens[0])
    if not first.startswith("-"):
        return f"{first!r} belongs to no flag; {prog} --help lists them"
    name = first.partition("=")[0].lstrip("-").replace("_", "-")
    if parts := next((f.parts for f in _walk(cls) if f.shown == f"--{name}"), ()):
        one = "a part that is" if len(parts) == 1 else "parts that are"
        return f"--{sentence(name, 100)} belongs to {one} not chosen; write {' '.join(parts)} after all other flags, and then it"
    known = [f[2:] for f in flags(cls)]
    near = [f for f in known if f.endswith(f".{name}")] or get_close_matches(name, known, 1, 0.6)
    return f"--{sentence(name, 100)} is unknown; {f'did you mean --{near[0]}?' if near else f'{prog} --help lists the flags'}"


def _misfit(words: str) -> str:
    """Rephrase the complaints of int, float and tyro's unions in plainer words."""
    for pattern, wanted in (
        (r"invalid literal for int\(\) with base 10: (.*)", "must be a whole number, not {}"),
        (r"could not convert string to float: (.*)", "must be a number, not {}"),
        (r"input length \d+ did not match expected argument count (\d+)\b.*", "wants {} values after it"),
    ):
        if found := re.match(pattern, words):
            return wanted.format(found[1])
    if found := re.match(r"no type matching (.*) could be instantiated from \[(.*?)\]\.", words):
        kinds = [k.strip("{}").split() for k in found[1].split("|") if k != "{None}"]  # "{None}|{INT INT}"
        return f"must be {' or '.join(map(_kind, kinds))}, not {found[2].replace(',', '') or 'nothing'}"
    return f"cannot be read: {words}"


def _kind(metavars: Sequence[str]) -> str:
    many = {"INT": "whole numbers", "FLOAT": "numbers"}.get(metavars[0], metavars[0])
    return f"{len(metavars)} {many}" if len(metavars) > 1 else f"a {many.removesuffix('s')}"


def _refuse_empty(cls: type, words: Sequence[str]) -> None:
    """ValueError where a value is the empty string, unless that is the field's own default; a Path of it would be this folder."""
    known = flags(cls)
    for i, word in enumerate(words):
        name, given, value = word.partition("=")
        if word == "":
            name = words[i - 1].replace("_", "-") if i and words[i - 1].startswith("--") else "an argument"
        elif not (given and value == "" and word.startswith("--")):
            continue
        if known.get(name, MISSING) != "":
            raise ValueError(f"{name} is empty; give a value")


@dataclass(frozen=True)
class Flag:
    """A field as the command line has it. path: names of fields from the top; shown: ``--wanted.fps``, or ``CLIPS``; parts: what
    is written before it where it is in configs that may be None, as ``past:causal-config``."""

    path: tuple[str, ...]
    shown: str
    default: Any
    aliases: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def _walk(cls: type, path: tuple[str, ...] = (), prefix: tuple[str, ...] = (), parts: tuple[str, ...] = ()) -> Iterator[Flag]:
    for f in fields(cast("Any", cls)):
        hint = hints(cls)[f.name]
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        name = next((n for m in marks if (n := getattr(m, "name", None)) is not None), f.name)  # tyro.conf.arg(name="")
        aliases = next((tuple(a) for m in marks if (a := getattr(m, "aliases", None))), ())
        here, shown = (*path, f.name), (*prefix, name) if name else prefix
        inner = [h for h in (hint, *get_args(hint)) if isinstance(h, type) and is_dataclass(h)]
        dotted = ".".join(shown)
        if inner:
            chosen = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", inner[0].__name__).lower()  # as tyro names it
            part = (f"{dotted.replace('_', '-')}:{chosen}",) if type(None) in get_args(hint) else ()
            yield from _walk(inner[0], here, shown, (*parts, *part))
        else:
            flag = dotted.upper() if tyro.conf.Positional in marks else "--" + dotted.replace("_", "-")
            yield Flag(here, flag, f.default, aliases, parts)


def _name(argument: Any) -> str:
    """A flag as it is typed, or a positional argument as ``--help`` shows it."""
    return argument.display_name().upper() if argument.is_positional() else argument.lowered.name_or_flags[0]


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _unboxed(text: str) -> str:
    """The first sentences of tyro's box, without its frame."""
    lines = [re.sub(r"[\u2500-\u257f]", " ", line).strip() for line in text.split("\n")]
    return " ".join(" ".join(lines).split()) or "the flags cannot be read"
