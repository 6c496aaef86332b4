"""The gallery: pictures to begin from. A folder of ``NAME.png``, each with the prompt in ``NAME.txt`` beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dreamx.plaintext import read_json, read_text

_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class StartPicture:
    """One picture of the gallery. ``png``: the file's bytes. ``home``: it says where it was taken (``dreamx.standpoint``)."""

    id: str
    prompt: str
    png: bytes
    home: bool = False


def read_starts(folder: Path | None) -> dict[str, StartPicture]:
    """All start pictures of a folder by id, in the order of their names; none where there is no such folder."""
    if folder is None or not folder.is_dir():
        return {}
    starts: dict[str, StartPicture] = {}
    for path in sorted(folder.glob("*.png")):
        if not _ID.fullmatch(path.stem):
            raise ValueError(f"{path}: the name of a start picture may hold letters, digits, - and _ only; rename it")
        words = path.with_suffix(".txt")
        prompt = read_text(words).strip() if words.exists() else ""
        about = path.with_suffix(".json")
        said = read_json(about) if about.is_file() else None
        home = isinstance(said, dict) and said.get("pose") is not None
        starts[path.stem] = StartPicture(path.stem, prompt, path.read_bytes(), home)
    return starts
