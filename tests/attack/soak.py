"""Hours of eight players in half an hour: a real server, everything that a page can ask, and lines that break at any moment.

    PYTHONPATH=tests/support python tests/attack/soak.py --minutes 30 --clients 8

Each client begins (from the gallery, from a picture of its own, from a replay), goes on in what it had left, walks, turns, saves,
goes back and branches off, switches, rewinds, stands still, says what is to happen, records, and leaves, often without a goodbye.
It knows by heart what it has saved, and looks whether it is all there: at once, later, and after the server was begun again.

The world remembers few views (``VIEWS``), or each session would grow by 8 MB for as long as a player walks on to where nobody was
yet, which is no leak, and would hide one.

It prints the resident memory of the server by minute, and exits with 1 where something was lost or memory was not flat.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from threading import Event

from dreamx.session import find
from play_house import Player, play_process
from soak_client import PATIENCE, Client

VIEWS = 16  # that a session remembers: all are there after seconds, as else after many minutes
FLAT = 0.02  # of the memory from minute 5 on
SETTLED = 5  # minutes


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def forgetful(name: str, folder: Path) -> Path:
    """A copy of a world that remembers ``VIEWS`` views."""
    shutil.copytree(find(name), folder)
    config = json.loads((folder / "config.json").read_text())
    config["world"]["memory"]["capacity"] = VIEWS
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@dataclass
class Report:
    """What came of a soak. ``memory``: of the server in MB, by minute; ``words``: what it wrote to standard error."""

    memory: list[float]
    done: Counter[str]
    lost: list[str]
    words: str
    code: int | None

    @property
    def drift(self) -> float | None:
        """The last minutes against those after the fifth, as a share; None for a short one."""
        later = self.memory[SETTLED:]
        half = len(later) // 2
        return None if half < 1 else mean(later[-half:]) / mean(later[:half]) - 1

    @property
    def spread(self) -> float | None:
        """From the lowest to the highest minute after the fifth, as a share of their mean."""
        later = self.memory[SETTLED:]
        return None if len(later) < 2 else (max(later) - min(later)) / mean(later)


def soak(folder: Path, minutes: float, clients: int, world: str = "tiny", quiet: bool = False) -> Report:
    """Let clients play in a server for so many minutes; then begin it again, and look for all that they know of."""
    place = ("--world", str(forgetful(world, folder / "world")), "--state", str(folder / "state"))
    flags = (*place, "--sessions", str(2 * clients), "--threads", "1", "--idle-seconds", "600")
    memory: list[float] = []
    said: set[str] = set()
    with play_process(*flags) as (server, url):
        stop = Event()
        every = [Client(url, i, stop) for i in range(clients)]
        for client in every:
            client.thread.start()
        end, samples, minute = time.monotonic() + 60 * minutes, list[float](), time.monotonic() + 60
        while time.monotonic() < end and server.poll() is None:
            time.sleep(1)
            samples.append(resident(server.pid))
            if time.monotonic() >= minute or time.monotonic() >= end:
                memory.append(mean(samples))
                chunks, lost = sum(c.done["chunks"] for c in every), [x for c in every for x in c.lost]
                if not quiet:
                    new = [x for x in dict.fromkeys(lost) if x not in said]
                    said.update(new)
                    print(
                        f"minute {len(memory)}: {memory[-1]:.1f} MB, {chunks} chunks, {len(lost)} lost",
                        *new,
                        sep="\n  ",
                        flush=True,
                    )
                samples, minute = [], minute + 60
        stop.set()
        for client in every:
            client.thread.join(PATIENCE + 10)
        server.send_signal(signal.SIGTERM)
        words = server.communicate(timeout=120)[1]
        code = server.returncode
    done, lost = sum((c.done for c in every), Counter[str]()), [x for c in every for x in c.lost]
    with play_process(*flags) as (server, url):
        for number, client in enumerate(every):
            again = Client(url, number, Event())
            again.sessions = client.sessions
            for session in again.sessions:
                try:
                    with Player(int(url.rsplit(":", 1)[1]), headers=again.cookie) as player:
                        again.resume(player, session)
                        for moment in again.sessions[session].moments:
                            again.go_back(player, moment)
                    done["found again"] += 1
                except Exception as e:
                    lost.append(f"after a new beginning: {type(e).__name__}: {e}")
        server.send_signal(signal.SIGTERM)
        words += server.communicate(timeout=120)[1]
    return Report(memory, done, lost, words, code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--world", default="tiny")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        report = soak(Path(folder), given.minutes, given.clients, given.world)
    print(", ".join(f"{count} {what}" for what, count in report.done.most_common()))
    for line in (*report.lost, report.words):
        print(line)
    if report.drift is not None and report.spread is not None:
        print(f"from minute {SETTLED} on: drift {report.drift:+.2%}, from the lowest to the highest minute {report.spread:.2%}")
    print(f"{len(report.lost)} lost; the server wrote {len(report.words)} characters and ended with {report.code}")
    sys.exit(bool(report.lost or report.words or report.code or (report.drift or 0) > FLAT))


if __name__ == "__main__":
    main()
