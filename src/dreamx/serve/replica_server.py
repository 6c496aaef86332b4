"""A replica: the server of ``dreamx play`` on a thread of its own, which says at a front that it is there."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_urlsafe
from threading import Event, Thread
from urllib.request import Request, urlopen

from dreamx import locks, manifest
from dreamx.plaintext import parse_json
from dreamx.play.open_manager import open_manager
from dreamx.play.play_config import PlayConfig
from dreamx.play.server import create_app, listen, serve
from dreamx.play.session_manager import SessionManager
from dreamx.serve.front import ANNOUNCE
from dreamx.serve.replica_directory import Announcement
from dreamx.serve.shared_store import SharedStore
from dreamx.web.connections import Connections

_SOCKETS = 2048  # connections of the front, which all come from its one address
_FRESH = 60.0  # seconds in which a replica that starts has locked its folder
GOODBYE = 30.0  # seconds that a replica has to keep its sessions when it is told to stop
_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class ReplicaSpec:
    """A replica to be opened.

    store: URL of the storage. kept: sessions that lie there at most. front: address of the front; key: what one joins it with.
    host: address of this machine that the front reaches it by. scratch: name of the folder, below that of the system for such,
    in which replicas of this front have theirs.
    """

    play: PlayConfig
    store: str
    kept: int
    front: str
    key: str
    scratch: str
    host: str = "127.0.0.1"


class ReplicaServer:
    """Serves a manager until ``stop``, and removes ``scratch`` then; ``waiting``: pages in line, as the front said last."""

    def __init__(
        self, manager: SessionManager, name: str, front: str, key: str, host: str = "127.0.0.1", scratch: Path | None = None
    ) -> None:
        self._scratch = scratch
        self.manager, self.name, self.waiting = manager, name, 0
        self._front, self._key, self._token = front, key, token_urlsafe(24)
        listener = listen(host, 0)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        self._server = serve(create_app(manager, self._token), manager, Connections(_SOCKETS, _SOCKETS))
        self._server.config.forwarded_allow_ips = "*"  # only the front knows the token, and it says whose visit it is
        self._stopped = Event()
        self._serving = Thread(target=self._server.run, kwargs={"sockets": [listener]}, name="serving", daemon=True)
        self._saying = Thread(target=self._announce, name="announcing", daemon=True)
        self._serving.start()
        self._saying.start()

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._serving.is_alive()

    def announcement(self) -> Announcement:
        """Say that it is there, with what runs now."""
        manager = self.manager
        return Announcement(
            replica=self.name,
            url=self.url,
            token=self._token,
            world=manager.name,
            size=manager.world.size,
            fps=manager.world.fps,
            places=manager.max_sessions,
            sessions=tuple(manager.sessions),
            stopping=manager.stopping or self._stopped.is_set(),
            process=os.getpid(),
        )

    def stop(self, seconds: float = GOODBYE) -> bool:
        """Take no more pages, keep every session, close; True when that was done in time."""
        self._stopped.set()
        self._say()
        self._server.should_exit = True
        self._serving.join(seconds)
        if self._scratch is not None and not self._serving.is_alive():
            shutil.rmtree(self._scratch, ignore_errors=True)
        return not self._serving.is_alive()

    def _announce(self) -> None:
        quiet = False
        while not self._stopped.wait(ANNOUNCE):
            if self._server.started:
                heard = self._say()
                if not heard and not quiet:
                    _LOG.warning("replica %s cannot reach the front at %s; it tries again", self.name, self._front)
                quiet = not heard

    def _say(self) -> bool:
        body = json.dumps(asdict(self.announcement())).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            with urlopen(Request(f"{self._front}/join", body, headers), timeout=ANNOUNCE * 4) as answer:
                self.waiting = int(parse_json(answer.read())["waiting"])
        except (OSError, ValueError):
            return False
        return True


def open_replica(spec: ReplicaSpec, name: str) -> ReplicaServer:
    """Open a world and serve it. ValueError, one sentence, where that cannot be done here."""
    root = Path(tempfile.gettempdir()) / spec.scratch
    root.mkdir(mode=0o700, exist_ok=True)
    remove_unused(root)
    folder = root / name
    try:
        manager = open_manager(spec.play, lambda: SharedStore(spec.store, folder, name, spec.kept))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return ReplicaServer(manager, name, spec.front, spec.key, spec.host, folder)


def remove_unused(root: Path) -> None:
    """Remove the folders of replicas that were killed: their sessions lie in the storage."""
    for folder in root.iterdir():
        with suppress(ValueError, OSError):
            if time.time() - folder.stat().st_mtime < _FRESH:
                continue
            locks.take(folder / manifest.NAME, "in use").release()
            shutil.rmtree(folder, ignore_errors=True)
