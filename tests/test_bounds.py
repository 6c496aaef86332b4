"""Bounds declared at fields, as the command line and config files meet them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from dreamx import bounds
from dreamx.config import from_json, to_json
from dreamx.flags import flags, parse


@dataclass(frozen=True)
class Lens:
    """Within another config."""

    fov: bounds.FieldOfView = 70.0
    shift: tuple[bounds.NonNegativeFloat, ...] = ()


@dataclass(frozen=True)
class FarSide:
    """A part that may be left out, with another in it."""

    depth: float = 1.0
    lens: Lens | None = None


@dataclass(frozen=True)
class Config:
    """One field of each kind."""

    clips: Annotated[bounds.InputFolder, tyro.conf.Positional]
    start: bounds.InputFile | None = None
    out: Annotated[bounds.OutputFile, bounds.Ending((".png", ".jpg"))] = Path("x.png")
    folder: bounds.OutputFolder = Path("x")
    frames: bounds.PositiveInt = 1
    size: tuple[bounds.Pixels, bounds.Pixels] | None = None
    gain: float = 1.0
    rate: bounds.PositiveFloat | None = None
    mode: Literal["fast", "safe"] | None = None
    share: bounds.Probability = 0.5
    prompt: str = ""
    lens: Lens = Lens()
    asked: Annotated[Lens, tyro.conf.arg(name="")] = Lens()
    far: FarSide | None = None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--frames 0", "--frames must be 1 or more, not 0"),
        ("--gain nan", "--gain must be a finite number, not nan"),
        ("--gain inf", "--gain must be a finite number, not inf"),
        ("--share 1.5", "--share must be 0 or more and at most 1, not 1.5"),
        ("--share nan", "--share must be 0 or more and at most 1, not nan"),
        ("--size 64 4", "--size must be 8 or more and at most 16384, not 4"),
        ("--size 64", "--size must be 2 whole numbers, not '64'"),
        ("--size a b", "--size must be 2 whole numbers, not 'a' 'b'"),
        ("--size", "--size must be 2 whole numbers, not nothing"),
        ("--mode slow", "--mode must be one of fast, safe, not 'slow'"),
        ("--rate x", "--rate must be a number, not 'x'"),
        ("--lens.fov -3", "--lens.fov must be 1 or more and at most 170, not -3.0"),
        ("--fov 180", "--fov must be 1 or more and at most 170, not 180.0"),
        ("--lens.shift 1 -1", "--lens.shift must be 0 or more, not -1.0"),
        ("--start nowhere.png", "--start must be a file, and there is no such file: nowhere.png"),
        ("--start .", "--start must be a file, and . is a folder"),
        ("--out a.gif", "--out must end in .png or .jpg, not be 'a.gif'"),
        ("--out taken.png", "--out must be a file, and taken.png is a folder"),
        ("--out file.txt/x.png", "is a file, not a folder"),
        ("--folder file.txt", "--folder must be a folder, and file.txt is a file"),
        ("--out=", "--out is empty; give a value"),
        ("--fvo 60", "--fvo is unknown; did you mean --fov?"),
        (
            "--far.depth 2",
            "--far.depth belongs to a part that is not chosen; write far:far-side after all other flags, and then it",
        ),
        (
            "far:far-side --far.lens.fov 20",
            "--far.lens.fov belongs to parts that are not chosen; write far:far-side far.lens:lens after all other flags, and "
            "then it",
        ),
    ],
)
def test_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(ValueError) as e:
        parse(Config, [".", *words.split()], "try")
    assert str(e.value).endswith(said)


def test_positional_arguments_are_named_as_help_does(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^CLIPS must be a folder, and there is no such folder: nowhere$"):
        parse(Config, ["nowhere"], "try")
    with pytest.raises(ValueError, match="^CLIPS is missing; see try --help$"):
        parse(Config, [], "try")


def test_what_is_right_passes(tmp_path: Path) -> None:
    made = parse(Config, [str(tmp_path), "--prompt", "", "--size", "8", "8", "--out", str(tmp_path / "new/a.PNG")], "try")
    assert made.size == (8, 8)
    assert set(flags(Config)) == {
        *("--start", "--out", "--folder", "--frames", "--size", "--gain", "--rate", "--mode", "--share", "--prompt"),
        *("--lens.fov", "--lens.shift", "--fov", "--shift", "--far.depth", "--far.lens.fov", "--far.lens.shift"),
    }
    far = parse(Config, [str(tmp_path), "far:far-side", "--far.depth", "2", "far.lens:lens", "--far.lens.fov", "20"], "try").far
    assert far == FarSide(2.0, Lens(20.0)), "in the words of the sentence about a part that is not chosen"


def test_a_folder_that_is_not_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:  # root may write anywhere
        monkeypatch.setattr(os, "access", lambda place, mode: not (mode & os.W_OK and Path(place) == tmp_path))
    with pytest.raises(ValueError, match="is not yours to write to"):
        parse(Config, [".", "--out", str(tmp_path / "a.png")], "try")


def test_config_files_have_the_same_bounds(tmp_path: Path) -> None:
    good = to_json(Config(tmp_path))
    assert from_json(Config, good) == Config(tmp_path)
    with pytest.raises(ValueError, match=r"^config Config: lens.fov must be 1 or more and at most 170, not 0.5$"):
        from_json(Config, good | {"lens": {"fov": 0.5, "shift": []}})
    with pytest.raises(ValueError, match=r"gain must be a finite number"):
        from_json(Config, good | {"gain": float("nan")})
