"""The settings of a server that is played on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from dreamx import released
from dreamx.bounds import InputFolder, OutputFolder, Port, PositiveFloat, PositiveInt, Threads
from dreamx.model.precision import Precision
from dreamx.plaintext import named
from dreamx.play.auth import check_token
from dreamx.play.origin import check_origin
from dreamx.play.session_manager import IDLE
from dreamx.play.session_spec import KEEP_EVERY
from dreamx.web.hosts import check_host


@dataclass(frozen=True)
class PlayConfig:
    """Play a world in the browser."""

    world: str = "tiny"
    """Name of a shipped world, or path of a checkpoint."""
    choice: Annotated[released.Choice, tyro.conf.arg(name="")] = released.AS_IT_IS
    """Settings of a released model."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is this machine alone; at any other, a token is needed to come in."""
    port: Port = 8800
    """Port to listen on; a free one is taken where this one is not free."""
    threads: Threads | None = None
    """CPU threads of each stage; by default half of the cores, because a chunk is shown while the next is dreamt."""
    plain: bool = False
    """Use torch's plain products alone, not the faster ones of oneDNN; the pictures differ by rounding."""
    precision: Precision = "float32"
    """Numbers that the convolutions of a world of ours compute in; auto: bfloat16 on a processor with AMX, else float32. In
    bfloat16 a walk that is replayed elsewhere differs by rounding."""
    jpeg_quality: int = 85
    """1 to 95."""
    sessions: PositiveInt = 4
    """Most sessions at once; of dreamx serve, at each replica."""
    starts: InputFolder | None = None
    """Folder of start pictures, NAME.png with the prompt in NAME.txt; by default those of the world."""
    state: OutputFolder | None = None
    """Folder that sessions and recordings are kept in; by default dreamx in the user's folder for state (XDG_STATE_HOME). Of
    dreamx serve it is --store."""
    keep_seconds: PositiveFloat = KEEP_EVERY
    """Seconds of walking between two saves of a session: what a server that is killed costs its players at most."""
    idle_seconds: PositiveFloat = IDLE
    """A world that nobody looks at for so long is put to rest; its session is kept."""
    token: str | None = None
    """Access token. Default: none on this machine alone, a random one elsewhere."""
    truth: bool = False
    """Show what the simulator would show beside the dream, for start pictures that are scenes of it."""
    allow_origin: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Site whose pages may play, as https://worlds.example.org: where a proxy does not pass on what it was asked for.
    May be given several times."""
    allow_host: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Name that the server may be asked for by, as worlds.example.org, besides this machine's own and those of allow_origin:
    where a proxy passes on what the browser asked for. May be given several times."""
    connections: PositiveInt = 512
    """So many TCP connections at once; fewer where the system lets a process open few files (ulimit -n)."""
    connections_per_address: PositiveInt = 64
    """So many of one address; those of this machine, where a proxy or a tunnel ends, are not counted."""

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; choose 1 to 95")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port is {self.port}; choose 0 to 65535")
        if self.sessions < 1:
            raise ValueError(f"sessions is {self.sessions}; at least one person must be allowed to play")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}; give at least 1")
        if self.starts is not None and not self.starts.is_dir():
            raise ValueError(f"starts: {self.starts} is not a folder; give the folder of the start pictures")
        if not self.idle_seconds > 0:
            raise ValueError(f"idle_seconds is {self.idle_seconds}; give a positive number of seconds")
        if self.token is not None:
            check_token(self.token)
        for site in self.allow_origin:
            with named("allow_origin"):
                check_origin(site)
        for name in self.allow_host:
            with named("allow_host"):
                check_host(name)
