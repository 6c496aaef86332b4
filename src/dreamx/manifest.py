"""Whose folder is it? A command writes only into a folder that it made itself, and a manifest in it says so.

``.dreamx.json`` names the kind of the folder, what its files are called, and the settings that they depend on. ``claim`` comes
before work begins: it makes a new folder, goes on with one of the same kind and settings, and refuses every other. Folders from
before there were manifests are known by the names of their files.

A folder that a command has claimed is its alone until it ends, however it ends: the manifest is locked meanwhile (``locks``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dreamx import locks
from dreamx.plaintext import cause, read_json, sentence

NAME = ".dreamx.json"
_CLAIMED: list[tuple[Path, list[Path]]] = []
_LOCKED: list[locks.Lock] = []
_commands: list[None] = []  # that run
_FREE = "give the name of a new or an empty folder"


def claim(
    folder: Path,
    kind: str,
    files: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    old: Callable[[], None] | None = None,
    stems: Collection[str] = (),
    flag: str = "out",
    write: bool = True,
    busy: str | None = None,
) -> None:
    """Make ``folder`` this command's own, or find that it is, and remove what a killed run left half-written (``*.tmp``).

    kind:     what the folder holds, in words (``clips of data render``).
    files:    regular expressions of all names that the command writes at the top of the folder.
    settings: all that the files depend on, as JSON; fields that only one of both sides knows are not compared.
    old:      looks at a folder without a manifest whose files have such names; raises ValueError where it is another's all the
              same. None: nothing more is looked at.
    stems:    clips that it writes besides: ``STEM.safetensors``, and of a shot with several ``STEM-1.safetensors`` and so on.
    flag:     whose value the folder is, for the sentence.
    write:    False looks only, as all processes but the first do.
    busy:     what is said where another process is at work there; None: that one should wait for it.

    ValueError, one sentence, where the folder is another's, holds a file of somebody else, was begun with other settings, or is
    being written by another process.
    """
    mine = json.loads(json.dumps({"kind": kind, "files": list(files), "settings": dict(settings or {})}))

    def look() -> tuple[list[Path], bool]:
        """Return the files there, and whether there is a manifest."""
        return _look(folder, mine, old, frozenset(stems), flag)

    look()
    if not write:
        return
    new = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = locks.take(folder / NAME, busy or locks.busy(folder, flag))
    _LOCKED.append(lock)
    try:
        held, known = look()  # again: another may have been there, and gone, while we came
        for p in held:
            if p.suffix == ".tmp" and not p.is_dir():
                p.unlink(missing_ok=True)
        if not known:
            _CLAIMED.append((folder, new))
            os.lseek(lock.file, 0, os.SEEK_SET)
            os.write(lock.file, (json.dumps(mine, indent=1) + "\n").encode())
    finally:
        if not _commands:
            let_go()


def _look(
    folder: Path, mine: dict[str, Any], old: Callable[[], None] | None, stems: frozenset[str], flag: str
) -> tuple[list[Path], bool]:
    """ValueError where the folder is another's; what lies in it, and whether a manifest does."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{flag}: {folder} is a file; {_FREE}")
    held = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")] if folder.is_dir() else []
    before = read(folder, flag)
    if before is not None:
        if before["kind"] != mine["kind"]:
            raise ValueError(f"{flag}: {folder} holds {before['kind']}, and this would be {mine['kind']}; {_FREE}")
        _same(folder, flag, before["settings"], mine["settings"])
        names = [*before["files"], *mine["files"]]
    else:
        names = mine["files"]
        own = [p.name for p in held if is_named(p.name, names, stems)]
        if strange := [p.name for p in held if p.name not in own and (not own or not p.is_dir())]:
            raise ValueError(f"{flag}: {folder} holds {strange[0]}, which this command did not write; {_FREE}")
        if held and old is not None:
            old()
    if strange := [p.name for p in held if not p.is_dir() and not is_named(p.name, names, stems)]:
        raise ValueError(f"{flag}: {folder} holds {strange[0]}, which this command did not write; move it away, or {_FREE}")
    return held, before is not None


