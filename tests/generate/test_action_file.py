"""Action files as people write them: any coding, capitals, names; what is unclear is refused with its line and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamx.generate import read_actions

SAID = "w 4\r\nwj 4\r\n- 4\r\n"
RIGHT = ["w"] * 4 + ["wj"] * 4 + [""] * 4


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_editor_and_shell(tmp_path: Path, coding: str) -> None:
    file = tmp_path / "weg zum Park 公園.txt"
    file.write_bytes(SAID.encode(coding))
    assert read_actions(str(file)) == RIGHT


@pytest.mark.parametrize(
    ("line", "keys"),
    [("WJ 2", "wj"), ("W+J 2", "wj"), ("w j 2", "wj"), ("forward 2", "w"), ("backward+l 2", "sl"), ("none 2", ""),
     ("w\u30002", "w"), ("\u200bw\u00a02\ufeff", "w"), ("ｗ ２", "w"), ("\tw\t2", "w")],
)  # fmt: skip
def test_what_is_clear_is_read(tmp_path: Path, line: str, keys: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(line + "\n", encoding="utf-8")
    assert read_actions(str(file)) == [keys] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("left 4", "'left' may be a step or a look; write a to step, or j to look"),
        ("ArrowUp 4", "write w to step, or i to look"),
        ("↓ 4", "write s to step, or k to look"),
        ("w 0", "'0' is no whole number of frames from 1; write for example: wj 32"),
        ("w -4", "'-4' is no whole number"),
        ("w 4.0", "'4.0' is no whole number"),
        ("w 4 0.1 -0.2", "no mouse is read; hold i j k l to look"),
        ("w, 4", "is not KEYS FRAMES; write for example: wj 32"),
        ("w", "is not KEYS FRAMES; write for example: wj 32"),
        ("\u0430 4", "U+0430 CYRILLIC SMALL LETTER A is not a key; use w a s d"),
        ("w\u200b", "'w<U+200B ZERO WIDTH SPACE>' is not KEYS FRAMES"),
    ],
)
def test_what_is_unclear_names_the_line_and_what_to_write(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text("w 4\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError) as e:
        read_actions(str(file))
    words = str(e.value)
    assert words.startswith(f"{file}, line 2: ") and said in words
    assert words.isprintable() and "\u200b" not in words


def test_lines_of_actions() -> None:
    assert read_actions("W*1, W+J * 1,-*1") == ["w", "wj", ""]
    assert read_actions("ｗ＊１，j×1、\u200bk*1") == ["w", "j", "k"]
    for text, said in (
        ("w-31", "there is no file 'w-31'"),
        ("w*4;j*4", "span 1 'w\\*4;j\\*4' is not of the form"),
        (" *4", "not of the"),
    ):
        with pytest.raises(ValueError, match=said):
            read_actions(text)


def test_a_folder_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; name a file"):
        read_actions(str(tmp_path))
    file = tmp_path / "a.txt"
    file.write_bytes(b"w 4\nw\xe4 4\n")
    with pytest.raises(ValueError, match="a.txt: byte 5 .0xe4, in line 2. is not UTF-8"):
        read_actions(str(file))
