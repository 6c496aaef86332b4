"""Ctrl-C and SIGTERM: a command and its workers end at once, whatever they are at, in one sentence and without a traceback.

The work of each command here is endless to a test (thousands of clips, jobs that sleep for a day): one that goes on never ends.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import event_house
from drawing import draws

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
#: As ``dreamx``, but that SIGINT is not ignored, as it is in what a shell runs in the background.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dreamx.cli import main, COMMANDS; "
WORK = """
import os, signal, sys, threading, time
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Config:
    way: str

def asleep(name):
    Path(name).touch()
    time.sleep(86400)

def main(cfg: Config) -> None:
    if cfg.way == "pool":
        from dreamx.data.workers import pool
        with pool(2) as some:
            [f.result() for f in [some.submit(asleep, f"at-work-{i}") for i in range(9)]]
    elif cfg.way == "thread":
        threading.Thread(target=asleep, args=("at-work-0",)).start()
        time.sleep(86400)
    elif cfg.way == "deaf":
        Path("at-work-0").touch()
        while True:
            try:
                time.sleep(86400)
            except KeyboardInterrupt:
                pass
    elif cfg.way == "born":
        from multiprocessing import util
        from dreamx.data.workers import pool
        born = util.spawnv_passfds
        def slowly(*words):
            process = born(*words)
            if "spawn_main" in str(words):  # not the tracker of semaphores
                Path("at-work-0").touch()
                time.sleep(0.5)  # the signal comes here: the process is there, and knows nothing yet
            return process
        util.spawnv_passfds = slowly
        with pool(1) as some:
            some.submit(asleep, "at-work-1").result()
    elif cfg.way == "saves":
        Path("at-work-0").touch()
        try:
            time.sleep(86400)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            Path("saved").touch()
    elif cfg.way == "converted":
        Path("at-work-0").touch()
        try:
            time.sleep(86400)
        except KeyboardInterrupt:
            raise RuntimeError("a library was interrupted") from None
"""


def children(process: int) -> list[int]:
    """Of a process, and theirs."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and stat(int(folder.name))[1:2] == [str(process)]:
            found += [int(folder.name), *children(int(folder.name))]
    return found


def stat(process: int) -> list[str]:
    """State and parent; nothing where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def interrupted(
    words: list[str], folder: Path, at_work: Callable[[], bool], number: int, everyone: bool
) -> tuple[int, str, list[int]]:
    """Begin ``dreamx WORDS`` in a folder and send the signal when it is at work; its exit code, its errors, who is left of it."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "OMP_NUM_THREADS": "1"}
    code = START + "COMMANDS['work'] = ('work:main', ''); main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=folder, env=env, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not at_work():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        theirs = children(process.pid)
        (os.killpg if everyone else os.kill)(process.pid, number)
        said = process.communicate(timeout=60)[1]
        end = time.monotonic() + 30
        while left := [p for p in theirs if stat(p)[:1] not in ([], ["Z"])]:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        return process.returncode, said, left
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


SIGNALS = [
    (signal.SIGINT, True, 130), (signal.SIGINT, False, 130), (signal.SIGTERM, False, 143), (signal.SIGHUP, True, 129),
]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "number", "everyone", "code"),
    [("pool", *each) for each in SIGNALS] + [(way, *SIGNALS[1]) for way in ("thread", "deaf", "converted", "born")],
)
def test_it_ends_with_its_workers(tmp_path: Path, way: str, number: int, everyone: bool, code: int) -> None:
    (tmp_path / "work.py").write_text(WORK)
    got = interrupted(["work", "--way", way], tmp_path, lambda: any(tmp_path.glob("at-work-*")), number, everyone)
    assert got == (code, f"dreamx work: {'interrupted' if code == 130 else 'terminated'}\n", [])


def test_a_hang_up_that_comes_twice_is_one(tmp_path: Path) -> None:
    """As from the system and from the shell of a terminal that closes."""
    (tmp_path / "work.py").write_text(WORK)
    words = ["work", "--way", "saves"]
    assert interrupted(words, tmp_path, lambda: any(tmp_path.glob("at-work-*")), signal.SIGHUP, False)[0] == 129
    assert (tmp_path / "saved").exists()


def test_a_hang_up_that_nohup_asked_to_ignore_ends_nothing(tmp_path: Path) -> None:
    """Neither a command, nor a training, nor a server, each of which listens to it in its own way."""
    code = """if 1:
        import os, signal
        from dreamx.interrupt import ending, hang_up_as_term, heard_by
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ending("work", alone=True):
            with heard_by(print):
                os.kill(os.getpid(), signal.SIGHUP)
            hang_up_as_term()
            os.kill(os.getpid(), signal.SIGHUP)
            print("still here")
    """
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "still here\n", "")


