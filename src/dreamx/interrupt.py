"""Ctrl-C, SIGTERM, SIGHUP: a command ends within two seconds, with its worker processes, in one sentence, without a traceback.

``ending`` stands around a command, ``Worker`` is a process that it may start. A signal raises KeyboardInterrupt in the main
thread, which unwinds as usual; what has not ended after ``GRACE`` seconds, as a library computes or a thread waits, is ended.

SIGHUP, by which a closed terminal or a lost line ends what runs in it, does what SIGTERM does, unless it is ignored: that is what
``nohup`` asks for. A terminal that is gone takes no last words, and they are not missed.
"""

from __future__ import annotations

import atexit
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import FrameType
from typing import NoReturn
from weakref import WeakSet

from dreamx import manifest

GRACE = 1.5  # seconds
_STARTED: WeakSet[SpawnProcess] = WeakSet()
_STARTING = threading.RLock()  # held while a process is started
_LONGEST_START = 5.0  # seconds that the end of a command waits for that
_SWEPT: set[Path] = set()


#: By which one is told to end; there is no SIGHUP on Windows.
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came."""


class Worker(SpawnProcess):
    """A process that hears of Ctrl-C through its parent alone: it ends when that ends it, and prints nothing."""

    def start(self) -> None:
        """Start; what a terminal sends to a whole group of processes is blocked in it from its first instruction."""
        can_block = hasattr(signal, "pthread_sigmask")
        if can_block:
            _deaf_tracker()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, set(SIGNALS) - {signal.SIGTERM}) if can_block else set[signal.Signals]()
        try:
            with _whole_start():
                super().start()
                _STARTED.add(self)
        finally:
            if can_block:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers(SpawnContext):
    """Start method for the processes of a pool."""

    Process = Worker

    def __init__(self) -> None:
        super().__init__()
        if hasattr(signal, "pthread_sigmask"):
            _deaf_tracker()


def _deaf_tracker() -> None:
    """Start the process that counts the semaphores of multiprocessing, if need be, with SIGHUP blocked: it ignores the others by
    itself. A start of another would else start it first, and that unblocks SIGINT at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS[2:])
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Waiting:
    """A signal that came while the main thread started a process: ``came`` is raised when it has."""

    starting: bool = False
    came: type[KeyboardInterrupt] | None = None


_WAITING = _Waiting()


@contextmanager
def _whole_start() -> Iterator[None]:
    """No signal interrupts what is inside: a process that was cut off from its parent at birth prints a traceback."""
    ours = threading.current_thread() is threading.main_thread()
    with _STARTING:
        _WAITING.starting = ours
        try:
            yield
        finally:
            _WAITING.starting = False
    if ours and (came := _WAITING.came):
        _WAITING.came = None
        raise came


def end_workers() -> None:
    """Kill all that run."""
    for worker in list(_STARTED):
        with suppress(ValueError, OSError, AssertionError):  # it is closed, was never started, or is of another process
            worker.kill()


def _end_work() -> None:
    if _STARTING.acquire(timeout=_LONGEST_START):
        _STARTING.release()
    end_workers()
    for worker in list(_STARTED):
        with suppress(ValueError, OSError, AssertionError):
            worker.join(1)
    for file in (file for folder in _SWEPT for file in folder.glob("*.tmp")):
        file.unlink(missing_ok=True)
    manifest.undo()


def sweep_at_end(folder: Path) -> None:
    """Remove unfinished files (``*.tmp``) of workers in ``folder`` when the command is interrupted."""
    _SWEPT.add(folder)


@contextmanager
def ending(name: str, alone: bool) -> Iterator[None]:
    """Run the command ``name`` inside. KeyboardInterrupt becomes a sentence and exit code 130, that of SIGTERM 143.

    alone: the process is there for this command, so signals are listened to, and what does not end is ended.
    """
    watch = _Watch(name) if alone and threading.current_thread() is threading.main_thread() else None
    try:
        if watch:
            watch.begin()
        yield
    except SystemExit as e:
        if watch and (watch.came or _is_one_of_several()) and isinstance(e.code, int):  # the command has said its own sentence
            leave(e.code)
        raise
    except BaseException as e:
        number = watch.came if watch else None
        if number is None and not isinstance(e, KeyboardInterrupt):
            raise
        _end_work()
        number = number or (signal.SIGTERM if isinstance(e, Terminated) else signal.SIGINT)
        if watch:
            watch.say()
            leave(128 + number)
        print(_sentence(name, number), file=sys.stderr)
        raise SystemExit(128 + number) from None
    if watch:
        watch.end()
        if _is_one_of_several():
            leave(0)


