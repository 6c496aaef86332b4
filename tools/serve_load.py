"""Load and kills for ``dreamx serve``: ``python tools/serve_load.py [--players 16] [--replicas 4] [--kills 8]``; extra ray.

It starts ``dreamx serve`` with a world of random weights (or ``--world``), lets players walk through real sockets at the world's
own pace, and kills replicas (SIGKILL) at random meanwhile. Before each kill it reads from the storage what was saved of every
session, and when the players of that replica have come back it looks whether all of that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests/support")]

import dreamx  # noqa: E402, F401  # pyright: ignore[reportUnusedImport]  (before torch: says how threads wait)

# isort: split
import numpy as np  # noqa: E402
from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidHandshake  # noqa: E402

import micro  # noqa: E402
from dreamx.play.history import MOMENTS  # noqa: E402
from dreamx.play.server_messages import Picture, unpack  # noqa: E402
from play_house import png  # noqa: E402

WAIT = 0.5  # seconds after which a page opens its socket again (play/static/link.js)


@dataclass
class Player:
    """A page: walks, bookmarks now and then, and comes back when its socket is closed."""

    port: int
    number: int
    session: str = ""
    fps: float = 16.0
    walked: float = 0.0  # seconds, as the server said last
    moments: set[str] = field(default_factory=set[str])
    intervals: list[float] = field(default_factory=list[float])  # between two paintings of one connection
    #: When it was lost, seconds until a frame, and whether it stood in line meanwhile.
    back: list[tuple[float, float, bool]] = field(default_factory=list[tuple[float, float, bool]])
    waits: bool = False
    lost_walk: list[float] = field(default_factory=list[float])  # seconds of walking that it was set back
    must: dict[str, Any] | None = None  # what was saved of its session when its replica was killed
    looked: int = 0  # how often what was saved was looked for
    missing: list[str] = field(default_factory=list[str])
    queued: int = 0
    outgrown: int = 0  # bookmarks that newer ones have pushed out

    async def play(self, stop: asyncio.Event) -> None:
        gone = 0.0
        while not stop.is_set():
            with suppress(OSError, InvalidHandshake, TimeoutError, ConnectionClosed):
                async with connect(f"ws://127.0.0.1:{self.port}/socket", max_size=None, close_timeout=1) as ws:
                    await self._visit(ws, stop, gone)
            gone = gone or time.monotonic()
            if self.back and self.back[-1][0] >= gone:
                gone = time.monotonic()
            await asyncio.sleep(WAIT)

    async def _visit(self, ws: ClientConnection, stop: asyncio.Event, gone: float) -> None:
        frames: asyncio.Queue[Picture] = asyncio.Queue()
        painting = asyncio.create_task(self._paint(ws, frames))
        rng, landing = random.Random(self.number), False
        try:
            seq = 0
            while not stop.is_set():
                with suppress(TimeoutError):
                    data = await asyncio.wait_for(ws.recv(), 0.5)
                    if isinstance(data, bytes):
                        picture = unpack(data)
                        if gone and picture.frame == 0:
                            self.back.append((gone, time.monotonic() - gone, self.waits))
                            self.waits = False
                            gone = 0.0
                        await frames.put(picture)
                        if picture.frame % 40 == 39:
                            seq += 1
                            await self._say(ws, type="keys", held="".join(rng.sample("wasdijkl", 2)), seq=seq)
                        if picture.frame % 160 == 100:
                            await self._say(ws, type="save")
                        continue
                    said = json.loads(data)
                    match said["type"]:
                        case "hello":
                            self.fps = said["fps"]
                            how = {"type": "resume_session", "session": self.session}
                            await self._say(
                                ws, **(how if self.session else {"type": "start", "start": "room", "seed": self.number})
                            )
                        case "started":
                            landing = bool(self.session)
                            self.session = said["session"]
                        case "made":
                            if landing:
                                self._look(said["seconds"])
                                landing = False
                            self.walked = said["seconds"] + said["frames"] / self.fps
                        case "state":
                            self.moments = {m["id"] for m in said["moments"]}
                            if landing and self.must is not None:
                                self._find(self.must["moments"])
                        case "queued":
                            self.queued += 1
                            self.waits = True
                        case "error":
                            self.missing.append(f"{self.session}: {said['text']}")
                            if said["over"]:
                                self.session = ""
                                return
                        case _:
                            pass
        finally:
            painting.cancel()

    def _find(self, moments: set[str]) -> None:
        # A session keeps its newest twelve (``play.history.MOMENTS``): older ones go as others come.
        gone = {m for m in moments - self.moments if len(self.moments) < MOMENTS or int(m) > min(map(int, self.moments))}
        self.outgrown += len(moments - self.moments) - len(gone)
        if gone:
            self.missing.append(f"session {self.session}: bookmarks {sorted(gone)} are lost, {sorted(self.moments)} are there")

    def _look(self, seconds: float) -> None:
        """It is back, at so many seconds of walking: is that what was saved, or later?"""
        self.lost_walk.append(max(0.0, self.walked - seconds))
        self.looked += self.must is not None
        if self.must is not None and round(seconds * self.fps) < self.must["frames"]:
            self.missing.append(
                f"session {self.session}: {self.must['frames']} frames were saved, {seconds * self.fps:g} are there"
            )
        self.must = None

    async def _paint(self, ws: ClientConnection, frames: asyncio.Queue[Picture]) -> None:
        last = 0.0
        with suppress(ConnectionClosed):
            while True:
                picture = await frames.get()
                now = time.monotonic()
                if last and (early := last + 1 / self.fps - now) > 0:
                    await asyncio.sleep(early)
                    now = time.monotonic()
                if last:
                    self.intervals.append(now - last)
                last = now
                await self._say(ws, type="shown", frame=picture.frame)

    async def _say(self, ws: ClientConnection, **message: object) -> None:
        await ws.send(json.dumps(message))


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        data = answer.read()
    return json.loads(data) if path != "/metrics" else data.decode()


def saved(store: Path, session: str) -> dict[str, Any] | None:
    """What lies in the storage of a session: how many frames, which bookmarks. None: nothing yet."""
    folder = store / "sessions" / session
    for _ in range(20):
        with suppress(OSError, ValueError, KeyError):
            last = json.loads((folder / "session.json").read_bytes())
            frames = json.loads((folder / f"{last['here']}.json").read_bytes())["frames"]
            return {"frames": frames, "moments": {m.removeprefix("moment-") for m in last["moments"]}}
    return None


async def load(port: int, store: Path, cfg: argparse.Namespace) -> dict[str, Any]:
    stop, rng = asyncio.Event(), random.Random(cfg.seed)
    players = [Player(port, i) for i in range(cfg.players)]
    tasks = [asyncio.create_task(p.play(stop)) for p in players]
    until = time.monotonic() + 60
    while sum(bool(p.session) for p in players) < cfg.players and time.monotonic() < until:
        await asyncio.sleep(0.1)
    begun = sum(bool(p.session) for p in players)
    await asyncio.sleep(cfg.between)
    kills, ready, alive = 0, list[float](), list[int]()
    for _ in range(cfg.kills):
        there = await asyncio.to_thread(get, port, "/api/replicas")
        busy = [r for r in there if r["sessions"]]
        alive.append(len(there))
        if not busy:
            await asyncio.sleep(1)
            continue
        chosen = rng.choice(busy)
        for p in players:
            p.must = await asyncio.to_thread(saved, store, p.session) if p.session else None
        os.kill(chosen["process"], signal.SIGKILL)
        killed, kills = time.monotonic(), kills + 1
        await asyncio.sleep(cfg.between * rng.uniform(0.5, 1.5))
        while (
            len(await asyncio.to_thread(get, port, "/api/replicas")) < cfg.replicas and time.monotonic() - killed < cfg.patience
        ):
            await asyncio.sleep(0.1)
        ready.append(time.monotonic() - killed)
        for p in players:  # whose replica lives on
            p.must = None
    await asyncio.sleep(cfg.between)
    metrics = await asyncio.to_thread(get, port, "/metrics")
    stop.set()
    await asyncio.gather(*tasks)
    gaps = np.array([x for p in players for x in p.intervals])
    back = np.array([x for p in players for _, x, _ in p.back] or [0.0])
    lost = np.array([x for p in players for x in p.lost_walk] or [0.0])
    lines = [x for x in metrics.splitlines() if x.startswith("dreamx_front_replicas_lost_total")]
    return {
        "players": cfg.players,
        "sessions_begun": begun,
        "replicas": cfg.replicas,
        "kills": kills,
        "replicas_there_at_each_kill": alive,
        "seconds_until_all_were_there_again": [round(x, 1) for x in ready],
        "load_average": os.getloadavg(),
        "players_told_that_they_wait": sum(p.queued > 0 for p in players),
        "recovery_of_those_never_in_line": q(
            np.array([s for p in players for _, s, waited in p.back if not waited] or [0.0]), 95
        ),
        "replicas_lost_as_the_front_says": float(lines[0].split()[-1]) if lines else None,
        "players_thrown_out": sum(len(p.back) for p in players),
        "recovery_seconds": {"median": q(back, 50), "p95": q(back, 95), "most": q(back, 100)},
        "set_back_seconds_of_walking": {"median": q(lost, 50), "most": q(lost, 100)},
        "saved_sessions_looked_for": sum(p.looked for p in players),
        "saved_and_lost": [x for p in players for x in p.missing],
        "bookmarks_pushed_out_by_newer_ones": sum(p.outgrown for p in players),
        "frames_painted": len(gaps),
        "frame_interval_ms": {"due": round(1000 / players[0].fps, 1), "p50": q(1000 * gaps, 50), "p95": q(1000 * gaps, 95)},
    }


def q(values: np.ndarray, percent: float) -> float:
    return round(float(np.percentile(values, percent)), 2)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    for name, default in (("players", 16), ("replicas", 4), ("places", 8), ("kills", 8), ("seed", 0)):
        flags.add_argument(f"--{name}", type=int, default=default)
    flags.add_argument("--between", type=float, default=10.0, help="seconds from a kill to the next, about")
    flags.add_argument(
        "--patience", type=float, default=60.0, help="seconds that Ray has for another replica before the next kill"
    )
    flags.add_argument("--keep-seconds", type=float, default=2.0)
    flags.add_argument("--cpus", type=float, default=0.25)
    flags.add_argument("--world", default=None)
    cfg = flags.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is ended, too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = cfg.world or str(folder / "world")
        if cfg.world is None:
            micro.world(chunk=1).export(folder / "world")
            (folder / "world/starts").mkdir()
            (folder / "world/starts/room.png").write_bytes(png((32, 32)))
        code = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
        words = f"serve --port 0 --threads 1 --replicas {cfg.replicas} --sessions {cfg.places} --cpus-per-replica {cfg.cpus}"
        more = ["--world", world, "--store", str(folder / "store"), "--keep-seconds", str(cfg.keep_seconds)]
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        with Popen([sys.executable, "-c", code, *words.split(), *more], stdout=PIPE, text=True, env=env) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().strip()
                if not address:
                    raise SystemExit("dreamx serve did not start")
                found = asyncio.run(load(int(address.rsplit(":", 1)[1]), folder / "store", cfg))
            finally:
                server.send_signal(signal.SIGINT)
                server.communicate(timeout=120)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
