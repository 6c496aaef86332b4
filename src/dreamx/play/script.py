"""From a session to the replay that one shares, and from a replay to the beginning of a session."""

from __future__ import annotations

import base64
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any

from dreamx.config import from_json
from dreamx.geometry.controls import check_keys
from dreamx.picture import read_picture
from dreamx.play.opening import Opening
from dreamx.play.past import Span, unrolled
from dreamx.play.protocol import PROMPT_LIMIT
from dreamx.play.replay import Replay, Step
from dreamx.play.starts import StartPicture
from dreamx.play.store import png

FORMAT = 1
FRAMES = 64  # of one step


def replay_of(opening: Opening, spans: tuple[Span, ...], world: str, weights: str) -> Replay:
    """The whole walk of a session, to be walked again."""
    own = opening.image is not None and opening.start is None
    return Replay(
        format=FORMAT,
        dreamx=_version(),
        world=world,
        weights=weights,
        seed=opening.seed,
        prompt=opening.prompt,
        start=opening.start,
        image=base64.b64encode(png(opening.image)).decode() if own and opening.image is not None else None,
        steps=tuple(unrolled(spans)),
    )


def script_of(data: dict[str, Any], starts: dict[str, StartPicture], size: tuple[int, int], weights: str) -> Opening:
    """What a replay begins with and then does. ValueError, one sentence, where it cannot be walked here."""
    replay = from_json(Replay, data)
    if replay.format != FORMAT:
        raise ValueError(f"start.replay: its format is {replay.format} and this server reads {FORMAT}")
    for i, step in enumerate(replay.steps):
        _check(i, step)
    note = "" if replay.weights == weights else "This replay was walked in other weights, so it will look different."
    picture = None
    if replay.start is not None:
        if replay.start not in starts:
            raise ValueError(f"start.replay: it begins from the start picture {replay.start!r}, which this server does not have")
        picture = starts[replay.start].png
    elif replay.image is not None:
        try:
            picture = base64.b64decode(replay.image, validate=True)
        except ValueError:
            raise ValueError("start.replay: its image is not base64") from None
    image = None if picture is None else read_picture(picture, size)[0]
    return Opening(image, replay.prompt, replay.seed, note, replay.start, script=replay.steps)


def _check(number: int, step: Step) -> None:
    try:
        check_keys(step.keys)
        if not 1 <= step.frames <= FRAMES:
            raise ValueError(f"it has {step.frames} frames; 1 to {FRAMES} are walked")
        if step.look is not None and not all(abs(x) < inf for x in step.look):
            raise ValueError("its look is not two numbers")
        if step.event is not None and len(step.event) > PROMPT_LIMIT:
            raise ValueError(f"its event has more than {PROMPT_LIMIT} characters")
    except ValueError as e:
        raise ValueError(f"start.replay, step {number}: {e}") from None


def _version() -> str:
    try:
        return version("dreamx")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"
