"""``dreamx trajectory import | export | preview | check``: camera paths of every dialect, to look at and to use.

A dialect is always named: ``w-31`` is a sentence of two of them and means different things. Without ``--dialect`` a file is our
own JSON, which says so itself.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from os import fsencode
from os.path import isdir, isfile  # unlike Path's, they are calm about names no file can have
from pathlib import Path
from typing import Annotated

import tyro

from dreamx import atomic, released
from dreamx.bounds import InputFile, OutputFile
from dreamx.checkpoints import native
from dreamx.geometry.controls import Speed
from dreamx.geometry.formats import DIALECTS, Files, Motion, MotionOptions, dialect, read, write
from dreamx.geometry.formats.path_check import doubts, problems
from dreamx.plaintext import shown
from dreamx.session import WorldConfig, find
from dreamx.trajectory import draw, page
from dreamx.trajectory.describe_path import paragraph

_LIMIT = 2**29  # bytes of one file
_TRIED = range(1, 2**24)  # bytes of a file that is tried in the other dialects, too
_RATHER = 2  # other dialects that are named; where more fit, none is meant


@dataclass(frozen=True)
class TrajectoryImportConfig:
    """Read a trajectory of any dialect and write it as our own JSON."""

    source: Annotated[str, tyro.conf.Positional]
    """The file or folder; for hy-string and lingbot-string also the line itself."""
    dialect: str
    """Whose it is: docs/trajectories.md has the list."""
    out: OutputFile
    """The JSON file to write."""
    asked: Annotated[MotionOptions, tyro.conf.arg(name="")] = field(default_factory=MotionOptions)
    """What the file does not say."""
    overwrite: bool = False
    """Replace the file if there is one."""


@dataclass(frozen=True)
class TrajectoryExportConfig:
    """Write one of our own JSON trajectories in any dialect."""

    source: Annotated[InputFile, tyro.conf.Positional]
    """The JSON file."""
    dialect: str
    """The dialect to write."""
    out: Path
    """The file to write, or the folder where the dialect is one."""
    asked: Annotated[MotionOptions, tyro.conf.arg(name="")] = field(default_factory=MotionOptions)
    """What our file does not say."""
    overwrite: bool = False
    """Replace what is there."""


@dataclass(frozen=True)
class PreviewConfig:
    """Draw a trajectory from above and from the side, and say in words what the camera will do."""

    source: Annotated[str, tyro.conf.Positional]
    """The file, folder or line."""
    out: OutputFile
    """Where the drawings go: OUT.png and OUT.html."""
    dialect: str = "dreamx"
    """Whose it is."""
    asked: Annotated[MotionOptions, tyro.conf.arg(name="")] = field(default_factory=MotionOptions)
    """What the file does not say."""
    overwrite: bool = False
    """Replace the drawings if there are any."""


@dataclass(frozen=True)
class CheckConfig:
    """Look for what is wrong with a trajectory; exit code 1 where something is."""

    source: Annotated[str, tyro.conf.Positional]
    """The file, folder or line."""
    dialect: str = "dreamx"
    """Whose it is."""
    world: str | None = None
    """Hold the speeds against those that this world was taught, instead of the official ones."""
    asked: Annotated[MotionOptions, tyro.conf.arg(name="")] = field(default_factory=MotionOptions)
    """What the file does not say."""


def import_trajectory(cfg: TrajectoryImportConfig) -> None:
    """``dreamx trajectory import``."""
    motion = open_motion(cfg.source, cfg.dialect, cfg.asked)
    save("dreamx", motion, cfg.out, cfg.asked, cfg.overwrite)
    print(paragraph(motion))
    for note in (*motion.notes, *doubts(motion)):
        print(f"Note: {note}")


def export(cfg: TrajectoryExportConfig) -> None:
    """``dreamx trajectory export``."""
    motion = open_motion(str(cfg.source), "dreamx", cfg.asked)
    for path in save(cfg.dialect, motion, cfg.out, cfg.asked, cfg.overwrite):
        print(path)


def preview(cfg: PreviewConfig) -> None:
    """``dreamx trajectory preview``."""
    motion = open_motion(cfg.source, cfg.dialect, cfg.asked)
    if not cfg.out.parent.is_dir():
        raise ValueError(f"out: there is no folder {cfg.out.parent}; make it first")
    words = paragraph(motion)
    odd = [p.says for p in problems(motion)]
    png, html = (cfg.out.with_name(cfg.out.name + end) for end in (".png", ".html"))
    if not cfg.overwrite and (there := [path for path in (png, html) if path.exists()]):
        raise ValueError(f"out: {there[0]} is there already; name another, or say --overwrite")
    atomic.write_bytes(png, draw.png(motion, words))
    atomic.write_bytes(html, page.html(motion, words, (*odd, *motion.notes, *doubts(motion))).encode())
    print(words)
    for doubt in odd:
        print(f"Doubtful: {doubt}.")
    for note in (*motion.notes, *doubts(motion)):
        print(f"Note: {note}")
    print(f"{png}\n{html}")


def check(cfg: CheckConfig) -> None:
    """``dreamx trajectory check``."""
    motion = open_motion(cfg.source, cfg.dialect, cfg.asked, broken=True)
    found = problems(motion, None if cfg.world is None else taught(cfg.world))
    for problem in found:
        print(f"{problem.kind}: {problem.says}.")
    for note in (*motion.notes, *doubts(motion)):
        print(f"Note: {note}")
    if found:
        sys.exit(1)
    print(f"ok: {len(motion.camera)} frames, nothing to complain about.")


def open_motion(source: str, name: str, asked: MotionOptions, broken: bool = False) -> Motion:
    """A trajectory from a file, a folder, or the line itself. ValueError, one sentence that names it."""
    kind, path = dialect(name), Path(source)
    try:
        if kind.names:
            if not path.is_dir():
                raise ValueError(f"source: {source!r} is no folder, and {name} is one of {', '.join(kind.names)}")
            files = {n: _bytes(path / n) for n in kind.names if (path / n).is_file()}
        elif isfile(source):
            files = {"": _bytes(path)}
            names = (path.parent / where.format(name=path.name, stem=path.stem, end=path.suffix) for where in kind.beside)
            second = next((n for n in names if n.is_file()), None)
            files |= {} if second is None else {"intrinsics": _bytes(second)}
        elif kind.line:
            files = {"": fsencode(source)}
        elif isdir(source):
            raise ValueError(f"source: {source!r} is a folder, and {name} is a single file")
        else:
            raise ValueError(f"source: there is no file {source[:200]!r}")
    except OSError as e:
        raise ValueError(f"source: {source[:80]!r} cannot be read ({e.strerror})") from None
    try:
        return read(name, files, asked, broken)
    except ValueError as e:
        raise ValueError(f"{shown(source, 80)[1:-1]}: {e}{_rather(name, files, asked)}") from e


def _rather(name: str, files: Files, asked: MotionOptions) -> str:
    """Name the dialects in which a file can be read that could not be read in this one: often it is just that."""
    asked = asked if asked.fps is not None else replace(asked, fps=16.0)
    others = (
        [n for n, kind in DIALECTS.items() if n != name and not (kind.names or kind.line)]
        if len(files.get("", b"")) in _TRIED
        else []
    )
    able = [n for n in others if _reads(n, files, asked)]
    return f"; it can be read as {' or '.join(able)}: give --dialect {able[0]}" if 0 < len(able) <= _RATHER else ""


def _reads(name: str, files: Files, asked: MotionOptions) -> bool:
    try:
        read(name, {"": files[""]}, asked)
    except ValueError:
        return False
    return True


def save(name: str, motion: Motion, out: Path, asked: MotionOptions, overwrite: bool) -> list[Path]:
    """Write a dialect's file or folder, whole or not at all, and name what was written."""
    kind = dialect(name)
    files = write(name, motion, asked)
    paths = {out / n if kind.names else out: data for n, data in files.items()}
    for path in paths:
        if path.exists() and not overwrite:
            raise ValueError(f"out: {path} is there already; name another, or say --overwrite")
    if kind.names:
        out.mkdir(parents=True, exist_ok=True)
    elif not out.parent.is_dir():
        raise ValueError(f"out: there is no folder {out.parent}; make it first")
    for path, data in paths.items():
        atomic.write_bytes(path, data)
    return list(paths)


def taught(world: str) -> Speed:
    """The speeds of a world."""
    if released.is_released(world):
        return released.settings(world, released.read(world).kind).speed
    return native.read_config(find(world), "world", WorldConfig).speed


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _LIMIT:
        raise ValueError(f"source: {path} is larger than {_LIMIT // 2**20} MB, which no trajectory is")
    return path.read_bytes()


__all__ = ["DIALECTS", "CheckConfig", "PreviewConfig", "TrajectoryExportConfig", "TrajectoryImportConfig", "open_motion"]
