"""Runs: the same files however they are run and however often they are killed; every clip is accounted for."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_stages import Darker, NotEvery, Walks
from dreamx.data import dataset
from dreamx.data.dataset import Dataset
from dreamx.data.engine import Count, Local, run_engine

INLINE = Local(processes=1)


def prints(folder: Path) -> dict[str, str]:
    """Every file of a folder, hidden ones too, by its content."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_clip_is_kept_or_has_a_reason(tmp_path: Path) -> None:
    source = Walks(9, bad=(5,), flaky=(6,))
    count = run_engine(source, (NotEvery(4), Darker()), str(tmp_path / "d"), INLINE)
    assert count == Count(kept=4, dropped=5, frames=48)
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, Dataset)
    assert got.names == ["walk-1", "walk-2", "walk-3", "walk-7"] and got.row(0).caption == "room 1 at night"
    said = [(d["name"], d["stage"], d["rule"]) for d in got.dropped]
    assert said == [("walk-0", "NotEvery", "every"), ("walk-4", "NotEvery", "every"), ("walk-5", "Walks", ""),
                    ("walk-6", "Walks", "failed twice"), ("walk-8", "NotEvery", "every")]  # fmt: skip
    assert "RuntimeError: the disk hiccups" in got.dropped[3]["reason"]


def test_processes_do_not_matter_and_untouched_pictures_are_copied(tmp_path: Path) -> None:
    run_engine(Walks(7), (), str(tmp_path / "a"), INLINE, megabytes=0.005)
    run_engine(Walks(7), (), str(tmp_path / "b"), Local(2), megabytes=0.005)
    assert prints(tmp_path / "a") == prints(tmp_path / "b")
    assert len(list((tmp_path / "a/videos").rglob("*.mp4"))) > 1
    a = dataset.read(str(tmp_path / "a"))
    run_engine(a, (NotEvery(3),), str(tmp_path / "c"), INLINE)
    c = dataset.read(str(tmp_path / "c"))
    assert [a.encoded(i) for i in (1, 2, 4, 5)] == [c.encoded(i) for i in range(4)]
    run_engine(a, (Darker(),), str(tmp_path / "e"), INLINE)
    e = dataset.read(str(tmp_path / "e"))
    assert (
        e.encoded(0)["depth"] == a.encoded(0)["depth"] and e.encoded(0)["observation.image"] != a.encoded(0)["observation.image"]
    )


def test_clips_that_kill_or_hang_cost_themselves_alone(tmp_path: Path) -> None:
    count = run_engine(Walks(6, kills=(1,), hangs=(4,)), (), str(tmp_path / "d"), Local(2, patience=6.0))
    assert (count.kept, count.dropped) == (4, 2)
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, Dataset)
    assert [(d["name"], d["rule"], d["reason"]) for d in got.dropped] == [
        ("walk-1", "failed twice", "its worker died (exit code 3)"),
        ("walk-4", "failed twice", "it took too long"),
    ]


def test_a_machine_that_can_make_nothing_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this machine cannot draw"):
        run_engine(Walks(3, halts=(1,)), (), str(tmp_path / "d"), INLINE)
    with pytest.raises(ValueError, match="no dataset is here"):
        dataset.read(str(tmp_path / "d"))


def test_a_run_refuses_what_is_another_run(tmp_path: Path) -> None:
    out = str(tmp_path / "d")
    with pytest.raises(ValueError, match="cannot draw"):
        run_engine(Walks(3, halts=(1,)), (), out, INLINE)
    with pytest.raises(ValueError, match="another run was begun here"):
        run_engine(Walks(3, halts=(1,)), (Darker(),), out, INLINE)
    run_engine(Walks(3), (), str(tmp_path / "e"), INLINE)
    before = prints(tmp_path / "e")
    assert run_engine(Walks(3), (), str(tmp_path / "e"), INLINE).kept == 3
    with pytest.raises(ValueError, match="another dataset is here"):
        run_engine(Walks(4), (), str(tmp_path / "e"), INLINE)
    assert prints(tmp_path / "e") == before


def test_all_dropped_is_a_dataset_of_nothing(tmp_path: Path) -> None:
    assert run_engine(Walks(2, bad=(0, 1)), (), str(tmp_path / "d"), INLINE) == Count(0, 2, 0)
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, Dataset) and len(got) == 0 and len(got.dropped) == 2


def test_in_an_object_store(tmp_path: Path) -> None:
    place = f"memory://{tmp_path.name}/engine"
    run_engine(Walks(3), (NotEvery(2),), place, INLINE)
    assert dataset.read(place).names == ["walk-1"]


RUN = """
import sys
from data_stages import Darker, NotEvery, Walks
from dreamx.data.engine import Local, run_engine
if __name__ == "__main__":
    run_engine(Walks(12, seconds=0.05), (NotEvery(5), Darker()), sys.argv[1], Local(int(sys.argv[2])), megabytes=0.005)
"""


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_anywhere_it_ends_with_the_same_files(tmp_path: Path, processes: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    run_engine(Walks(12, seconds=0.05), (NotEvery(5), Darker()), str(tmp_path / "whole"), INLINE, megabytes=0.005)
    out, killed = tmp_path / "killed", 0
    command = [sys.executable, str(script), str(out), str(processes)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    for parts in (1, 9, 13):  # kill when so many are there; 13: while it packs, if it is caught at it
        child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        while child.poll() is None:
            there = len(list(out.glob(".parts/*.part"))) + len(list(out.glob(".parts/*.dropped")))
            packing = bool(list(out.glob(".packing-*")))
            if there >= parts or (parts == 13 and packing):
                child.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.002)
        child.wait()
        time.sleep(0.3)  # its workers notice
        assert not (out / "meta/info.json").exists() or parts == 13
    assert killed >= 2
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    assert prints(out) == prints(tmp_path / "whole")
