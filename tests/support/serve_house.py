"""A front on loopback and replicas of a world, in threads of the test or as processes of their own."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import gettempdir
from time import sleep
from typing import Any, cast

import micro
from dreamx.play.client_messages import MESSAGE_LIMIT
from dreamx.play.play_config import PlayConfig
from dreamx.play.server import listen
from dreamx.play.session_manager import SessionManager
from dreamx.serve.front import Front
from dreamx.serve.front_app import create_front_app
from dreamx.serve.replica_server import ReplicaServer, ReplicaSpec, open_replica
from dreamx.serve.shared_store import SharedStore
from dreamx.web.connections import Connections
from dreamx.web.uvicorn_protocols import server_for
from dreamx.world import World
from fake_world import FakeWorld
from play_house import STARTS, eventually, png
from serving import serving

KEY = "the-key-of-the-house"


@contextmanager
def fronted(waiting: int = 8, token: str | None = None) -> Iterator[tuple[Front, int]]:
    """A front and its port."""
    front, listener = Front(waiting), listen("127.0.0.1", 0)
    with serving(server_for(create_front_app(front, KEY, token), Connections(), MESSAGE_LIMIT), listener) as port:
        yield front, port


@contextmanager
def replica(
    port: int, world: FakeWorld, folder: Path, name: str, room: int = 2, keep_every: float = 0.2
) -> Iterator[ReplicaServer]:
    """A replica of that name in a thread, known to the front at the port; the storage is ``folder/shared``."""
    store = SharedStore(str(folder / "shared"), folder / name, name, most=64)
    house = SessionManager(cast(World, world), "fake", STARTS, 85, max_sessions=room, store=store, keep_every=keep_every)
    server = ReplicaServer(house, name, f"http://127.0.0.1:{port}", KEY)
    try:
        assert eventually(lambda: name in {r["replica"] for r in ask(port, "/api/replicas")})
        yield server
    finally:
        assert server.stop(), "the replica did not stop"


def micro_world(folder: Path) -> Path:
    """A world of random weights, with one start picture, in the folder."""
    world = folder / "world"
    micro.world(chunk=1).export(world)
    (world / "starts").mkdir()
    (world / "starts" / "room.png").write_bytes(png((32, 32)))
    return world


@contextmanager
def replica_processes(port: int, world: Path, folder: Path, names: str) -> Iterator[Mapping[str, BaseProcess]]:
    """Replicas of a world on the disk, each (a letter) a process of its own; at the end those that still run are killed."""
    play = PlayConfig(world=str(world), threads=1, sessions=2, keep_seconds=0.25)
    spec = ReplicaSpec(play, str(folder / "shared"), 64, f"http://127.0.0.1:{port}", KEY, f"dreamx-test-{folder.name}")
    processes = {name: get_context("spawn").Process(target=_serve, args=(spec, name), daemon=True) for name in names}
    for process in processes.values():
        process.start()
    try:
        assert eventually(lambda: set(names) == {r["replica"] for r in ask(port, "/api/replicas")}, 120)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.join(10)
        shutil.rmtree(Path(gettempdir()) / spec.scratch, ignore_errors=True)


def _serve(spec: ReplicaSpec, name: str) -> None:
    server = open_replica(spec, name)
    while server.alive:
        sleep(0.1)


def ask(port: int, path: str) -> Any:
    """The JSON at an address."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.loads(answer.read())
