"""Hash of the source code that a result depends on, so that no cache outlives the code that filled it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


def source_hash(*modules: str, data: Iterable[Path] = ()) -> str:
    """Ten hex digits of the code of ``modules`` and of everything in this package that they import, and of ``data`` files.

    ValueError names a module, FileNotFoundError a data file, that is not there: a hash of less would be reused wrongly.
    """
    digest = hashlib.sha256()
    for file in (*import_closure(*modules), *sorted(data)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:10]


@cache
def import_closure(*modules: str) -> tuple[Path, ...]:
    """Files of ``modules`` (as ``dreamx.eval.runner``) and, transitively, of what they import from this package, sorted."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file = _file(name)
        if file is None:
            raise ValueError(f"source_hash: there is no module {name}")
        found[name] = file
        waiting += [target for target in _imported(file) if target not in found]
    return tuple(sorted(found.values()))


def _imported(file: Path) -> list[str]:
    """Modules of this package that a file imports, inside functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = [name for name in names if name.split(".")[0] == _PACKAGE.name]
    return [m for name in inside if (m := name if _file(name) else name.rpartition(".")[0]) != _PACKAGE.name]


def _file(module: str) -> Path | None:
    """Return the file of a module's code; None where there is no such module."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)
