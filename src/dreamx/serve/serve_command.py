"""``dreamx serve``: the page of ``dreamx play`` over many replicas of a world, on many processors, GPUs or machines."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex, token_urlsafe
from socket import socket
from threading import Thread
from typing import Annotated

import tyro
import uvicorn

from dreamx.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from dreamx.budget.fit import world_must_fit
from dreamx.data.dataset.storage import Storage
from dreamx.interrupt import hang_up_as_term
from dreamx.play import client_messages
from dreamx.play.auth import is_loopback
from dreamx.play.open_manager import state_folder
from dreamx.play.play_config import PlayConfig
from dreamx.play.server import hosts_for, listen, tell_address, token_for
from dreamx.released import is_released
from dreamx.serve.front import Front
from dreamx.serve.front_app import create_front_app
from dreamx.serve.ray_replicas import RayReplicas, RayShare
from dreamx.serve.replica_server import ReplicaSpec, remove_unused
from dreamx.serve.shared_store import claim_storage
from dreamx.web.connections import Connections
from dreamx.web.uvicorn_protocols import server_for
from dreamx.world import find

#: Seconds that replicas have to join the front, when Ray has opened them.
_JOINED = 60.0
_SCRATCH = "dreamx-serve-"


@dataclass(frozen=True)
class ServeConfig:
    """Serve many replicas of a world behind one address, on Ray Serve (extra ``ray``)."""

    play: Annotated[PlayConfig, tyro.conf.arg(name="")] = field(default_factory=PlayConfig)
    """Settings of the page and of each replica, as of ``dreamx play``; sessions are those of one replica."""
    replicas: PositiveInt = 2
    """Replicas of the world, at least."""
    most_replicas: NonNegativeInt = 0
    """Replicas at most; as many are started as open sessions and waiting pages need. 0: always --replicas."""
    spare_places: NonNegativeInt = 1
    """Places that are to be free for whoever comes next, where there may be more replicas."""
    calm_seconds: PositiveFloat = 300.0
    """A replica is stopped when fewer were enough for so long; its players go on at another one."""
    cpus_per_replica: PositiveFloat = 1.0
    """Processor cores that Ray reserves for a replica; also its threads, where --threads does not say otherwise."""
    gpus_per_replica: NonNegativeFloat = 0.0
    """GPUs that Ray reserves for a replica, 1 at most; a part of one shares it."""
    store: str | None = None
    """Storage of the sessions, which all replicas can write to: a folder, or a url that fsspec knows, as s3://bucket/folder. By
    default a folder of this machine, beside those of dreamx play."""
    kept: PositiveInt = 1024
    """Sessions, and recordings, that are kept at most."""
    waiting: NonNegativeInt = 64
    """Pages that may wait in line when all places are taken; further ones are sent away."""
    ray_address: str | None = None
    """A running cluster of Ray, as auto or 10.0.0.1:6379; by default Ray is started on this machine."""
    front_address: str | None = None
    """Address by which replicas of other machines reach this one, as http://10.0.0.1:8800."""

    def __post_init__(self) -> None:
        if self.play.state is not None:
            raise ValueError(f"state: {self.play.state} is for dreamx play; give the storage of all replicas with --store")
        if self.most_replicas and self.most_replicas < self.replicas:
            raise ValueError(f"most_replicas is {self.most_replicas} and replicas {self.replicas}; give at least as many")
        if self.gpus_per_replica > 1:
            raise ValueError(
                f"gpus_per_replica is {self.gpus_per_replica:g}, and a session is played on one GPU: nothing here shares the "
                "frames of a running session over several; give 1"
            )
        if self.ray_address is not None and (self.front_address is None or is_loopback(self.play.host)):
            raise ValueError(
                "ray_address: replicas of other machines must reach this one; give --host 0.0.0.0 and "
                "--front-address http://ADDRESS:PORT"
            )
        if self.ray_address is not None and self.store is None:
            raise ValueError("store: replicas of other machines cannot write to a folder of this one; give --store")
        if self.front_address is not None and not self.front_address.startswith(("http://", "https://")):
            raise ValueError(f"front_address: {self.front_address!r} is no address; write it as http://10.0.0.1:8800")


