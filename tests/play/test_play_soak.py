"""Hours in minutes: a real server with the shipped world, several players who walk, jump, lose their line and come back.

``DREAMX_SOAK_MINUTES`` (3) and ``DREAMX_SOAK_CLIENTS`` (4) say how much of it. It prints the memory of the server by minute, the
chunks it served and the sessions it lost: ``pytest -m slow -s tests/play/test_play_soak.py``.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from statistics import mean
from threading import Event, Thread

import pytest

from dreamx.play.history import MOMENTS
from dreamx.play.server_messages import Picture
from play_house import Player, play_process

MINUTES = float(os.environ.get("DREAMX_SOAK_MINUTES", "3"))
CLIENTS = int(os.environ.get("DREAMX_SOAK_CLIENTS", "4"))
COMES_BACK = 60.0  # seconds after which a player loses the line
PATIENCE = 60.0  # seconds without a picture after which a session counts as lost


class Walker:
    """A player on a thread of its own, who walks until ``stop``. ``lost``: why its session is, if it is."""

    def __init__(self, port: int, number: int, stop: Event) -> None:
        self.lost: str | None = None
        self.chunks = self.resumed = 0
        self._port, self._stop, self._rng = port, stop, random.Random(number)
        self._codec = ("jpeg", "h264")[number % 2]
        self._start = {"start": "park-game"} if number % 3 else {"prompt": "a park in the evening"}
        self._session = ""
        self._saves = 0
        self._comes_back = time.monotonic() + COMES_BACK * (number + 1) / CLIENTS  # one after the other
        self.thread = Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                with Player(self._port) as player:
                    self._visit(player)
        except Exception as e:
            self.lost = f"{type(e).__name__}: {e}"

    def _visit(self, player: Player) -> None:
        if self._session:
            player.say(type="resume_session", session=self._session, codec=self._codec)
            self.resumed += 1
        else:
            player.say(type="start", seed=self._rng.randrange(1000), codec=self._codec, **self._start)
        seq, next_word, started = 0, 0.0, False
        while not self._stop.is_set() and time.monotonic() < self._comes_back:
            got = player.listen(PATIENCE)
            player.pictures.clear()
            player.replies.clear()
            if isinstance(got, Picture):
                continue
            started = started or got["type"] == "started"
            if got["type"] in ("rested", "busy") or (got["type"] == "error" and (got["over"] or not started)):
                raise RuntimeError(got["text"])
            self.chunks += got["type"] == "made"
            self._session = got.get("session", self._session)
            if time.monotonic() > next_word:
                seq, next_word = seq + 1, time.monotonic() + self._rng.uniform(0.3, 2)
                player.say(**self._word(seq))
        if time.monotonic() >= self._comes_back:
            self._comes_back += COMES_BACK

    def _word(self, seq: int) -> dict[str, object]:
        rng, self._saves = self._rng, self._saves + 1
        if self._saves <= MOMENTS:  # what is kept for a session is kept early, so that what grows later should not
            return {"type": "save"}
        words: list[dict[str, object]] = [
            {"type": "event", "text": "it begins to rain"},
            {"type": "save"},
            {"type": "rewind", "seconds": 2},
            {"type": "switch", "memory": rng.random() < 0.5, "camera": rng.random() < 0.9},
        ]
        if rng.random() < 0.1:
            return rng.choice(words)
        held = "".join(rng.sample("wasdijkl", rng.randrange(3)))
        return {"type": "keys", "held": held, "seq": seq, "look": [rng.uniform(-5, 5), rng.uniform(-1, 1)]}


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    words = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of the server from /proc")
def test_nothing_is_lost_and_memory_does_not_grow(tmp_path: Path) -> None:
    flags = ("--sessions", str(CLIENTS), "--state", str(tmp_path), "--threads", "1")
    with play_process("--world", "tiny", *flags) as (server, url):
        port, stop = int(url.rsplit(":", 1)[1]), Event()
        walkers = [Walker(port, i, stop) for i in range(CLIENTS)]
        memory: list[float] = []
        end = time.monotonic() + 60 * MINUTES
        try:
            while time.monotonic() < end and server.poll() is None:
                time.sleep(2)
                memory.append(resident(server.pid))
                if len(memory) % 30 == 0:
                    chunks = sum(w.chunks for w in walkers)
                    sys.stdout.write(f"minute {len(memory) // 30}: {mean(memory[-30:]):.1f} MB, {chunks} chunks\n")
                    sys.stdout.flush()
        finally:
            stop.set()
            for walker in walkers:
                walker.thread.join(PATIENCE + 10)
        server.send_signal(signal.SIGTERM)
        errors = server.communicate(timeout=60)[1]
    third = len(memory) // 3
    before, after = mean(memory[third : 2 * third]), mean(memory[2 * third :])
    lost = [w.lost for w in walkers if w.lost is not None]
    chunks, resumed = sum(w.chunks for w in walkers), sum(w.resumed for w in walkers)
    sys.stdout.write(
        f"{CLIENTS} players, {MINUTES:g} minutes: {len(lost)} sessions lost, {resumed} times resumed, {chunks} chunks; "
    )
    sys.stdout.write(f"{before:.1f} MB in the second third, {after:.1f} MB in the last\n")
    assert lost == []
    assert errors == ""
    assert server.returncode == 0
    assert all(w.chunks > 0 for w in walkers)
    assert abs(after - before) < 0.02 * before
