"""A house on loopback with a real server, and a player who drives it through a real socket. For the tests of play."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any, cast

from PIL import Image
from websockets.sync.client import ClientConnection, connect

import micro
from dreamx.play.gallery import StartPicture
from dreamx.play.server import create_app, listen, serve
from dreamx.play.server_messages import Picture, unpack
from dreamx.play.session_manager import SessionManager, TruthOf
from dreamx.play.session_spec import KEEP_EVERY
from dreamx.play.store import Store
from dreamx.world import World
from fake_world import FakeWorld
from serving import serving


def png(size: tuple[int, int] = (64, 64), colour: str = "teal", form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    return out.getvalue()


STARTS = {"hill": StartPicture("hill", "a green hill", png(colour="green")), "sea": StartPicture("sea", "", png())}


@contextmanager
def open_house(
    world: FakeWorld,
    room: int = 4,
    port: int = 0,
    state: Path | None = None,
    truth: TruthOf | None = None,
    idle: float = 120.0,
    token: str | None = None,
    allowed: tuple[str, ...] = (),
) -> Iterator[tuple[SessionManager, int]]:
    """The house and its port; everything is shut down at the end. ``state`` None: sessions are kept while it is open."""
    with TemporaryDirectory() as folder:
        store = Store(state or Path(folder))
        house = SessionManager(
            cast(World, world), "fake", STARTS, 85, max_sessions=room, store=store, truth=truth, idle=idle, keep_every=KEEP_EVERY
        )
        with running(house, port, token, allowed) as it:
            yield house, it


@contextmanager
def running(house: SessionManager, port: int = 0, token: str | None = None, allowed: tuple[str, ...] = ()) -> Iterator[int]:
    """The port of a server of the house."""
    listener = listen("127.0.0.1", port)
    with serving(serve(create_app(house, token, allowed), house), listener) as port:
        yield port


@contextmanager
def play_process(*flags: str) -> Iterator[tuple[Popen[str], str]]:
    """``dreamx play`` as a process of its own, and the address it printed; at the end it is killed, if it still runs."""
    code = "import sys; from dreamx.cli import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "play", "--port", "0", *flags]
    with Popen(words, stdout=PIPE, stderr=PIPE, text=True) as it:
        try:
            assert it.stdout is not None
            yield it, it.stdout.readline().strip()
        finally:
            it.kill()


@contextmanager
def process(folder: Path, *flags: str) -> Iterator[tuple[Popen[str], str]]:
    """The same with a micro world; world and state are in the folder."""
    world = folder / "world"
    if not world.exists():
        micro.world(chunk=1).export(world)
        (world / "starts").mkdir()
        (world / "starts" / "room.png").write_bytes(png((32, 32)))
    with play_process("--world", str(world), "--threads", "1", "--state", str(folder / "state"), *flags) as it:
        yield it


class Player:
    """Speaks the protocol. ``pictures`` are all frames received so far, ``replies`` all JSON messages."""

    def __init__(self, port: int, query: str = "", headers: dict[str, str] | None = None) -> None:
        address = f"ws://127.0.0.1:{port}/socket{query}"
        self._connect = connect(address, additional_headers=headers, max_size=None, max_queue=None, close_timeout=2)
        self.socket: ClientConnection
        self.pictures: list[Picture] = []
        self.replies: list[dict[str, Any]] = []
        self.showing = True

    def __enter__(self) -> Player:
        self.socket = self._connect.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connect.__exit__(*error)

    def say(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def listen(self, timeout: float = 30.0) -> dict[str, Any] | Picture:
        """The next message; a frame is painted (acknowledged) at once unless ``showing`` is off."""
        data = self.socket.recv(timeout)
        if isinstance(data, str):
            self.replies.append(json.loads(data))
            return self.replies[-1]
        picture = unpack(data)
        self.pictures.append(picture)
        if self.showing:
            self.say(type="shown", frame=picture.frame)
        return picture

    def until(self, wanted: Callable[[dict[str, Any] | Picture], bool]) -> dict[str, Any] | Picture:
        """Listen until such a message comes; every message has half a minute."""
        while not wanted(got := self.listen()):
            pass
        return got

    def reply(self, kind: str) -> dict[str, Any]:
        """The next JSON message of a type."""
        got = self.until(lambda m: isinstance(m, dict) and m["type"] == kind)
        assert isinstance(got, dict)
        return got

    def frames(self, count: int) -> list[Picture]:
        """The next so many frames."""
        have = len(self.pictures)
        self.until(lambda _: len(self.pictures) >= have + count)
        return self.pictures[have : have + count]


def eventually(happened: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether it happens within that time."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.01)
    return happened()