def main(cfg: ServeConfig) -> None:
    """Start the replicas, print the address, serve until interrupted, and keep every session then."""
    listen(cfg.play.host, 0).close()  # refused at once, not after Ray has started
    find(cfg.play.world)
    if cfg.ray_address is None:  # else each replica looks for itself
        world_must_fit(cfg.play.world, cfg.play.choice)
    if is_released(cfg.play.world) and cfg.gpus_per_replica == 0 and cfg.play.choice.device != "cpu":
        raise ValueError("gpus_per_replica is 0, and Ray hides all GPUs from such replicas; give 1, or --device cpu")
    store = cfg.store or str(state_folder().with_name("dreamx-serve"))
    claim_storage(Storage(store), write=False)
    threads = cfg.play.threads or max(1, round(cfg.cpus_per_replica))
    share = RayShare(
        cfg.ray_address,
        cfg.replicas,
        max(cfg.replicas, cfg.most_replicas),
        cfg.cpus_per_replica,
        cfg.gpus_per_replica,
        cfg.spare_places,
        cfg.calm_seconds,
    )
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):  # of a front that was killed
        with suppress(OSError):
            remove_unused(left)
            left.rmdir()
    replicas = RayReplicas(share)
    token, listener, key = token_for(cfg.play), listen(cfg.play.host, cfg.play.port), token_urlsafe(24)
    here = f"http://{_near(cfg.play.host)}:{listener.getsockname()[1]}"
    spec = ReplicaSpec(
        play=replace(cfg.play, threads=threads),
        store=store,
        kept=cfg.kept,
        front=(cfg.front_address or here).rstrip("/"),
        key=key,
        scratch=f"{_SCRATCH}{token_hex(8)}",
    )
    front, failed = Front(cfg.waiting), list[Exception]()
    app = create_front_app(front, key, token, cfg.play.allow_origin, hosts_for(cfg.play, token))
    places = Connections(cfg.play.connections, cfg.play.connections_per_address)
    server = server_for(app, places, client_messages.MESSAGE_LIMIT)
    sys.setswitchinterval(0.001)

    def deploy() -> None:
        try:
            replicas.deploy(spec)
            wait_for(front, cfg.replicas, spec.front)
            tell_address(cfg.play, listener, token)
        except Exception as e:
            failed.append(e)
            server.should_exit = True

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when all is done
    hang_up_as_term()
    try:
        with suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves
            serve_front(front, server, replicas, Thread(target=deploy, daemon=True), listener)
    finally:
        shutil.rmtree(Path(tempfile.gettempdir()) / spec.scratch, ignore_errors=True)
    if failed:
        raise failed[0]


def serve_front(front: Front, server: uvicorn.Server, replicas: RayReplicas, deploying: Thread, listener: socket) -> None:
    """Serve until the server is told to stop; then the pages go first, and the replicas keep their sessions."""
    shutdown = server.shutdown

    async def stop(sockets: list[socket] | None = None) -> None:
        await front.stop()
        await asyncio.to_thread(replicas.stop)
        await shutdown(sockets)

    server.shutdown = stop
    deploying.start()
    server.run(sockets=[listener])


def wait_for(front: Front, least: int, address: str, seconds: float = _JOINED) -> None:
    """Wait until so many replicas have joined. ValueError where they do not, although they run."""
    end = time.monotonic() + seconds
    while len(front.directory.replicas) < least:
        if time.monotonic() > end:
            raise ValueError(f"front_address: the replicas run, and cannot reach this machine at {address}; give another")
        time.sleep(0.05)


def _near(host: str) -> str:
    """Return an address by which this machine reaches what listens at ``host``."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{near}]" if ":" in near else near
