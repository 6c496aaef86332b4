"""Pairs of videos to show side by side: equal names in two folders, with the request of both."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamx.eval.suites.suite import Suite
from dreamx.plaintext import parse_json, read_text
from dreamx.video_reader import VIDEO_ENDINGS

HASH = 12  # letters of the hash that an evaluation run ends the names of its films with (runner.film_file)


@dataclass(frozen=True)
class VideoPair:
    """name: of both files, without the ending. ``words``: what both were told, from NAME.json (prompt) or NAME.txt, or from the
    suite.json of an evaluation run, or ""."""

    name: str
    a: Path
    b: Path
    words: str


def pair_videos(a: Path, b: Path) -> list[VideoPair]:
    """Pair by name, less a final hash as evaluation gives; of several the newest counts. ValueError when nothing pairs."""
    first, second = _videos("A", a), _videos("B", b)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise ValueError(f"no video of {a} has the name of one of {b}; give folders of the same trials, equally named")
    told = _told(a) | _told(b)
    said = {n: _words(first[n], n) or _words(second[n], n) or told.get(n, "") for n in both}
    return [VideoPair(name, first[name], second[name], said[name]) for name in both]


def left_over(a: Path, b: Path) -> int:
    """Return the number of videos of both folders without a partner."""
    return len(_videos("A", a).keys() ^ _videos("B", b).keys())


def fingerprint(found: Iterable[VideoPair]) -> str:
    """A hash of the names and of the sizes of all files: answers belong to these videos and to no others."""
    text = json.dumps([(p.name, p.a.stat().st_size, p.b.stat().st_size) for p in found])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ShownPair:
    """One trial as a person meets it."""

    pair: VideoPair
    a_left: bool


def shuffled_trials(found: list[VideoPair], person: str, seed: int) -> list[ShownPair]:
    """All trials in an order and on sides of the person's own, the same whenever they come back. A is left in half of them."""
    rng = random.Random(f"{seed}/{person}")
    shuffled = rng.sample(found, len(found))
    sides = [i % 2 == 0 for i in range(len(found))]
    rng.shuffle(sides)
    return [ShownPair(p, left) for p, left in zip(shuffled, sides, strict=True)]


def _videos(name: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{name}: {folder} is not a folder of videos")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), key=lambda f: (f.stat().st_mtime_ns, f.name)):
        if file.suffix.lower() in VIDEO_ENDINGS:
            found[_plain(file.stem)] = file
    if not found:
        raise ValueError(f"{name}: {folder} holds no videos ({', '.join(VIDEO_ENDINGS)})")
    return found


def _plain(stem: str) -> str:
    """Without the hash that a run adds."""
    head, dash, tail = stem.rpartition("-")
    return head if dash and len(tail) == HASH and not set(tail) - set("0123456789abcdef") else stem


def _told(folder: Path) -> dict[str, str]:
    """Prompts by name, and words on the way, that an evaluation run's models were told: from the suite beside its films."""
    try:
        suite = Suite.load(folder.parent.parent / "suite.json")
    except ValueError:  # no run's folder
        return {}
    return {t.id: "\n".join([t.prompt, *(f"at {s.at:g} s: {s.words or 'no more of it'}" for s in t.said)]) for t in suite.trials}


def _words(video: Path, name: str) -> str:
    for file in (video.parent / f"{stem}{end}" for end in (".json", ".txt") for stem in (video.stem, name)):
        try:
            text = read_text(file)
        except OSError:
            continue
        if file.suffix == ".txt":
            return text.strip()
        try:
            told: Any = parse_json(text)
        except ValueError:
            continue
        if isinstance(told, dict) and isinstance(told.get("prompt"), str):
            return told["prompt"]
    return ""