def test_a_training_whose_terminal_is_closed_saves(tmp_path: Path) -> None:
    """Every word to a terminal that is gone is an error, and that must not come before all is saved."""
    code = """if 1:
        import sys, time, torch
        from pathlib import Path
        from torch import nn
        from dreamx.interrupt import ending
        from dreamx.train.run import Run
        from dreamx.train.run_config import RunConfig
        with ending("train", alone=True):
            run = Run(RunConfig(Path(sys.argv[1]), 10**6, save_seconds=None, log_every=1, threads=1))
            net = run.own(nn.Linear(1, 1), lr=1e-3)
            for x in run.steps(lambda step: torch.ones(1, 1)):
                run.update(net, net(x).square().sum())
                time.sleep(0.01)
    """
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(words, env=ENV, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_own_terminal)
    os.close(theirs)
    try:
        said = b""
        while b"step 3/" not in said:
            said += os.read(ours, 4096)
        os.close(ours)  # the system sends SIGHUP
        assert process.wait(60) == 129
    finally:
        process.kill()
    assert list((tmp_path / "checkpoints").glob("step-*/manifest.json"))


def _own_terminal() -> None:
    """A session of its own, whose terminal is standard input."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_workers_that_are_still_being_started_end_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    proc = Path("/proc")

    def starting() -> bool:
        """Is there a process of multiprocessing that was begun in the folder?"""
        for place in proc.glob("[0-9]*"):
            try:
                if os.readlink(place / "cwd") == str(tmp_path) and b"spawn_main" in (place / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
        return False

    assert interrupted(["work", "--way", "pool"], tmp_path, starting, signal.SIGINT, True) == (
        130,
        "dreamx work: interrupted\n",
        [],
    )


@draws
@pytest.mark.parametrize("form", [[], ["--dataset"]])
def test_rendering(tmp_path: Path, form: list[str]) -> None:
    words = ["data", "render", "--out", "c", "--scenes", "4000", "--frames", "21", "--processes", "2", *form]

    def at_work() -> bool:
        return any(tmp_path.glob("c/*.tmp")) or any(tmp_path.glob("c/*.safetensors")) or any(tmp_path.glob("c/.parts/*.part"))

    code, said, left = interrupted(words, tmp_path, at_work, signal.SIGINT, True)
    assert (code, said, left) == (130, "dreamx data render: interrupted\n", [])
    assert not list(tmp_path.glob("c/*.tmp"))


@draws
@pytest.mark.slow
@pytest.mark.parametrize("everyone", [True, False])
@pytest.mark.parametrize(
    ("words", "shows"),
    [
        ("data simulate --out c --scenes 4000 --processes 2", "c/takes/0*"),
        ("eval basic --models truth --processes 2 --out o --truth t", "t/*.safetensors"),
        ("eval basic --models truth --processes 1 --out o --truth t", "t/*.safetensors"),
        ("eval memory --models truth copy-first --processes 2 --out o --truth t", "t/*.safetensors"),
        ("eval events --models truth --processes 2 --out o --truth t", "t/*.safetensors"),
        ("eval quick --out o --truth t", "t/*.safetensors"),
        ("train curriculum --out r --scale tiny", "r/clips/*.safetensors"),
        ("bench play --seconds 3600", "NOTHING"),
    ],
)
def test_every_command_that_draws(tmp_path: Path, words: str, shows: str, everyone: bool) -> None:
    began = time.monotonic()

    def at_work() -> bool:
        return any(tmp_path.glob(shows)) or (shows == "NOTHING" and time.monotonic() > began + 20)

    code, said, left = interrupted(words.split(), tmp_path, at_work, signal.SIGINT, everyone)
    name = " ".join(["dreamx", *words.split()[:2]])
    assert (code, left) == (130, []) and said.splitlines()[-1] == f"{name}: interrupted" and "Traceback" not in said


def test_clips_that_are_looked_at(tmp_path: Path) -> None:
    event_house.pairs(tmp_path / "clips", 40)
    for words, shows in (
        ("data curate clips --out good --processes 2", "good/limits.json"),
        ("data pack clips --out set --processes 2", "set/.parts/*.part"),
    ):
        code, said, left = interrupted(
            words.split(), tmp_path, lambda shows=shows: any(tmp_path.glob(shows)), signal.SIGINT, True
        )
        assert (code, left) == (130, [])
        assert said == f"dreamx {' '.join(words.split()[:2])}: interrupted\n"
