"""Files that are written whole: by one process, by two at once, and after one that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamx import atomic
from dreamx.manifest import is_named

WRITER = """
import sys
from pathlib import Path
from dreamx import atomic
print("ready", flush=True)
sys.stdin.readline()
for _ in range(200):
    atomic.write_text(Path(sys.argv[1]), sys.argv[2] * 200_000)
"""


def test_two_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    file, env = tmp_path / "a.json", os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    every = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, file, x], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        for x in "abc"
    ]
    for one in every:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in every:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    seen: set[str] = set()
    while any(one.poll() is None for one in every):
        if file.exists():
            text = file.read_text()
            assert (len(text), len(set(text))) == (200_000, 1)
            seen.add(text[0])
    assert [one.wait() for one in every] == [0, 0, 0]
    assert seen
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    for one in every:
        one.communicate()


def test_who_comes_second_writes_beside(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with atomic.whole(file) as first:
        first.write_text("first")
        with atomic.whole(file) as second:
            second.write_text("second")
            assert first != second and first.parent == second.parent == tmp_path
            for half in (first, second):
                assert is_named(half.name, (r"a\.json",)), "a folder's command knows it for a half, and removes it"
        assert (file.read_text(), first.read_text()) == ("second", "first")
    assert file.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_who_comes_second_writes_beside_a_writer_that_renames(tmp_path: Path) -> None:
    """safetensors puts a file of its own under the name that it is given."""
    file = tmp_path / "a.safetensors"
    with atomic.whole(file) as first:
        save_file({"x": torch.zeros(1000)}, first)
        with atomic.whole(file) as second:
            assert first != second
            save_file({"x": torch.ones(1000)}, second)
        assert load_file(file)["x"].mean() == 1
    assert load_file(file)["x"].mean() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt), atomic.whole(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_text("half of something long")
    (tmp_path / "a.0.tmp").touch()
    atomic.write_text(tmp_path / "a", "x")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "x")]


def test_json_keeps_its_letters_and_is_whole_or_not_there(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"name": "Łódź", "n": [1, 2]})
    assert "Łódź" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        atomic.write_json(tmp_path / "b.json", {"x": object()})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
