"""Answers of a study, in a file that only grows: one line of JSON each, flushed to disk before the page hears of it.

The last answer of a person to a trial counts, so that people can go back and change their mind. A line that was cut when the
power went is dropped, and said.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from dreamx.config import from_json, to_json
from dreamx.plaintext import brief, parse_json

#: What is asked of every trial.
QUESTIONS = ("overall", "quality", "camera", "artifacts")
#: What can be said to it, of the two videos as they lie on the page.
CHOICES = ("left", "tie", "right")


@dataclass(frozen=True)
class Answer:
    """person: who; trial: the name of the two videos. ``a_left``: whether A's video was the left one. ``said`` has one of
    ``CHOICES`` for each of ``QUESTIONS``. ``seconds``: from the first picture to the answer. ``study``: of the trials' hash."""

    study: str
    person: str
    trial: str
    a_left: bool
    said: dict[str, str]
    seconds: float

    def __post_init__(self) -> None:
        if not self.person or len(self.person) > 64:
            raise ValueError("person must be a name of 1 to 64 letters")
        if set(self.said) != set(QUESTIONS):
            raise ValueError(f"said must answer {', '.join(QUESTIONS)}, not {brief(sorted(self.said))}")
        for question, choice in self.said.items():
            if choice not in CHOICES:
                raise ValueError(f"said.{question} must be one of {', '.join(CHOICES)}, not {brief(choice)}")
        if not 0 <= self.seconds < 1e7:
            raise ValueError(f"seconds must be 0 or more, not {self.seconds}")

    def verdict(self, question: str) -> int:
        """1: A was preferred; 0: a tie; -1: B was."""
        side = {"left": 1, "tie": 0, "right": -1}[self.said[question]]
        return side if self.a_left else -side


@dataclass(frozen=True)
class KeptAnswers:
    """answers: the last of each person to each trial, in the order of first answers. ``spoilt``: lines that could not be read."""

    answers: list[Answer]
    spoilt: int


def read(file: Path, study: str) -> KeptAnswers:
    """Read the file's answers; none where there is no file. ValueError when it is of another study."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return KeptAnswers([], 0)
    found: dict[tuple[str, str], Answer] = {}
    spoilt = 0
    for line in filter(None, lines):
        try:
            answer = from_json(Answer, parse_json(line))
        except ValueError:
            spoilt += 1
            continue
        if answer.study != study:
            raise ValueError(f"answers: {file} holds answers to other videos; give another file, or the folders it was made with")
        found[answer.person, answer.trial] = answer
    return KeptAnswers(list(found.values()), spoilt)


def append(file: Path, answer: Answer) -> None:
    """One line more, on the disk when this returns. A line that was cut before is ended first, so that it spoils no other."""
    with file.open("ab+") as out:
        end = out.seek(0, os.SEEK_END)
        if end:
            out.seek(end - 1)
            if out.read(1) != b"\n":
                out.write(b"\n")
        out.write(json.dumps(to_json(answer)).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
