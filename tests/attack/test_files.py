"""Files under attack (``files_fuzz``): the attacker sees what it should, what fell once stays mended, and nothing new falls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av.error
import pytest

import files_fuzz
from files_entries import Entry, entries


def _outside(folder: Path) -> None:
    (folder.parents[2] / "escaped").write_text("x")


def _busy(_: Path) -> None:
    while True:
        sum(range(1000))


def _large(_: Path) -> None:
    bytearray(os.urandom(2**20) * 200)


def _too_large(_: Path) -> None:
    try:
        bytearray(2**40)
    except MemoryError as e:
        raise ValueError("it is broken") from e


def _refused(_: Path) -> None:
    """As FFmpeg refuses what it never asks for."""
    try:
        raise av.error.MemoryError(12, "Cannot allocate memory")
    except MemoryError as e:
        raise ValueError("it names a size that no film has") from e


def _raw(_: Path) -> None:
    raise KeyError("x")


def _sentence(_: Path) -> None:
    raise ValueError("a.txt: is no good; make it again")


def _encoded(_: Path) -> None:
    b"\xff".decode()


def _dies(_: Path) -> None:
    os.abort()


def _runs(_: Path) -> None:
    subprocess.run(["true"], check=True)


_CASES: list[tuple[Callable[[Path], object], str]] = [
    (lambda _: None, "good"), (_sentence, "sentence"), (_raw, "traceback"), (_encoded, "traceback"), (_busy, "hang"),
    (_large, "memory"), (_too_large, "memory"), (_refused, "sentence"), (_outside, "outside"), (_runs, "outside"),
    (_dies, "died"), (lambda _: None, "good"),
]  # fmt: skip


def test_the_attacker_sees_what_it_should(tmp_path: Path) -> None:
    (home := tmp_path / "yard/a").mkdir(parents=True)
    (home / "a.txt").write_text("x")
    (scratch := tmp_path / "scratch").mkdir()
    every = [files_fuzz.Input(Entry("a", home, ("a.txt",), "text", call), "a.txt", b"y", i) for i, (call, _) in enumerate(_CASES)]
    fates = list(files_fuzz.attack(every, scratch, cpu=2, memory=2**27))
    assert [(f.input.number, f.what) for f in fates] == [(i, what) for i, (_, what) in enumerate(_CASES)]
    assert (home / "a.txt").read_text() == "x"


def test_one_that_sleeps_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the processor time that it does not use: on a busy machine a good one takes long, too."""
    monkeypatch.setattr(files_fuzz, "_WALL", 2)
    (home := tmp_path / "yard/a").mkdir(parents=True)
    (home / "a.txt").write_text("x")
    (scratch := tmp_path / "scratch").mkdir()
    calls: list[Callable[[Path], object]] = [lambda _: time.sleep(1000), lambda _: None]
    every = [files_fuzz.Input(Entry("a", home, ("a.txt",), "text", call), "a.txt", b"y", i) for i, call in enumerate(calls)]
    assert [f.what for f in files_fuzz.attack(every, scratch)] == ["hang", "good"]


def test_a_number_says_which_input(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, "x"], "b": null}')
    entry = Entry("a", tmp_path, ("a.json",), "json", str)
    made = [[i.data for i in files_fuzz.inputs([entry], 200, seed)] for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    assert len(set(made[0])) > 150


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return entries(tmp_path_factory.mktemp("yard"))


def fell(fates: list[files_fuzz.Fate]) -> list[str]:
    return [
        f"{f.input.entry.name} {f.input.number} {f.input.file}: {f.what}: {f.said}"
        for f in fates
        if f.what not in files_fuzz.GOOD
    ]


def test_what_fell_once_stays_mended(yard: list[Entry], tmp_path: Path) -> None:
    fates = list(files_fuzz.attack(files_fuzz.corpus(yard), tmp_path))
    assert len(fates) == len(list(files_fuzz.CORPUS.glob("*--*"))) > 0
    assert fell(fates) == []


@pytest.mark.slow
def test_good_files_are_good(yard: list[Entry], tmp_path: Path) -> None:
    """Else nothing but the first check of each would be attacked."""
    whole = [files_fuzz.Input(e, file.relative_to(e.folder).as_posix(), file.read_bytes(), i) for i, e in enumerate(yard)
             for file in sorted(p for pattern in e.files for p in e.folder.glob(pattern))[:1]]  # fmt: skip
    assert len(whole) == len(yard) >= 60
    assert [(f.input.entry.name, f.said) for f in files_fuzz.attack(whole, tmp_path) if f.what != "good"] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_spoilt_files_are_sentences(yard: list[Entry], tmp_path: Path, seed: int) -> None:
    """1,500 of a seed that changes every day, so that the next day attacks anew; the number of a fallen one says it."""
    day = int(time.time() // 86400) * 10 + seed
    fates = list(files_fuzz.attack(files_fuzz.inputs(yard, 1500, day), tmp_path))
    assert fell(fates) == [], f"python tests/attack/files_fuzz.py --seed {day}"
    counted = Counter(f.what for f in fates)
    assert min(counted["good"], counted["sentence"]) > 100, counted


def test_the_command_line_says_what_it_does() -> None:
    said = subprocess.run([sys.executable, files_fuzz.__file__, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--count" in said and "--seed" in said
