"""A real server process under attack, and what is measured beside it: a good player's pictures, its health, its memory."""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Synchronised
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event, Thread

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import micro
from dreamx.play.server_messages import Picture
from play_house import Player, png

GAP = 1.0  # seconds between two frames of a good player, at most
HEALTH = 0.5  # seconds that healthz may take
BACK = 60.0  # seconds after which memory must be back
GROWTH = 1.10  # of memory then, against before
PEAK = 2**30  # bytes more than before, at any time
LOG = 20_000  # bytes that an attack may write into the log


@dataclass
class Server:
    """The process, its port, and the file that its log goes to."""

    process: Popen[str]
    port: int
    log: Path
    peak: int = 0
    _stop: Event = field(default_factory=Event)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        words = Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()
        return int(words[0]) * 1024

    def watch(self) -> None:
        """Note the greatest memory, until the end."""
        while not self._stop.wait(0.02):
            with suppress(OSError, IndexError):
                self.peak = max(self.peak, self.memory)

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()


@contextmanager
def server(folder: Path, *flags: str, files: int | None = None) -> Iterator[Server]:
    """``dreamx play`` with a micro world, that may open so many ``files``; at the end it must still run, and end when told to."""
    world = folder / "world"
    if not world.exists():
        micro.world(chunk=1).export(world)
        (world / "starts").mkdir()
        (world / "starts" / "room.png").write_bytes(png((32, 32)))
    code = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
    state = ("--state", str(folder / "state"), "--threads", "1", "--port", "0")
    words = [sys.executable, "-c", code, "play", "--world", str(world), *state, *flags]

    def few() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    log = folder / "log.txt"
    with log.open("w") as errors, Popen(words, stdout=PIPE, stderr=errors, text=True, preexec_fn=few) as it:
        try:
            assert it.stdout is not None
            found = Server(it, int(it.stdout.readline().rsplit(":", 1)[1]), log)
            watch = Thread(target=found.watch)
            watch.start()
            try:
                yield found
            finally:
                found.stop()
                watch.join()
            assert it.poll() is None, f"the server died: {log.read_text()[-2000:]}"
            it.terminate()
            assert it.wait(60) == 0
        finally:
            it.kill()


class GoodPlayer:
    """Walks and paints on its own thread. ``times``: when each picture came, on the monotonic clock; ``error``: why it ended."""

    def __init__(self, port: int) -> None:
        self.times: list[float] = []
        self.error: str | None = None
        self._port, self._stop = port, Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> GoodPlayer:
        self._thread.start()
        end = time.monotonic() + 60
        while len(self.times) < 20 and time.monotonic() < end and self.error is None:
            time.sleep(0.05)
        assert len(self.times) >= 20, self.error
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        try:
            with Player(self._port) as player:
                player.say(type="start", start="room")
                seq = 0
                while not self._stop.is_set():
                    if isinstance(player.listen(20), Picture):
                        self.times.append(time.monotonic())
                    if len(self.times) // 16 > seq:
                        seq += 1
                        player.say(type="keys", held="wa"[seq % 2], seq=seq)
                    player.pictures.clear()
                    player.replies.clear()
        except Exception as e:
            self.error = f"{type(e).__name__}: {e}"

    def longest_gap(self, since: float) -> float:
        """The longest time between two pictures since then, and until now."""
        after = [t for t in self.times if t >= since]
        edges = [since, *after, time.monotonic()]
        return max(b - a for a, b in pairwise(edges))


class Health:
    """Asks for healthz over and over. ``worst``: seconds that one answer took; one that fails counts as a minute."""

    def __init__(self, port: int) -> None:
        self.worst = 0.0
        self.asked = 0
        self._port, self._stop = port, Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            began = time.monotonic()
            try:
                httpx.get(f"http://127.0.0.1:{self._port}/healthz", timeout=20).raise_for_status()
                took = time.monotonic() - began
            except httpx.HTTPError:
                took = 60.0
            self.worst, self.asked = max(self.worst, took), self.asked + 1


