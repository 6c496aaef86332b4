"""From a session to the replay that one shares, and from a replay to the beginning of a session."""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any

from dreamx import replay as replays
from dreamx.picture import read_picture
from dreamx.play.client_messages import PIXEL_LIMIT
from dreamx.play.gallery import StartPicture
from dreamx.play.history import Span, unrolled
from dreamx.play.session_spec import SessionStart
from dreamx.play.written import png
from dreamx.replay import Replay, ReplayStep
from dreamx.version import __version__


def replay_of(opening: SessionStart, spans: tuple[Span, ...], world: str, weights: str) -> Replay:
    """The whole walk of a session, to be walked again; of one that went on for many hours, its beginning."""
    own = None if opening.start is not None else opening.image
    return Replay(
        format=replays.FORMAT,
        dreamx=__version__,
        world=world,
        weights=weights,
        seed=opening.seed,
        prompt=opening.prompt,
        start=opening.start,
        image=None if own is None else base64.b64encode(png(own)).decode(),
        steps=tuple(islice(unrolled(spans), replays.STEP_LIMIT)),
    )


def script_of(data: dict[str, Any], starts: dict[str, StartPicture], size: tuple[int, int], weights: str) -> SessionStart:
    """What a replay begins with and then does. ValueError, one sentence, where it cannot be walked here."""
    replay = replays.parse(data)
    picture = replays.picture_bytes(replay)
    if replay.start is not None:
        if replay.start not in starts:
            raise ValueError(f"replay.start: this server has no start picture {replay.start!r}; see api/world for its own")
        picture = starts[replay.start].png
    image = None if picture is None else read_picture(picture, size, PIXEL_LIMIT)[0]
    note = replays.warning(replay, weights)
    known: dict[ReplayStep, ReplayStep] = {}
    steps = tuple(known.setdefault(s, s) for s in replay.steps)  # for hours a walk does much the same: each is held once
    return SessionStart(image, replay.prompt, replay.seed, note, replay.start, script=steps)
