"""Commands of ``dreamx`` as processes of their own, forked from one that has imported it all, and killed at an exact moment.

A kill comes before the n-th time that the command makes, renames or removes a file or a folder below a place (an audit hook
counts them, and the process sends SIGKILL to itself): the same moment on a busy machine as on an idle one.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """code: as of ``subprocess``, -9 after a kill. moments: how often it made, renamed or removed something. said: its words."""

    code: int
    moments: int
    said: str


class Forker:
    """A process that forks commands, one at a time."""

    def __init__(self, modules: tuple[str, ...], scratch: Path) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self._said = scratch / "said.txt"
        command = [sys.executable, __file__, str(self._said), *modules]
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._tell: Any = self._process.stdin
        self._hear: Any = self._process.stdout

    def start(self, words: list[str], below: Path, die_at: int | None = None) -> int:
        """Begin ``dreamx WORDS``; returns the process's id. ``die_at``: which moment below ``below`` is its last."""
        print(json.dumps([words, str(below), die_at]), file=self._tell, flush=True)
        return int(self._hear.readline())

    def end(self) -> Ended:
        """Wait for what was begun."""
        code, moments = json.loads(self._hear.readline())
        return Ended(code, moments, self._said.read_text(errors="replace"))

    def run(self, words: list[str], below: Path, die_at: int | None = None) -> Ended:
        """``start`` and ``end``."""
        self.start(words, below, die_at)
        return self.end()

    def close(self) -> None:
        """Let it end."""
        self._tell.close()
        self._process.wait(60)
        self._hear.close()


@contextmanager
def forker(modules: tuple[str, ...], scratch: Path) -> Iterator[Forker]:
    """A ``Forker`` for a while."""
    f = Forker(modules, scratch)
    try:
        yield f
    finally:
        f.close()


def _count(below: str, die_at: int | None) -> list[int]:
    """Count moments in this process from now on, and die at one."""
    moments = [0]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            there = isinstance(args[0], str) and args[0].startswith(below) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            there = args[-1] != -1 or str(args[0]).startswith(below)  # a tree is removed by names that are relative to a folder
        else:
            return
        if there and not str(args[0]).endswith(".lock"):  # nothing is written there, and the last moment is to be one of work
            moments[0] += 1
            if moments[0] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return moments


def _child(words: list[str], below: str, die_at: int | None, said: str, reply: int) -> None:
    from dreamx.cli import main

    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdin.close()
    code = 1
    moments = _count(below, die_at)
    try:
        main(words)
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(reply, str(moments[0]).encode())
        os._exit(code)


def _serve(said: str, modules: list[str]) -> None:
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # what is there stays shared with those that are forked
    for line in sys.stdin:
        words, below, die_at = json.loads(line)
        hear, tell = os.pipe()
        if not (pid := os.fork()):
            os.close(hear)
            _child(words, below, die_at, said, tell)
        os.close(tell)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(hear) as pipe:
            print(json.dumps([os.waitstatus_to_exitcode(status), int(pipe.read() or 0)]), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])
