"""The lock file: pinned as the constraints are, a hash for each file, no host of an index, nothing known to be unsafe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

import lock

LINE = re.compile(r"([a-z0-9.-]+)==([^ ]+) --hash=sha256:([0-9a-f]{64})$")


def locked() -> dict[str, str]:
    """Version by name."""
    rows = [line for line in lock.LOCK.read_text().splitlines() if not line.startswith("#")]
    found = [LINE.match(row) for row in rows]
    assert all(found), rows
    assert rows == sorted(rows)
    return {m[1]: m[2] for m in found if m is not None}


def test_everything_is_pinned_as_the_constraints_are() -> None:
    versions = locked()
    pinned = dict(line.split("==") for line in (lock.ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert {name: versions[name].partition("+")[0] for name in pinned} == pinned
    assert {re.split(r"[<>=\[]", r)[0] for r in lock.wanted()} <= versions.keys()
    assert versions["torch"].endswith("+cpu")
    assert "//" not in lock.LOCK.read_text()


def test_what_has_no_hash_is_no_line() -> None:
    one = {"metadata": {"name": "A_b", "version": "1"}, "download_info": {"archive_info": {"hashes": {"sha256": "0" * 64}}}}
    assert lock.lines({"install": [one]}) == ["a-b==1 --hash=sha256:" + "0" * 64]
    with pytest.raises(ValueError, match="a-b has no hash"):
        lock.lines({"install": [one | {"download_info": {"url": "x", "dir_info": {}}}]})


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_pip_installs_from_it() -> None:
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        pytest.skip("the lock is of Python 3.11 on Linux")
    done = asked("pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes", "-r", str(lock.LOCK))
    if done.returncode and "DO NOT MATCH THE HASHES" not in done.stderr.upper():
        pytest.skip(f"no index has the files: {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_nothing_in_it_is_known_to_be_unsafe() -> None:
    if find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed: pip install pip-audit")
    done = asked("pip_audit", "--disable-pip", "--no-deps", "--format", "json", "-r", str(lock.LOCK))
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        pytest.skip(f"no database of vulnerabilities can be reached: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
    looked_up = [one for one in found if "skip_reason" not in one]
    if len(looked_up) < len(found) // 2:
        pytest.skip(f"the database that can be reached knows {len(looked_up)} of {len(found)} packages")
    assert {one["name"]: [v["id"] for v in one["vulns"]] for one in looked_up if one["vulns"]} == {}