@contextmanager
def until_the_end() -> Iterator[None]:
    """Around a command: what it claims is its alone until then. Without that, ``claim`` only looks whether somebody is there."""
    _commands.append(None)
    try:
        yield
        _CLAIMED.clear()  # it has ended well: nothing is to be undone
    finally:
        _commands.pop()
        let_go()


def let_go() -> None:
    """Others may have the folders that this process has claimed."""
    while _LOCKED:
        _LOCKED.pop().release()


def undo() -> None:
    """Remove the folders that this process has claimed anew and written nothing to: the command has failed."""
    while _CLAIMED:
        folder, new = _CLAIMED.pop()
        if folder.is_dir() and all(p.is_dir() or p.name == NAME for p in folder.rglob("*")):
            (folder / NAME).unlink(missing_ok=True)
            for below in sorted((p for p in folder.rglob("*")), reverse=True):
                below.rmdir()
            with suppress(OSError):  # somebody else may have begun there
                for made in new:
                    made.rmdir()


def read(folder: Path, flag: str = "out") -> dict[str, Any] | None:
    """The manifest of a folder, None where there is none. ValueError where it cannot be read."""
    file = folder / NAME
    if not file.is_file() or not file.stat().st_size:  # without a byte: whoever was about to write it was killed
        return None
    try:
        found = read_json(file)
        kind, files, settings = found["kind"], found["files"], found["settings"]
        for pattern in files:
            re.compile(pattern)
            if len(pattern) > 200 or re.search(r"\)[+*{]", pattern):  # repeated groups take for ever on the right name
                raise ValueError("a name of a file is no pattern of ours")
        if not (isinstance(kind, str) and isinstance(files, list) and isinstance(settings, dict)):
            raise TypeError("of other kinds")
        return {"kind": kind[:200], "files": files, "settings": settings}
    except (OSError, ValueError, KeyError, TypeError, re.error) as e:
        raise ValueError(f"{flag}: {file} is not a manifest of dreamx ({cause(e)}); {_FREE}") from None


def refuse_input(out: Path, inputs: Iterable[Path | None], flag: str = "out") -> None:
    """ValueError where ``out`` is one of the places that the command reads."""
    for place in inputs:
        if place is not None and out.resolve() == place.resolve():
            raise ValueError(f"{flag}: {out} is what this command reads; {_FREE}")


def refuse_other_json(file: Path, keys: Collection[str], flag: str = "out") -> None:
    """ValueError where a file is in the place of a record of ours and has not its ``keys``."""
    if not file.exists():
        return
    try:
        held = read_json(file)
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict) or not set(keys) <= held.keys():
        raise ValueError(f"{flag}: {file} is there already, and no record of dreamx; move it away or give another name")


def is_named(name: str, files: Iterable[str], stems: Collection[str] = ()) -> bool:
    """Is it one of the ``files`` or of the clips ``stems``, or half of one (``atomic``), or as before there were manifests NAME
    with its ending replaced?"""
    half = re.sub(r"(\.\d+)?\.tmp$", "", name)
    ways = (name,) if half == name else (half, f"{half}.safetensors", f"{half}.json", f"{half}.txt")
    clips = [way.removesuffix(".safetensors") for way in ways if way.endswith(".safetensors")]
    if any(clip in stems or re.sub(r"-\d+$", "", clip) in stems for clip in clips):
        return True
    return any(re.fullmatch(pattern, way) for pattern in files for way in ways)


def _same(folder: Path, flag: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    then, mine = dict(flat(before)), dict(flat(now))
    for name in mine:
        if name in then and then[name] != mine[name]:
            raise ValueError(
                f"{name}: {folder} was begun with {sentence(then[name], 100)}, not {sentence(mine[name], 100)}; "
                f"give that again, or another folder for {flag}"
            )


def flat(settings: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Fields by their dotted names, as the flags are called."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
