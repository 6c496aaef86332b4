"""Write ``requirements.lock``: every package of the tests and checks, ours and theirs, pinned and with the sha256 of its file.

    python tools/lock.py                         # asks pip, which asks its index; nothing is installed
    pip install --require-hashes -r requirements.lock --extra-index-url PYTORCH-CPU-INDEX && pip install --no-deps -e .

A file of another system or Python has another hash, so a lock is of the machine that it was made on: of Linux on x86-64, with the
CPU build of torch, under the Python that wrote it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"


def wanted() -> list[str]:
    """What the project and its extras ask for, without itself."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = about["optional-dependencies"]
    asked = [*about["dependencies"], *(r for many in extras.values() for r in many)]
    return sorted({r for r in asked if not r.startswith("dreamx[")})


def resolved(wanted: list[str]) -> dict[str, Any]:
    """Pip's report of what it would install."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["-c", str(ROOT / "constraints.txt"), *wanted]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def lines(report: dict[str, Any]) -> list[str]:
    """``NAME==VERSION --hash=sha256:...`` for each; ValueError where one has no hash."""
    found: list[str] = []
    for one in report["install"]:
        name, version = one["metadata"]["name"].lower().replace("_", "-"), one["metadata"]["version"]
        digest = one["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise ValueError(f"{name} has no hash: it is no file of an index")
        found.append(f"{name}=={version} --hash=sha256:{digest}")
    return sorted(found)


def main() -> None:
    """Ask, and write."""
    made = lines(resolved(wanted()))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    head = [
        f"# Made by `python tools/lock.py` under Python {python} on Linux, x86-64, with the CPU build of torch; other systems",
        "# have other files, so their hashes are not here. How to install from it: see the docstring of tools/lock.py.",
    ]
    LOCK.write_text("\n".join([*head, *made]) + "\n")
    print(f"{LOCK}: {len(made)} packages")


if __name__ == "__main__":
    main()
