"""The house is small to carry: all files that are kept together, and each file of weights."""

from __future__ import annotations

import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from repo import ROOT

MOST, MOST_WEIGHTS = 55_000_000, 25_000_000  # bytes


def kept(root: Path) -> list[Path]:
    """The files that git keeps; in a tree without git, as an unpacked archive, those that ``.gitignore`` does not name."""
    git = shutil.which("git") if (root / ".git").exists() else None
    if git is not None:
        listed = subprocess.run([git, "ls-files", "-z"], cwd=root, capture_output=True)
        if listed.returncode == 0:
            return [f for name in listed.stdout.decode().split("\0") if name and (f := root / name).is_file()]
    ignored = [line.strip("/") for line in (root / ".gitignore").read_text().split()] + [".git"]

    def plain(file: Path) -> bool:
        return not any(fnmatch(part, pattern) for part in file.relative_to(root).parts for pattern in ignored)

    return [f for f in root.rglob("*") if f.is_file() and plain(f)]


def too_large(root: Path) -> list[str]:
    """Return what is said of files that are too large, each and together."""
    sizes = {f.relative_to(root): f.stat().st_size for f in kept(root)}
    found = [f"{f}: {n / 1e6:.1f} MB" for f, n in sizes.items() if f.suffix == ".safetensors" and n > MOST_WEIGHTS]
    if sum(sizes.values()) > MOST:
        largest = sorted(sizes, key=lambda f: -sizes[f])[:8]
        lines = ", ".join(f"{f} {sizes[f] / 1e6:.1f}" for f in largest)
        found.append(f"all together: {sum(sizes.values()) / 1e6:.1f} MB; the largest: {lines}")
    return found


def test_all_that_is_kept_is_small() -> None:
    assert len(kept(ROOT)) > 500
    assert too_large(ROOT) == []


@pytest.mark.parametrize("git", [True, False])
def test_what_is_too_large_is_named(tmp_path: Path, git: bool) -> None:
    def plant(name: str, size: int) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as f:
            f.truncate(size)

    (tmp_path / ".gitignore").write_text("__pycache__/\n/runs/\n*.egg-info\n")
    plant("runs/old.safetensors", MOST)
    plant("__pycache__/a.pyc", MOST)
    plant("src/a.safetensors", MOST_WEIGHTS)
    if git:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
        plant("src/mine.safetensors", MOST)  # nobody added it
    assert too_large(tmp_path) == []
    plant("src/a.safetensors", MOST_WEIGHTS + 1)
    assert too_large(tmp_path) == ["src/a.safetensors: 25.0 MB"]
    plant("src/a.safetensors", MOST_WEIGHTS)
    plant("docs/film.mp4", MOST - MOST_WEIGHTS)
    if git:
        subprocess.run(["git", "add", "docs"], cwd=tmp_path, check=True)
    said = too_large(tmp_path)
    assert len(said) == 1
    assert said[0].startswith("all together: 55.0 MB; the largest: docs/film.mp4 30.0, src/a.safetensors 25.0")
