"""The command line: quick to help, exit codes as documented, every command leads somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import dreamx
from dreamx import cli, doctor
from repo import ROOT


@dataclass(frozen=True)
class Config:
    """A command for the tests."""

    mood: str
    count: int = 1


def command(cfg: Config) -> None:
    if cfg.mood == "bad":
        raise ValueError("mood is bad; choose good")
    if cfg.mood.startswith("q"):
        raise ValueError(f"the mood {cfg.mood!r} is bad; choose good")
    if cfg.mood == "gone":
        raise FileNotFoundError(2, "No such file or directory", "x.png")
    if cfg.mood == "stop":
        raise KeyboardInterrupt
    print(cfg.mood * cfg.count)


@pytest.fixture(autouse=True)
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "try", (f"{__name__}:command", "for the tests"))


def leave(words: list[str]) -> int:
    with pytest.raises(SystemExit) as e:
        cli.main(words)
    assert isinstance(e.value.code, int)
    return e.value.code


def leaves(commands: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for found in commands.values():
        yield from leaves(found) if isinstance(found, Mapping) else [found]


@pytest.mark.parametrize("long", ["q" * 10_000, "q " * 5_000, "q/" * 5_000])
@pytest.mark.parametrize(
    "words",
    [["try", "--mood", "{}"], ["try", "--mood", "a", "--count", "{}"], ["try", "--mood", "a", "--{}", "1"], ["{}"], ["try", "{}"],
     ["trajectory", "check", "{}"], ["eval", "show", "{}"], ["generate", "--replay", "{}"], ["convert", "{}", "x"]],
)  # fmt: skip
def test_what_was_written_is_never_said_back_at_length(words: list[str], long: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The one place through which every error of a command goes: whatever the library says, 200 letters of a value come out."""
    with pytest.raises(SystemExit) as e:
        cli.main([w.format(long) for w in words])
    said = capsys.readouterr().err
    assert e.value.code == 2
    assert 0 < len(said) <= 1001 and said.count("\n") == 1
    assert said.count("q") <= 200


def test_flags_are_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["try", "--mood", "good", "--count", "2"])
    assert capsys.readouterr().out == "goodgood\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["try", "--mood", "bad"], 2, "dreamx try: mood is bad; choose good\n"),
        (["try", "--mood", "gone"], 2, "dreamx try: x.png: No such file or directory\n"),
        (["try", "--mood", "stop"], 130, "dreamx try: interrupted\n"),
        (["walk"], 2, "dreamx: 'walk' is not a command; the commands are play, "),
        (["train", "dog"], 2, "dreamx train: 'dog' is not a command; the commands are "),
        (["try", "--mood", "good", "--colour", "red"], 2, "dreamx try: --colour is unknown; dreamx try --help lists the flags\n"),
        (["try", "--mood", "good", "--cuont", "2"], 2, "dreamx try: --cuont is unknown; did you mean --count?\n"),
        (["try"], 2, "dreamx try: --mood is missing; see dreamx try --help\n"),
        (["try", "--mood"], 2, "dreamx try: --mood wants a value after it\n"),
        (["try", "--mood", "good", "--count", "two"], 2, "dreamx try: --count must be a whole number, not 'two'\n"),
        (["try", "--mood", "good", "more"], 2, "dreamx try: 'more' belongs to no flag; dreamx try --help lists them\n"),
        (["try", "--mood", ""], 2, "dreamx try: --mood is empty; give a value\n"),
    ],
)
def test_what_goes_wrong(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(words) == code
    assert said in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out == f"dreamx {dreamx.__version__}\n"


def test_help_names_every_command_and_none_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name}" in shown for name in cli.COMMANDS)
    assert leave([]) == 2
    assert leave(["train", "--help"]) == 0
    assert leave(["try", "--help"]) == 0
    assert "--mood" in capsys.readouterr().out


def test_every_command_is_a_function_of_a_config() -> None:
    for target, words in leaves(cli.COMMANDS):
        module, function = target.split(":")
        run = getattr(import_module(module), function)
        assert is_dataclass(get_type_hints(run)["cfg"]), target
        assert words


def configs(kind: object) -> Iterator[type]:
    """A config and, transitively, the configs of its fields."""
    if isinstance(kind, type) and is_dataclass(kind) and (kind.__module__.startswith("dreamx.") or kind is Config):
        yield kind
        for inner in get_type_hints(kind).values():
            yield from configs(inner)
    for inner in get_args(kind):
        yield from configs(inner)


def silent_fields(kind: type) -> list[str]:
    """Fields of a class that no string stands under, which ``--help`` would print."""
    text = ast.parse(Path(inspect.getfile(kind)).read_text())
    (found,) = (n for n in text.body if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    return [
        f"{kind.__name__}.{ast.unparse(field.target)}"
        for field, below in zip(found.body, [*found.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant))
    ]


def test_help_says_what_every_field_is() -> None:
    """Of all commands, whatever the classes are called that their configs are made of."""
    assert silent_fields(Config) == ["Config.mood", "Config.count"]
    targets = [target.split(":") for target, _ in leaves({k: v for k, v in cli.COMMANDS.items() if k != "try"})]
    hints = [get_type_hints(getattr(import_module(module), name))["cfg"] for module, name in targets]
    found = {inner for cfg in hints for inner in configs(cfg)}
    assert len(found) > 80
    assert [field for kind in sorted(found, key=str) for field in silent_fields(kind)] == []


def test_extras_are_named_as_a_checkout_installs_them() -> None:
    """There is no dreamx to be downloaded by its name."""
    texts = [
        ROOT / "README.md",
        *(p for d in ("src", "docs", "examples") for e in ("py", "md") for p in (ROOT / d).rglob(f"*.{e}")),
    ]
    assert [p.name for p in texts if re.search(r"dreamx\[[a-z]", p.read_text(encoding="utf-8"))] == []


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys, dreamx.cli
try:
    dreamx.cli.main(["--help"])
except SystemExit:
    print(sorted({"torch", "tyro"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f'{sys.executable} -c \'import sys; from dreamx.cli import main; main(["doctor", "--help"])\' | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr


def test_python_m_dreamx() -> None:
    done = subprocess.run([sys.executable, "-m", "dreamx", "walk"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "not a command" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_is_amiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.python().good
    assert doctor.library().good
    assert doctor.video().good
    assert doctor.worlds(tmp_path).good is False
    (tmp_path / "small").mkdir()
    (tmp_path / "small/config.json").write_text("{}")
    assert doctor.worlds(tmp_path) == doctor.Finding("worlds", True, "small")
    monkeypatch.setattr(doctor, "drawing", lambda: doctor.Finding("simulator", None, "not here"))
    monkeypatch.setattr(doctor, "worlds", lambda: doctor.Finding("worlds", False, "none"))
    assert leave(["doctor"]) == 1
    assert "NO  worlds     none" in capsys.readouterr().out