def withstand(it: Server, attack: Callable[[int], None], log: int = LOG) -> str:
    """Attack with a good player beside, hold every measure, and say them in one line."""
    with attacker(attack, it.port) as (go, ended), GoodPlayer(it.port) as player:
        began = time.monotonic()
        with Health(it.port) as calm_health:  # a busy machine is no attack
            time.sleep(4)
        calm_gap = player.longest_gap(began)
        before, written = it.memory, it.log.stat().st_size
        it.peak = before
        with Health(it.port) as health:
            began = time.monotonic()
            go.set()
            assert ended.wait(300), "the attack does not end"
            took = time.monotonic() - began
            time.sleep(1)
        gap, peak = player.longest_gap(began), it.peak
        calm, end = 0, time.monotonic() + BACK
        while calm < 5 and time.monotonic() < end:  # back, and stays there
            time.sleep(1)
            calm = calm + 1 if it.memory <= GROWTH * before else 0
        after = it.memory
        assert player.error is None, player.error
    logged = it.log.stat().st_size - written
    said = (
        f"{took:.1f} s, gap {gap:.2f} s (before {calm_gap:.2f}), healthz {health.worst:.2f} s (before {calm_health.worst:.2f}), "
        f"memory {before >> 20} -> {peak >> 20} -> {after >> 20} MB, log {logged} bytes"
    )
    sys.stdout.write(said + "\n")
    assert gap <= max(GAP, 4 * calm_gap), said
    assert health.worst <= max(HEALTH, 4 * calm_health.worst), said
    assert peak - before <= PEAK, said
    assert after <= GROWTH * before, said
    assert logged <= log, it.log.read_text()[written:][:2000]
    assert "Traceback" not in it.log.read_text()
    return said


@contextmanager
def attacker(attack: Callable[[int], None], port: int) -> Iterator[tuple[Synchronised, Synchronised]]:
    """A process that attacks when the first event is set, sets the second when it has, and lives until the end.

    In a thread of this process it would keep the good player and the clock beside it from running, as nobody's attacker does:
    making one of the longest replays holds Python's lock for most of a second.
    """
    fork = get_context("fork")
    go, ended, leave = fork.Event(), fork.Event(), fork.Event()

    def run() -> None:
        try:
            go.wait()
            attack(port)
        finally:
            ended.set()
            leave.wait()

    process = fork.Process(target=run)
    process.start()
    try:
        yield go, ended
    finally:
        go.set()
        leave.set()
        process.join(60)
    assert process.exitcode == 0, f"the attack failed ({process.exitcode}); its traceback stands above"


def at_once(many: int, one: Callable[[int], object]) -> None:
    """Do it on so many threads; what one of them raises is raised here."""
    with ThreadPoolExecutor(many) as pool:
        for done in [pool.submit(one, i) for i in range(many)]:
            done.result(300)


def tell(port: int, messages: list[str], answers: bool = True) -> list[str]:
    """Say the messages on one socket, each after the answer to the one before; the types of the answers, pictures left out."""
    found: list[str] = []
    with suppress(ConnectionClosed, OSError), socket_of(port) as it:
        it.recv(30)
        for message in messages:
            it.send(message)
            while answers:
                got = it.recv(60)
                if isinstance(got, str) and (kind := json.loads(got)["type"]) in ("error", "busy", "started"):
                    found.append(kind)
                    break
    return found


def socket_of(port: int) -> ClientConnection:
    """A socket that takes whatever comes."""
    return connect(f"ws://127.0.0.1:{port}/socket", max_size=None, max_queue=None, close_timeout=2, open_timeout=30)


def raw(port: int) -> socket.socket:
    """A TCP connection, whose sending and receiving ends after 5 seconds."""
    return socket.create_connection(("127.0.0.1", port), 5)
