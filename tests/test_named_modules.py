"""Modules and files that docs and docstrings name in backticks are there: `data.sim.simulate`, ``train/pose.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repo import ROOT
from test_floors import modules

#: Endings of files that are named without a folder, as ``eval.json``.
_FILES = {"json", "jsonl", "safetensors", "md", "html", "png", "mp4", "js", "css", "py", "txt", "npy"}
#: Files that stand for many in "Where do I add a ...".
_PATTERNS = {"train/NAME.py"}


def texts(package: Path, docs: list[Path]) -> Iterator[tuple[str, str]]:
    """Each file's name, and what it says: the whole of ``docs``, all strings that stand alone in the code."""
    yield from ((file.name, file.read_text()) for file in docs)
    for name, file in modules(package).items():
        alone = [n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Expr)]
        yield name, "\n".join(c.value for c in alone if isinstance(c, ast.Constant) and isinstance(c.value, str))


def defined(file: Path) -> set[str]:
    """Names that a module defines or imports, on any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def missing_modules(package: Path, docs: list[Path]) -> list[str]:
    """Dotted names that begin with a folder of the package and lead nowhere, and paths of ``.py`` files that are not there."""
    known: dict[str, list[Path]] = {}  # eval.estimators.pose.align, estimators.pose.align, pose.align, align
    for name, file in modules(package).items():
        parts = name.split(".")
        for i in range(len(parts)):
            known.setdefault(".".join(parts[i:]), []).append(file)
    folders = {file.parent.name for file in package.rglob("*/__init__.py")} - {package.name}
    found: list[str] = []
    for where, said in texts(package, docs):
        for name in dict.fromkeys(re.findall(r"`([\w./]+)`", said)):
            if "/" in name and name.endswith(".py") and name not in _PATTERNS:
                if not any((top / name).is_file() for top in (package.parents[1], package, package / "eval")):
                    found.append(f"{where}: {name}")
            elif re.fullmatch(r"\w+(\.\w+)+", name) and not name.endswith(tuple(f".{end}" for end in _FILES)):
                parts = name.removeprefix(f"{package.name}.").split(".")
                if parts[0] not in folders:
                    continue
                depth = max(i for i in range(1, len(parts) + 1) if i == 1 or ".".join(parts[:i]) in known)
                files = known.get(".".join(parts[:depth]), [])
                if depth < len(parts) and not any(parts[depth] in defined(file) for file in files):
                    found.append(f"{where}: {name}")
    return found


def test_named_modules_are_there() -> None:
    # LOG.md tells what was tried, under the names of its day.
    docs = [p for p in (ROOT / "docs").rglob("*.md") if p.name != "LOG.md"] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    assert missing_modules(ROOT / "src/dreamx", [*docs, *(ROOT / "src").rglob("*.md")]) == []


def test_a_name_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    package = tmp_path / "src/dreamx"
    for name, text in {
        "__init__.py": "",
        "eval/__init__.py": "",
        "eval/pose/__init__.py": '"""``eval.pose.check``, ``eval.pose.align``, ``pose.align.kabsch``, ``pose.align.umeyama``"""',
        "eval/pose/align.py": "def kabsch(): ...",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    page = tmp_path / "page.md"
    good = ("eval/pose/align.py", "eval.json", "torch.nn")
    bad = ("src/dreamx/eval/pose/check.py", "eval/gone.py", "dreamx.eval.gone")
    page.write_text(" ".join(f"`{name}`" for name in (*good, *bad)))
    assert missing_modules(package, [page]) == [
        *(f"page.md: {name}" for name in bad),
        *(f"eval.pose: {name}" for name in ("eval.pose.check", "pose.align.umeyama")),
    ]
