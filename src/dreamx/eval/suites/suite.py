"""A suite is data: which scene, from where, under which keys, with which words. Drawn once by a law; then a file with a hash.

The law of a suite (``suite_paths``) and a seed give its trials one by one. The first N of them cover paths, kinds of
place and looks as evenly as N allows. Seed 0 is what is shipped; any other seed is a fresh suite of the same law.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from dreamx import atomic
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.config import from_json, to_json
from dreamx.geometry.path import parse_actions
from dreamx.plaintext import read_json

#: The hashes of the shipped files: what carries their names is them.
SHIPPED = {
    "basic": "eb51a2b0f1cf64a7",
    "memory": "d314ce87f2dea084",
    "long": "43ed9dfa99be25e2",
    "events": "5c710dce55ddd228",
    "hold": "83e672bd3c8cf963",
}


@dataclass(frozen=True)
class PromptChange:
    """Words that are said to the world ``at`` so many seconds, and hold until other words are said; ``""`` ends them."""

    at: float
    words: str


@dataclass(frozen=True)
class Trial:
    """One video to be made.

    id: of the trial in its suite; ``path``: the name of the kind of path, the first stratum.
    seed, kind, style: the scene. ``start``: metres east and north, and degrees from east to north, of a level walker.
    keys: held keys by frame, as ``geometry.path.parse_actions`` reads them; frame 0 is the start picture.
    prompt: what the world is told at the start; ``said``: what it is told on the way.
    happens, attempt: of an event, its kind and the number of the draw that the simulator accepted (``event_trials``).
    """

    id: str
    path: str
    seed: int
    kind: str
    style: str
    start: tuple[float, float, float]
    keys: str
    prompt: str
    said: tuple[PromptChange, ...] = ()
    happens: str = ""
    attempt: int = 0

    def __post_init__(self) -> None:
        if self.seed < FIRST_HELD_OUT_SEED:
            raise ValueError(f"trial {self.id}: seed {self.seed} may have been trained on; use {FIRST_HELD_OUT_SEED} or more")

    @property
    def held(self) -> list[str]:
        """The keys that lead to frames 1 on."""
        return parse_actions(self.keys)

    @property
    def frames(self) -> int:
        """Frames of the whole video, the start picture included."""
        return len(self.held) + 1


@dataclass(frozen=True)
class Suite:
    """All trials of a name, in an order whose beginning is a fair part. ``seed`` is that of the law; ``fps`` of the keys."""

    name: str
    version: int
    seed: int
    fps: float
    trials: tuple[Trial, ...]

    @property
    def hash(self) -> str:
        """Hash of everything in it: two results are comparable where the hashes of their suites agree."""
        return hashlib.sha256(_text(self).encode()).hexdigest()[:16]

    def part(self, cases: int | None) -> Suite:
        """The first ``cases`` trials; all for None. ValueError when there are not so many."""
        if cases is None:
            return self
        if not 1 <= cases <= len(self.trials):
            raise ValueError(f"cases must be 1 to {len(self.trials)}, the size of the suite {self.name}, not {cases}")
        return replace(self, trials=self.trials[:cases])

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        atomic.write_text(path, _text(self))

    @staticmethod
    def load(path: Path) -> Suite:
        """Read what ``save`` wrote; ValueError names the file and the field."""
        try:
            return from_json(Suite, read_json(path))
        except (OSError, ValueError) as e:
            why = str(e).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: not a readable suite ({why}); draw it again") from e


def shipped_suite(name: str) -> Suite:
    """The suite that everybody is measured on. ValueError when its file is not the one that was shipped."""
    file = Path(str(resources.files("dreamx"))) / "eval" / "suites" / f"{name}.json"
    suite = Suite.load(file)
    if suite.hash != SHIPPED[name]:
        raise ValueError(f"{file}: the suite was changed (hash {suite.hash}, not {SHIPPED[name]}); install dreamx again")
    return suite


def _text(suite: Suite) -> str:
    """A line a trial, so that a change shows in a diff."""
    words = to_json(suite)
    trials = ",\n".join(json.dumps(t) for t in words.pop("trials"))
    return json.dumps(words)[:-1] + ', "trials": [\n' + trials + "\n]}\n"
