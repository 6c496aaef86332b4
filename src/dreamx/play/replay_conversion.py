"""From a session to the replay that one shares, and from a replay to the beginning of a session."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

from dreamx import replay as replays
from dreamx.config import from_json, to_json
from dreamx.picture import read_picture
from dreamx.play.client_messages import PIXEL_LIMIT
from dreamx.play.gallery import StartPicture
from dreamx.play.history import Span
from dreamx.play.json_members import Members
from dreamx.play.session_spec import SessionStart
from dreamx.play.snapshot_files import png
from dreamx.play.yielding import resting
from dreamx.replay import Replay, ReplayStep
from dreamx.version import __version__


def replay_text(opening: SessionStart, spans: tuple[Span, ...], world: str, weights: str) -> str:
    """The whole walk of a session in JSON, to be walked again; of one that went on for many hours, its beginning.

    Step by step, for the same reason for which they are read so (``json_members``).
    """
    own = None if opening.start is not None else opening.image
    head = Replay(
        format=replays.FORMAT,
        dreamx=__version__,
        world=world,
        weights=weights,
        seed=opening.seed,
        prompt=opening.prompt,
        start=opening.start,
        image=None if own is None else base64.b64encode(png(own)).decode(),
        steps=(),
    )
    out, left, comma, rest = io.StringIO(), replays.STEP_LIMIT, "", resting()
    out.write(json.dumps(to_json(head)).removesuffix("]}"))
    for step, count in spans:
        text = json.dumps(to_json(step))
        rest()
        for _ in range(min(count, left)):
            out.write(comma + text)
            comma = ", "
        left -= min(count, left)
    return out.getvalue() + "]}"


class Script:
    """The steps of a replay as ``json_members`` holds them; each is made when it is walked.

    ValueError, one sentence, where one is none. They are counted before any is looked at, and all looked at before any is walked.
    """

    def __init__(self, steps: Members) -> None:
        replays.check_count(len(steps))
        self._steps = steps
        rest = resting()
        for _ in self:
            rest()

    def __iter__(self) -> Iterator[ReplayStep]:
        for number, step in enumerate(self._steps):
            try:
                yield from_json(ReplayStep, step)
            except ValueError as e:
                raise ValueError(f"replay.steps.{number}" + str(e).removeprefix("config ReplayStep")) from e


def script_of(data: dict[str, Any], starts: dict[str, StartPicture], size: tuple[int, int], weights: str) -> SessionStart:
    """Convert a replay from ``client_messages.parse`` to a session's start and steps. ValueError where it cannot be walked."""
    steps = data.get("steps")
    replay = replays.parse(data | {"steps": []} if isinstance(steps, Members) else data)
    script = Script(steps) if isinstance(steps, Members) else replay.steps
    picture = replays.picture_bytes(replay)
    if replay.start is not None:
        if replay.start not in starts:
            raise ValueError(f"replay.start: this server has no start picture {replay.start!r}; see api/world for its own")
        picture = starts[replay.start].png
    image = None if picture is None else read_picture(picture, size, PIXEL_LIMIT)[0]
    note = replays.warning(replay, weights)
    return SessionStart(image, replay.prompt, replay.seed, note, replay.start, script=script)
