"""Walks in weather: a walk during which fog comes and lifts, rain, dusk, night or clouds, and indoors the lights go out.

Every change takes ``SECONDS`` and then lasts, and has words of its own while it comes, while it lasts and while it goes: what a
world learns from these clips can be asked for and taken back at any time of a session. The light is laid over the pictures of the
walk of the same scene and number, so the walk is the twin in which nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from dreamx.clip import Clip
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import Scene
from dreamx.data.sim.bodies import Point, Weather
from dreamx.data.sim.event_builder import ramp
from dreamx.data.sim.overlay import laid_over
from dreamx.data.sim.take import SimulatedShot
from dreamx.data.sim.walks import WALK, film_walk
from dreamx.events import Event, Story, prompt

WEATHER = "weather"  # the subset

#: A change of weather takes so long; fixed, so that by the frames before one knows how far it has come.
SECONDS = 2.0

Says = tuple[tuple[str, str], ...]  # entity and predicate, several ways to say one thing


@dataclass(frozen=True)
class WeatherKind:
    """Light and air that come, last and go; how each is said, the first way being the one that worlds offer.

    ``sky`` and ``tint``: what the sky turns to (zenith, horizon) and by what all colours are multiplied; ``fog``, ``rain`` as in
    ``Weather``. ``indoors``: where it happens.
    """

    name: str
    comes: Says
    lasts: Says
    goes: Says
    sky: tuple[Point, Point]
    tint: Point = (1.0, 1.0, 1.0)
    fog: float = 0.0
    rain: float = 0.0
    indoors: bool = False

    def after(self, now: Weather, share: float) -> Weather:
        """The weather ``now``, with this one come as far as ``share`` (0 to 1)."""
        r, g, b = (np.array(now.light) * (1 + share * (np.array(self.tint) - 1))).tolist()
        there, own = np.array(now.sky), np.array(self.sky)
        if self.fog:  # of the colour of the sky that is there, which it does not change
            sky, whole = own + now.share * (there - own), now.share
        else:  # laid over the other sky, never brighter than that
            own = np.minimum(own, there) if now.share else own
            whole = 1 - (1 - now.share) * (1 - share)
            sky = own if not whole else own + now.share * (1 - share) / whole * (there - own)
        zenith, horizon = ((float(x), float(y), float(z)) for x, y, z in sky)
        return Weather((r, g, b), (zenith, horizon), whole, now.fog + self.fog * share, now.rain + self.rain * share)


WEATHERS = (
    WeatherKind(
        "fog",
        (("fog", "comes up"), ("mist", "rises"), ("a thick fog", "draws in"), ("it", "becomes foggy")),
        (("fog", "hangs in the air"), ("it", "is foggy"), ("everything", "lies in thick fog"), ("mist", "hides what is far")),
        (("the fog", "lifts"), ("the fog", "clears away"), ("the mist", "dissolves"), ("the air", "becomes clear")),
        ((0.70, 0.73, 0.77), (0.80, 0.82, 0.84)),
        fog=0.12,
    ),
    WeatherKind(
        "rain",
        (("rain", "begins to fall"), ("it", "starts to rain"), ("a shower", "comes down"), ("a downpour", "begins")),
        (("rain", "falls"), ("it", "is raining"), ("it", "rains heavily"), ("drops", "fall from a grey sky")),
        (("the rain", "stops"), ("it", "stops raining"), ("the shower", "passes"), ("the rain", "is over")),
        ((0.20, 0.22, 0.27), (0.42, 0.45, 0.49)),
        (0.66, 0.68, 0.72),
        rain=0.85,
    ),
    WeatherKind(
        "night",
        (("night", "falls"), ("it", "becomes night"), ("darkness", "falls"), ("it", "gets dark")),
        (("night", "lies over the place"), ("it", "is night"), ("it", "is dark"), ("everything", "lies in the dark")),
        (("day", "breaks"), ("the night", "ends"), ("the sun", "comes up"), ("it", "becomes day")),
        ((0.03, 0.04, 0.14), (0.16, 0.15, 0.32)),
        (0.30, 0.34, 0.54),
    ),
    WeatherKind(
        "evening",
        (("evening", "falls"), ("the sun", "goes down"), ("dusk", "falls"), ("it", "becomes evening")),
        (("evening light", "lies over the place"), ("it", "is evening"), ("the sky", "glows in the dusk"), ("the sun", "is low")),
        (("the day", "comes back"), ("the evening", "ends"), ("the light of noon", "comes back"), ("dusk", "ends")),
        ((0.32, 0.30, 0.62), (0.98, 0.62, 0.36)),
        (0.95, 0.70, 0.55),
    ),
    WeatherKind(
        "lights out",
        (("the lights", "go out"), ("the lamps", "go out"), ("somebody", "turns the lights off"), ("the light", "goes out")),
        (("the room", "lies in the dark"), ("the lights", "are off"), ("it", "is dark in here"), ("no lamp", "is lit")),
        (("the lights", "come on"), ("the lamps", "come on"), ("somebody", "turns the lights on"), ("the light", "comes back")),
        ((0.03, 0.04, 0.10), (0.10, 0.10, 0.18)),
        (0.24, 0.26, 0.31),
        indoors=True,
    ),
)


def film_weather(here: Scene, renderer: Renderer, index: int, shot: SimulatedShot) -> Clip:
    """The walk of this index, in weather. A pure function of the scene, the index and the shot."""
    walk = film_walk(here, renderer, index, shot)
    assert walk.depth is not None
    kinds, spans, events = forecast(here, index, shot)
    video: list[torch.Tensor] = []
    none = np.zeros(walk.depth.shape[1:], np.int16)
    for frame, (rgb, depth) in enumerate(zip(walk.video, walk.depth, strict=True)):
        moment, air = frame / shot.fps, Weather()
        for kind, span in zip(kinds, spans, strict=True):
            air = kind.after(air, share_at(span, moment))
        picture = rgb.permute(1, 2, 0).float().numpy()
        over = laid_over(picture, depth.float().numpy(), none, walk.camera[frame], here, (), air, moment)
        video.append(torch.from_numpy((over + 0.5).clip(0, 255).astype(np.uint8)).permute(2, 0, 1))
    story = Story(walk.caption.partition(". ")[2] if walk.caption.startswith("Style: ") else walk.caption, events=events)
    extra = {**walk.extra, "subset": WEATHER}
    return replace(walk, video=torch.stack(video), caption=prompt(story, here.style), story=story, extra=extra)


def forecast(
    here: Scene, index: int, shot: SimulatedShot
) -> tuple[tuple[WeatherKind, ...], list[tuple[float, float]], tuple[Event, ...]]:
    """Draw what comes in the walk of this index: kinds, (begins to come, begins to go) of each in seconds, and the records.

    One kind, or one of light and one of air; it is there from the first frame on in a third of the walks (it came ``SECONDS``
    before or earlier), and to the last in as many.
    """
    rng = np.random.default_rng([here.seed, index, *WEATHER.encode(), *here.kind.encode()])
    usable = [k for k in WEATHERS if k.indoors == here.indoors]
    first = usable[int(rng.integers(len(usable)))]
    others = [k for k in usable if k.name in ("fog", "rain") and first.name in ("night", "evening")]
    kinds = (first, others[int(rng.integers(len(others)))]) if others and rng.random() < 0.5 else (first,)
    whole, spans, events = shot.frames / shot.fps, list[tuple[float, float]](), list[Event]()
    for kind in kinds:
        early, late = rng.random(2) < 1 / 3
        begin = -SECONDS if early else float(rng.uniform(0.2, 0.5) * whole)
        end = whole + 1 if late else float(rng.uniform(max(begin, 0) + SECONDS, whole))
        spans.append((begin, end))
        words = [ways[int(rng.integers(len(ways))) * int(rng.random() < 0.6)] for ways in (kind.comes, kind.lasts, kind.goes)]
        times = ((begin, begin + SECONDS), (begin + SECONDS, end), (end, end + SECONDS))
        for (entity, predicate), (a, b) in zip(words, times, strict=True):
            a, b = max(a, 0.0), min(b, whole)
            if a < b:
                events.append(Event(f"e{len(events) + 1}", entity, predicate, "", a, b))
    return kinds, spans, tuple(events)


def share_at(span: tuple[float, float], moment: float) -> float:
    """Return how far weather of this span has come at a moment, 0 to 1."""
    begin, end = span
    return ramp(moment, begin, begin + SECONDS) - ramp(moment, end, end + SECONDS)


#: Subsets whose clips are walks through a scene that is opened once, home places too.
ON_FOOT: dict[str, Callable[[Scene, Renderer, int, SimulatedShot], Clip]] = {WALK: film_walk, WEATHER: film_weather}
