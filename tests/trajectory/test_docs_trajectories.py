"""``docs/trajectories.md``: every dialect is on the page, its commands do what it says, its numbers and pictures are ours."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamx import cli
from dreamx.geometry.camera import relative_to
from dreamx.geometry.formats import DIALECTS, Motion, MotionOptions, read
from dreamx.geometry.formats.keys import angles
from dreamx.trajectory import draw
from dreamx.trajectory.describe_path import paragraph
from repo import ROOT

PAGE = (ROOT / "docs/trajectories.md").read_text(encoding="utf-8")


def test_every_dialect_is_on_the_page() -> None:
    assert re.findall(r"^\| `([a-z0-9.-]+)` \| ", PAGE.split("## The dialects")[1], re.M)[: len(DIALECTS)] == list(DIALECTS)


def test_its_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    used: set[str] = set()
    for line in PAGE.split("a test runs this page")[1].split("A dialect of keys")[0].splitlines():
        words = shlex.split(line)
        if words[:1] == ["echo"]:
            Path(words[3]).write_text(words[1] + "\n", encoding="utf-8")
        elif words[:1] == ["dreamx"]:
            try:
                cli.main(words[1:])
            except SystemExit as e:
                pytest.fail(f"{line}: exit code {e.code}, {capsys.readouterr()}")
            used.add(words[words.index("--dialect") + 1] if "--dialect" in words else "dreamx")
    assert used == set(DIALECTS)
    assert (tmp_path / "look.png").stat().st_size > 10_000 and (tmp_path / "look.html").is_file()


def motion(name: str, keys: list[str], numbers: list[float]) -> Motion:
    data = json.dumps([{"action_seq": keys, "action_speed_list": numbers}]).encode()
    return read(name, {"": data}, MotionOptions())


@pytest.mark.parametrize(("name", "column"), [("dreamx-ar", 1), ("dreamx-cam", 2)])
def test_the_numbers_of_both_meanings(name: str, column: int) -> None:
    rows = [r.strip("|").split(" | ") for r in PAGE.splitlines() if re.match(r"\| `\[", r)]
    assert len(rows) == 5
    for row in rows:
        keys, numbers = (json.loads(x) for x in re.findall(r"`(\[.*?\])`", row[0]))
        camera = motion(name, keys, numbers).camera
        end = relative_to(camera, camera[0]).pose[-1]
        yaw = float(angles(end[:3, :3])[0])
        true = {"ahead": float(end[2, 3]), "right": float(end[0, 3]), "left": float(-end[0, 3])}
        for value, side in re.findall(r"([\d.]+) m (ahead|right|left)", row[column]):
            assert f"{true[side]:.2f}" == value, row
        for value, side in re.findall(r"([\d.]+) degrees (?:to the )?(right|left)", row[column]):
            assert f"{yaw if side == 'right' else -yaw:.1f}" == value, row


@pytest.mark.parametrize("name", ["dreamx-ar", "dreamx-cam"])
def test_the_pictures_are_those_of_preview(name: str) -> None:
    it = motion(name, ["w", "wj"], [4, 6])
    shown = [Image.open(x).convert("RGB") for x in (ROOT / f"docs/eval-{name}.webp", io.BytesIO(draw.png(it, paragraph(it))))]
    assert shown[0].size == shown[1].size
    one, two = (np.asarray(x).astype(int) for x in shown)
    assert np.abs(one - two)[:640].mean() < 0.2, "draw docs/eval-*.webp again"