def leave(code: int) -> NoReturn:
    """End this process now, with what it has said and what was registered for its end, but without taking the interpreter down.

    With torch in it that took 2 to 4 seconds on a busy machine; and where processes talk by gloo, its threads may let go of
    their last tensor meanwhile, which ends the process with SIGABRT (seen once in some hundred runs; pytorch#190489).
    """
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # multiprocessing gives its semaphores back
    os._exit(code)


def _is_one_of_several() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def heard_by(listener: Callable[[int], None]) -> Iterator[None]:
    """Inside, ``listener`` gets the number of one of ``SIGNALS``, and nothing ends; outside of the main thread nobody does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(number: int, _: FrameType | None) -> None:
        say_no_more_to_the_gone()
        listener(number)

    before = {s: signal.signal(s, hear) for s in SIGNALS if not _is_nohup(s)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hang_up_as_term() -> None:
    """Make SIGHUP, unless it is ignored, a SIGTERM from now on: for a server, which listens to that in its own way."""

    def hear(_: int, __: FrameType | None) -> None:
        say_no_more_to_the_gone()
        signal.raise_signal(signal.SIGTERM)

    for number in SIGNALS[2:]:
        if not _is_nohup(number):
            signal.signal(number, hear)


def say_no_more_to_the_gone() -> None:
    """Let what is still said to a terminal that is gone go nowhere: every word to it would be an error, before all is saved."""
    for file in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(file).st_mode) and not os.isatty(file):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, file)
                os.close(nowhere)


def _is_nohup(number: int) -> bool:
    return number not in SIGNALS[:2] and signal.getsignal(number) == signal.SIG_IGN


def _sentence(name: str, number: int) -> str:
    return f"{name}: {'interrupted' if number == signal.SIGINT else 'terminated'}"


class _Watch:
    """The handlers of both signals, and a thread that hears of a signal at once, also while the main thread is in a library."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.came: int | None = None
        self._said = threading.Lock()
        self._over = threading.Event()

    def begin(self) -> None:
        """Listen to signals from now on."""
        ours = [s for s in SIGNALS if signal.getsignal(s) != signal.SIG_IGN]  # as a shell's `nohup` wants
        read, write = os.pipe()
        os.set_blocking(write, False)
        threading.Thread(target=self._listen, args=(read,), daemon=True).start()
        for number in ours:
            signal.signal(number, self._asked)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def end(self) -> None:
        """The command ended by itself, in its own way."""
        self._over.set()

    def say(self) -> None:
        """The sentence, once."""
        if self._said.acquire(blocking=False):
            with suppress(OSError):
                sys.stderr.write(_sentence(self._name, self.came or signal.SIGINT) + "\n")
                sys.stderr.flush()

    def _asked(self, number: int, _: FrameType | None) -> None:
        if self.came is not None:
            if number in SIGNALS[2:]:  # where a terminal closes, both the system and its shell say so
                return
            self._stop()
        self.came = number
        say_no_more_to_the_gone()
        kind = KeyboardInterrupt if number == signal.SIGINT else Terminated
        if not _WAITING.starting:
            raise kind
        _WAITING.came = kind

    def _listen(self, read: int) -> None:
        while number := os.read(read, 1):
            if signal.getsignal(number[0]) == self._asked:  # not where a training run or a server ends in its own way
                deadline = time.monotonic() + GRACE
                while time.monotonic() < deadline and not self._over.is_set():
                    time.sleep(0.05)
                if not self._over.is_set():
                    self.came = self.came or number[0]
                    self._stop()

    def _stop(self) -> None:
        """End everything now."""
        with suppress(OSError):
            _end_work()
        self.say()
        os._exit(128 + (self.came or signal.SIGINT))
