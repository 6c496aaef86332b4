"""Read ``--actions``: a file of held keys, or the line of them itself."""

from __future__ import annotations

import re
from os.path import isdir, isfile  # unlike Path's, they are calm about names no file can have
from pathlib import Path

from dreamx.geometry.path import parse_actions
from dreamx.plaintext import folded, read_text, shown

_NUMBER = re.compile(r"[-+]?\d+\.?\d*")


def read_actions(text: str) -> list[str]:
    """The held keys of every frame, from the action file that is named by ``text`` or from a line of actions itself.

    A file is text in any coding, a span ``KEYS FRAMES`` a line. ValueError in one sentence that names the line, or the span.
    """
    if not isfile(text):
        if "*" in folded(text) and not isdir(text):
            return parse_actions(text)
        there = f"{shown(text)} is a folder" if isdir(text) else f"there is no file {shown(text)}"
        raise ValueError(f'actions: {there}; name a file, or give the actions themselves, as "w*16,wj*32"')
    name = shown(text, 1000)[1:-1]
    try:
        lines = read_text(Path(text)).split("\n")
    except OSError as e:
        raise ValueError(f"actions: {name} cannot be read ({e.strerror})") from None
    keys: list[str] = []
    for number, line in enumerate(lines, 1):
        said = folded(line).split("#")[0].strip()
        if said:
            try:
                keys += parse_actions(_span(said, line))
            except ValueError as e:
                raise ValueError(f"{name}, line {number}: {str(e).removeprefix('actions: ')}") from None
    if not keys:
        raise ValueError(f"{name}: there are no actions in it; write for example: wj 32")
    return keys


def _span(said: str, line: str) -> str:
    """``wj 32`` as ``wj*32``."""
    *held, frames = said.split()
    wrong = f"{shown(line.strip())} is not KEYS FRAMES"
    if len([w for w in (*held, frames) if _NUMBER.fullmatch(w)]) > 1:
        raise ValueError(f"{wrong}: it has more than one number, and no mouse is read; hold i j k l to look, for example: wj 32")
    if not held or "*" in said or "," in said:
        raise ValueError(f"{wrong}; write for example: wj 32")
    if not (frames.isascii() and frames.isdigit()) or int(frames[:9]) < 1:
        raise ValueError(f"{wrong}: {shown(frames)} is no whole number of frames from 1; write for example: wj 32")
    return f"{' '.join(held)}*{frames}"
