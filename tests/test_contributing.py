"""CONTRIBUTING.md is true: its map is that of ``test_floors``, and its tables name files and words that are there."""

from __future__ import annotations

import re
from pathlib import Path

from repo import ROOT
from test_floors import FLOORS


def missing_paths(text: str, package: Path) -> list[str]:
    """Paths in backticks in tables that are neither in the repo nor in the package."""
    rows = " ".join(line for line in text.splitlines() if line.startswith("|"))
    paths = [p for p in re.findall(r"`([\w./]+)`", rows) if "/" in p and "NAME" not in p]
    return [
        p
        for p in paths
        if not any((top / (p + end)).exists() for top in (ROOT, package, package / "eval") for end in ("", ".py"))
    ]


def test_the_map_names_what_is_there() -> None:
    assert missing_paths("| `play/nowhere.py` | `geometry/` |", ROOT / "src/dreamx") == ["play/nowhere.py"]
    assert missing_paths((ROOT / "CONTRIBUTING.md").read_text(), ROOT / "src/dreamx") == []


def floors_in(text: str) -> list[set[str]]:
    """Names in the second column of the table of floors, the lowest floor first; `__main__` goes without saying."""
    rows = re.findall(r"^\| \d+ \| (.*?) \|", text, re.MULTILINE)
    return [set(re.findall(r"`(\w+)/?`", row)) for row in reversed(rows)]


def test_the_map_is_that_of_the_floors() -> None:
    assert floors_in("| 1 | `b/` `c` | x |\n| 0 | `a` | `y` |") == [{"a"}, {"b", "c"}]
    assert floors_in((ROOT / "CONTRIBUTING.md").read_text()) == [set(names) - {"__main__"} for names in FLOORS]


def missing_words(text: str, package: Path) -> list[str]:
    """Names in backticks in a table's row, as `LAWS` or `suite.SHIPPED`, that stand in no file that the row names."""
    found: list[str] = []
    for row in (line for line in text.splitlines() if line.startswith("| ")):
        said = re.findall(r"`([^`]+)`", row)
        tops = (ROOT, package, package / "eval")
        there = [top / p for p in said if "/" in p or p.endswith((".py", ".md")) for top in tops if (top / p).exists()]
        files = [f for path in there for f in (path.rglob("*") if path.is_dir() else [path]) if f.suffix in {".py", ".js", ".md"}]
        words = {word for file in files for word in re.findall(r"\w+", file.read_text())}
        names = [
            name for name in said if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", name) and not name.endswith((".py", ".md"))
        ]
        found += [name for name in names if files and not set(name.split(".")) <= words | {file.stem for file in files}]
    return found


def test_where_to_add_a_thing_names_what_is_there() -> None:
    package = ROOT / "src/dreamx"
    wrong = "| suite | `LAWS` in `eval/suites/suite.py` |\n| a | `suite.SHIPPED` of `eval/suites/suite.py`, `cli.py` |"
    assert missing_words(wrong, package) == ["LAWS"]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert missing_words(text[text.index("Five places") : text.index("## Commands")], package) == []


def missing_pages(docs: Path) -> list[str]:
    """Pages in a folder that its index, README.md, does not lead to."""
    index = (docs / "README.md").read_text()
    return [page.name for page in sorted(docs.glob("*.md")) if page.name != "README.md" and f"]({page.name})" not in index]


def test_the_front_page_is_short_and_the_index_leads_to_every_page(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[a](a.md)")
    for name in ("a.md", "b.md"):
        (tmp_path / name).touch()
    assert missing_pages(tmp_path) == ["b.md"]
    assert missing_pages(ROOT / "docs") == []
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_front_page_names_every_room() -> None:
    tree = (ROOT / "README.md").read_text().partition("    src/dreamx/\n")[2].partition("    tests/")[0]
    rooms = {file.parent.name for file in (ROOT / "src/dreamx").glob("*/__init__.py")}
    assert {room for room in rooms if f" {room}/" not in tree} == set()
