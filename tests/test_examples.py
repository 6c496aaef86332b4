"""The examples run from beginning to end, as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import micro
from dreamx.memory import MemoryConfig
from repo import ROOT

EXAMPLES = ROOT / "examples"


def run(name: str, *words: str, folder: Path = EXAMPLES) -> str:
    env = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(folder / name), *words]
    done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=None if folder is EXAMPLES else folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def colours(file: Path) -> int:
    """How many different ones; a figure with nothing in it has a few greys."""
    return len(np.unique(np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.parametrize(("chunk", "memory"), [(1, MemoryConfig()), (3, None)])
def test_walk(tmp_path: Path, chunk: int, memory: MemoryConfig | None) -> None:
    micro.world(chunk=chunk, memory=memory).export(tmp_path / "world")
    figures = tmp_path / "new" / "figures"
    said = run("walk.py", str(figures), str(tmp_path / "world"), "12")
    assert {x.name for x in figures.iterdir()} == {"sheet.png", "revisit.png", "map.png"}
    assert colours(figures / "sheet.png") > 500
    on, off = (float(x) for x in re.findall(r"memory o(?:n|ff): ([\d.]+) dB in the mean", said))
    recalled, steps = re.findall(r"(\d+) recalled views in (\d+) steps", said)[0]
    if memory is None:
        assert on == off
        assert "made without memory" in said
        assert (recalled, steps) == ("0", "4")  # 8, 12, 12, 12 of the 48 frames
    else:
        assert on != off
        assert int(steps) == 12
        assert int(recalled) >= 12


def test_the_page_about_python(tmp_path: Path) -> None:
    """Its blocks, as one program, in the shipped world."""
    text = (EXAMPLES.parent / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    (tmp_path / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    said = run("page.py", folder=tmp_path)
    assert said.count("torch.Size([4, 3, ") == 8 + 3
    assert {x.name for x in tmp_path.iterdir()} == {"page.py", "here.session", "walk.json"}
