"""A cache's key changes with every file that its results depend on, and with no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamx import source_hash as module
from dreamx.source_hash import import_closure, source_hash


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a -> rooms.b -> c (inside a function), and d, which nobody imports."""
    root = tmp_path / "dreamx"
    (root / "rooms").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "rooms/__init__.py").write_text("")
    (root / "a.py").write_text("from dreamx.rooms import b\n")
    (root / "rooms/b.py").write_text("import math\ndef f():\n    from dreamx.c import value\n    return value\n")
    (root / "c.py").write_text("value = 1\n")
    (root / "d.py").write_text("import dreamx.a\n")
    monkeypatch.setattr(module, "_PACKAGE", root)
    import_closure.cache_clear()
    return root


@pytest.mark.parametrize(("file", "changes"), [("a", True), ("rooms/b", True), ("c", True), ("d", False)])
def test_it_follows_imports(package: Path, file: str, changes: bool) -> None:
    before = source_hash("dreamx.a")
    path = package / f"{file}.py"
    path.write_text(path.read_text() + "# another\n")
    assert (source_hash("dreamx.a") != before) == changes


def test_what_is_missing_is_said(package: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no module dreamx\.gone"):
        source_hash("dreamx.gone")
    with pytest.raises(FileNotFoundError):
        source_hash("dreamx.a", data=[package / "weights.safetensors"])


def test_data_counts(package: Path) -> None:
    weights = package / "weights.bin"
    weights.write_bytes(b"1")
    before = source_hash("dreamx.a", data=[weights])
    weights.write_bytes(b"2")
    assert source_hash("dreamx.a", data=[weights]) != before != source_hash("dreamx.a")


def test_scores_hash_their_networks_and_every_metric() -> None:
    import_closure.cache_clear()
    names = {f.name for f in import_closure("dreamx.eval.metrics.measure")}
    assert {"measure.py", "similarity.py", "appearance.py", "align.py", "flow_estimator.py"} <= names
    assert "runner.py" not in names
