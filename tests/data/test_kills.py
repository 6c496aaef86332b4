"""Every command of ``dreamx data`` that writes, killed at its worst moments and run again, ends with the files of one run.

A moment is a file or a folder that is about to be made, renamed or removed (``forked``). A command is killed before its first,
and its last one, and three times in a row; under ``-m slow`` before every single one. Then it runs to its end. Names and bytes
of all files and folders must be those of a run that nobody killed; hidden ones, locks and half-written ones count.

Commands whose files are written by worker processes are killed from outside, twice, as soon as the folder shows what is waited
for; nothing is left of their workers.

What is not compared, because it cannot be the same: when a file was written; and of captions what a model would have said had it
been asked once more. The model here says the same every time, and is not asked again for an answer that is kept.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from forked import Forker, forker
from kill_cases import CASES, WATCHED, Case
from test_captioner import Server, answering

MODULES = (
    "av", "pandas", "pyarrow.parquet", "pyarrow.dataset", "scenedetect", "tyro", "dreamx.cli", "dreamx.data.sim.simulate",
    "dreamx.data.sim.simulated", "dreamx.data.encode", "dreamx.data.commands", "dreamx.data.quality.quality_report",
    "dreamx.data.importers.run_import", "dreamx.data.captioner.caption_clips", "dreamx.data.importers.doom",
)  # fmt: skip


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with forker(MODULES, tmp_path_factory.mktemp("forked")) as f:
        yield f


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What there is to read: each folder is made when it is first asked for (``of``)."""
    return tmp_path_factory.mktemp("inputs")


def files(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder, by name; None for a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def model() -> Iterator[Server]:
    """It says the same of everything."""
    with answering() as s:
        yield s


@dataclass(frozen=True)
class Ready:
    """A case with its folders: ``words`` for what is to be written at a place."""

    case: Case
    given: Path
    address: str

    def words(self, out: Path) -> list[str]:
        out.mkdir(exist_ok=True)
        names = {"IN": str(self.given), "OUT": str(out), "ADDRESS": self.address}
        found = ["data", *self.case.words.split()]
        for name, value in names.items():
            found = [w.replace(name, value) for w in found]
        return found


def ready(name: str, case: Case, inputs: Path, address: str) -> Ready:
    if case.needs:
        pytest.importorskip(case.needs)
    if not (inputs / name).exists():
        case.made(inputs / name)
    return Ready(case, inputs / name, address)


def finished(forked: Forker, what: Ready, out: Path) -> tuple[dict[str, bytes | None], int]:
    """What lies there after a run to the end, and how many moments that had."""
    ended = forked.run(what.words(out), out)
    assert ended.code == 0, ended.said
    found = files(out)
    assert what.case.gives in found, ended.said
    return found, ended.moments


def assert_same(got: dict[str, bytes | None], want: dict[str, bytes | None]) -> None:
    assert sorted(got) == sorted(want)
    assert [name for name in want if got[name] != want[name]] == []


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
@pytest.mark.parametrize("name", CASES)
def test_killed_at_a_moment(name: str, every: bool, forked: Forker, inputs: Path, model: Server, tmp_path: Path) -> None:
    what = ready(name, CASES[name], inputs, model.endpoint.address)
    want, last = finished(forked, what, tmp_path / "whole")
    assert last >= 2
    some = [(1,), (last,), (last // 2 + 1, 1, 2)]
    for moments in [(n,) for n in range(1, last + 1)] if every else dict.fromkeys(some):
        out = tmp_path / "-".join(map(str, moments))
        for moment in moments:
            assert forked.run(what.words(out), out, moment).code == -signal.SIGKILL, "it was over before it was killed"
        assert_same(finished(forked, what, out)[0], want)


@pytest.mark.parametrize("name", WATCHED)
def test_killed_with_its_workers(name: str, forked: Forker, inputs: Path, model: Server, tmp_path: Path) -> None:
    case, moments = WATCHED[name]
    what = ready(name, case, inputs, model.endpoint.address)
    want, _ = finished(forked, what, tmp_path / "whole")
    out = tmp_path / "killed"
    workers: list[int] = []
    for pattern, count in moments:
        process = forked.start(what.words(out), out)
        while len(children(process) if pattern is None else list((out / "c").glob(pattern))) < count and running(process):
            time.sleep(0.001)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)  # it stays as it is while its workers are looked up
            workers = children(process)
            os.kill(process, signal.SIGKILL)
        assert forked.end().code == -signal.SIGKILL, "it was over before it was killed"
        end = time.monotonic() + 30
        while any(running(w) for w in workers):
            assert time.monotonic() < end, "its workers live on"
            time.sleep(0.01)
    assert_same(finished(forked, what, out)[0], want)


def running(process: int) -> bool:
    """Is there such a process, and not only its name?"""
    return _stat(process)[:1] not in ([], ["Z"])


def children(process: int) -> list[int]:
    numbers = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    return [n for n in numbers if _stat(n)[1:2] == [str(process)]]


def _stat(process: int) -> list[str]:
    """State and parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def test_answers_that_are_kept_are_not_asked_for_again(model: Server, forked: Forker, inputs: Path, tmp_path: Path) -> None:
    what = ready("caption", CASES["caption"], inputs, model.endpoint.address)
    before = len(model.asked)
    _, last = finished(forked, what, tmp_path / "whole")
    assert len(model.asked) - before == 3
    for moment in (last // 2, last):
        out, before = tmp_path / str(moment), len(model.asked)
        assert forked.run(what.words(out), out, moment).code == -signal.SIGKILL
        finished(forked, what, out)
        assert len(model.asked) - before <= 4  # the one that had been asked, and was not kept yet
