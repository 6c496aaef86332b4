"""Start, state and outputs of one session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from dreamx.play.codec import Encoder
from dreamx.play.ground_truth_stream import GroundTruthStream
from dreamx.play.history import Snapshot
from dreamx.play.server_messages import Picture, Reply
from dreamx.play.video import Recorder
from dreamx.replay import ReplayStep
from dreamx.session import Switches

#: Seconds of walking after which a session is kept.
KEEP_EVERY = 5.0


@dataclass(frozen=True)
class SessionStart:
    """Start of a session: an image ``[3, H, W]`` uint8 or None (``start``: its id in the gallery), and words.

    ``script``: steps that are walked before the player may. ``note`` is for the player to read.
    """

    image: Tensor | None
    prompt: str
    seed: int
    note: str = ""
    start: str | None = None
    switches: Switches = Switches()
    script: Iterable[ReplayStep] = ()


@dataclass(frozen=True)
class Session:
    """A session to be walked in: a new one, or one that goes on from ``here`` and can go back to ``moments``.

    owner: whose it is, ADDRESS/BROWSER/VISIT (``visitor``); empty: nobody's.
    """

    id: str
    opening: SessionStart
    here: Snapshot | None = None
    moments: tuple[Snapshot, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class Sinks:
    """Outputs of a session. ``keep`` gets the session every ``keep_every`` seconds of walking, and at the end. None may block."""

    emit: Callable[[Reply | Picture], None]
    encode: Encoder
    recorder: Recorder | None = None
    keep: Callable[[Session], None] | None = None
    ground_truth: GroundTruthStream | None = None
    keep_every: float = KEEP_EVERY
