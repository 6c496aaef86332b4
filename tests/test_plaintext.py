"""The reader of text files: every coding, no byte replaced, no letter shown that nobody sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dreamx import replay
from dreamx.checkpoints import weight_files
from dreamx.eval.study.trials import _words
from dreamx.eval.suites.suite import Suite
from dreamx.geometry.formats import read
from dreamx.plaintext import brief, cause, decode, folded, letter, lines, natural, read_json, read_text, sentence, shown
from dreamx.play.gallery import read_starts

WORDS = "w 4\nwj 4 # ä 公園\n- 4\n"
CODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_coding_is_the_same_text(coding: str, end: str) -> None:
    assert decode(WORDS.replace("\n", end).encode(coding), "a.txt") == WORDS
    assert decode("\ufeff".encode(coding.replace("-sig", "")) + "w 4".encode("utf-16-le" if coding == "utf-16" else coding), "")


def test_big_endian_with_a_mark_and_files_that_were_joined() -> None:
    assert decode(b"\xfe\xff" + WORDS.encode("utf-16-be"), "") == WORDS
    assert decode(b"\xef\xbb\xbfw 4\r\n\xef\xbb\xbfs 4\r\n", "") == "w 4\ns 4\n"
    assert decode(b"", "") == "" and decode(b"\xff\xfe", "") == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"w 4\nein sch\xf6ner Park", "a.txt: byte 11 (0xf6, in line 2) is not UTF-8; save it as text in UTF-8"),
        (b"w 4\0", "a.txt: byte 3 is NUL"),
        (b"abc\0", "a.txt: byte 3 is NUL"),
        (b"ab\0\0cd", "a.txt: byte 2 is NUL"),
        (b"\xff\xfew\0\0\0", "a.txt: byte 4 is NUL"),
        (b"\xff\xfew\0 ", "a.txt: byte 4 (0x20, in line 1) is not UTF-16"),
        (b"\xff\xfe\x00\xdcw\0", "a.txt: byte 2 (0x00, in line 1) is not UTF-16"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a.txt: byte 0 (0x89, in line 1) is not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(ValueError) as e:
        decode(data, "a.txt")
    assert str(e.value).startswith(said) and "\n" not in str(e.value)


def test_letters_that_nobody_sees_are_named() -> None:
    assert (
        shown("w\u200b 4\u00a0x\u2800") == "'w<U+200B ZERO WIDTH SPACE> 4<U+00A0 NO-BREAK SPACE>x<U+2800 BRAILLE PATTERN BLANK>'"
    )
    assert shown("a\ufe0f\u202e\u3164").count("<U+") == 3
    assert shown("ab" * 50).endswith("...'")
    assert letter("а") == "U+0430 CYRILLIC SMALL LETTER A"
    assert folded("ｗ＋Ｊ＊4，\u200b- × 4\ufeff–１\u3000x") == "w+J*4,- * 4-1 x"


def test_lines_keep_their_numbers() -> None:
    assert lines("# head\n\n a \r".replace("\r", "") + "\n\nb\n") == [(3, "a"), (5, "b")]


def test_natural_order() -> None:
    names = ["frame_10", "frame_9", "frame_2b", "frame_2", "frame", "frame_02", "10/1", "9/2", "", "9" * 400]
    right = ["", "9/2", "10/1", "9" * 400, "frame", "frame_02", "frame_2", "frame_2b", "frame_9", "frame_10"]
    assert sorted(names, key=natural) == right


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_what_people_write_is_read_in_any_coding(tmp_path: Path, coding: str) -> None:
    """Configs, suites, captions, prompts, trajectories, replays."""
    file = tmp_path / "a.json"

    def put(data: object) -> Path:
        file.write_bytes(json.dumps(data, indent=1).replace("\n", "\r\n").encode(coding))
        return file

    assert read_json(put({"a": [1, "ä"]})) == {"a": [1, "ä"]} == weight_files.read_json(file)
    put([{"action_seq": ["w"], "action_speed_list": [4]}])
    assert len(read("dreamx-ar", {"": file.read_bytes()}).camera) == 81
    with pytest.raises(ValueError, match="replay: the key 'format' is missing|replay.*missing"):
        replay.read(put({"steps": []}))
    with pytest.raises(ValueError, match="not a readable suite .config Suite"):
        Suite.load(put({}))
    (tmp_path / "b.mp4").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes("ein Park ä\r\n".encode(coding))
    assert _words(tmp_path / "b.mp4", "b") == "ein Park ä"
    (tmp_path / "b.png").write_bytes(b"x")
    assert read_starts(tmp_path)["b"].prompt == "ein Park ä"


def test_what_is_no_json_says_the_file_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for data, said in (
        (b'{\n"a": }', "not JSON (Expecting value, line 2)"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "too long"),
        (b"\xff", "byte 0 (0xff, in line 1) is not UTF-8"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError) as e:
            read_json(file)
        assert str(e.value).startswith(f"{file}: ") and said in str(e.value)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def test_values_and_errors_are_cut_for_a_sentence() -> None:
    for short in ("a", 3, None, [1, 2], {"a": (1.5, "b")}, True):
        assert brief(short) == repr(short)
    deep: object = []
    for _ in range(500):
        deep = [deep]
    for huge in ("q" * 10**6, ["q"] * 10**6, {str(i): i for i in range(10**5)}, 10**5000, deep, b"q" * 10**6, Path("q" * 9999)):
        assert len(brief(huge)) <= 80
    assert sentence(ValueError("one\n two\x1b[31m\u202e three")) == "one two\ufffd[31m\ufffd three"
    assert len(sentence("q " * 10**6)) == 400
    ours = "the page's name is no good; the names are " + ", ".join(f"'name-{i}'" for i in range(30)) + " and 'the end'"
    assert sentence(ours) == ours, "only what is long in itself is cut"
    for echo in ("q" * 300, f"'{'q ' * 150}'", f'["{"q " * 150}"]', f"a,b{'q' * 250}:", "/q" * 150 + ":", f"page's{'q' * 300}"):
        said = sentence(f"f.json: the name {echo} is no good; give another", 1000)
        assert said.startswith("f.json: the name ") and said.endswith(" is no good; give another")
        assert said.count("q") <= 200 and "..." in said


def test_a_cause_is_said_without_the_name_of_a_class() -> None:
    for e, said in (
        (KeyError("clips"), "it has no 'clips'"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (TypeError("'int' object is not subscriptable"), "something in it is of another kind or length than it must be"),
        (IndexError("list index out of range"), "something in it is of another kind or length than it must be"),
        (MemoryError(), "a number in it is too large"),
        (ValueError("z is [3].\nand more"), "z is [3]"),
        (RuntimeError(""), "it is cut or damaged"),
        (OSError("cannot identify image file <_io.BytesIO object at 0x7f>"), "it is cut or damaged"),
    ):
        assert cause(e) == said
