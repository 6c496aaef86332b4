"""Events of light, air and looks: lamps, the time of day, fog, rain, a change of colour, something that appears or is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dreamx.data.scene.textures import COLOURS, tint
from dreamx.data.sim.bodies import EventSpot, MotionLog, Weather
from dreamx.data.sim.event_builder import Happening, Setup, ramp, solid


def lights(setup: Setup, spot: EventSpot) -> None:
    """The light goes out, comes on, or flickers."""
    low, begin = float(setup.rng.uniform(0.22, 0.34)), float(setup.rng.uniform(0.7, 2.0))
    off = setup.rng.random() < 0.55
    back = float(setup.rng.uniform(1.2, 2.0)) if off and setup.rng.random() < 0.5 else None

    def level(t: float) -> float:
        gone = ramp(t, begin, begin + 0.15)
        if back is not None:
            gone -= ramp(t, begin + back, begin + back + 0.15)
        return gone if off else 1 - gone

    def air(t: float, now: Weather) -> Weather:
        share = level(t)
        dark = np.array((0.85, 0.92, 1.1)) * low
        r, g, b = (np.array(now.light) * (1 + share * (dark - 1))).tolist()
        return replace(now, light=(r, g, b), sky=((0.03, 0.04, 0.10), (0.10, 0.10, 0.18)), share=max(now.share, share))

    setup.airs.append(air)

    def tell(log: MotionLog) -> list[Happening]:
        out = [_change(log, level, "lights out" if off else "lights on", begin - 0.1, begin + 0.4)]
        return out if back is None else [*out, _change(log, level, "lights on", begin + back - 0.1, begin + back + 0.4)]

    setup.tells.append(tell)


_SKIES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]] = {
    "evening": ((0.32, 0.30, 0.62), (0.98, 0.62, 0.36), (0.95, 0.72, 0.58)),
    "night": ((0.03, 0.04, 0.14), (0.16, 0.15, 0.32), (0.34, 0.38, 0.58)),
    "storm": ((0.20, 0.22, 0.27), (0.42, 0.45, 0.49), (0.60, 0.63, 0.68)),
}


def daytime(setup: Setup, spot: EventSpot) -> None:
    """The day goes on as in a time lapse: evening, night, or clouds draw in; or it begins so and clears."""
    name = str(setup.rng.choice(list(_SKIES)))
    backwards = setup.rng.random() < 0.3
    zenith, horizon, light = _SKIES[name]
    begin = float(setup.rng.uniform(0.4, 1.0))
    end = begin + float(setup.rng.uniform(0.4, 0.65)) * setup.seconds

    def air(share: float, now: Weather) -> Weather:
        r, g, b = (np.array(now.light) * (1 + share * (np.array(light) - 1))).tolist()
        return replace(now, light=(r, g, b), sky=(zenith, horizon), share=max(now.share, share))

    did = {
        "evening": ("evening falls", "day breaks"),
        "night": ("night falls", "day breaks"),
        "storm": ("clouds gather", "sky clears"),
    }[name]
    _comes(setup, (begin, end), backwards, did, air)


def fog(setup: Setup, spot: EventSpot) -> None:
    """Fog comes up, or lifts."""
    thick, lifts = float(setup.rng.uniform(0.10, 0.2)), setup.rng.random() < 0.35
    begin = float(setup.rng.uniform(0.3, 0.9))
    end = begin + float(setup.rng.uniform(0.45, 0.65)) * setup.seconds

    def air(share: float, now: Weather) -> Weather:
        return replace(now, fog=thick * share, sky=now.sky if now.share > 0.5 else ((0.70, 0.73, 0.77), (0.80, 0.82, 0.84)))

    _comes(setup, (begin, end), lifts, ("fog comes", "fog lifts"), air)


def rain(setup: Setup, spot: EventSpot) -> None:
    """It begins to rain under a sky that turns grey; or it stops."""
    stops = setup.rng.random() < 0.3
    strength, begin = float(setup.rng.uniform(0.7, 1.0)), float(setup.rng.uniform(0.5, 1.2))
    end = begin + float(setup.rng.uniform(0.8, 1.6))
    zenith, horizon, light = _SKIES["storm"]

    def air(share: float, now: Weather) -> Weather:
        r, g, b = (np.array(now.light) * (1 + 0.7 * share * (np.array(light) - 1))).tolist()
        return replace(now, light=(r, g, b), rain=strength * share, sky=(zenith, horizon), share=max(now.share, 0.9 * share))

    _comes(setup, (begin, end), stops, ("rain begins", "rain stops"), air)


def _comes(
    setup: Setup, span: tuple[float, float], goes: bool, did: tuple[str, str], air: Callable[[float, Weather], Weather]
) -> None:
    """Weather whose share grows from 0 to 1 over a span of time, or ``goes`` the other way; ``did`` says the one, the other."""

    def level(t: float) -> float:
        share = ramp(t, *span)
        return 1 - share if goes else share

    setup.airs.append(lambda t, now: air(level(t), now))
    setup.tells.append(lambda log: [_change(log, level, did[int(goes)], 0.0, setup.seconds)])


def colour(setup: Setup, spot: EventSpot) -> None:
    """A thing takes another colour."""
    thing, bodies, noun = _figure(setup, spot, "white")
    before, after = setup.colour(), setup.colour()
    setup.names[thing] = f"{before} {noun}"
    begin, lasts = float(setup.rng.uniform(0.7, 1.8)), float(setup.rng.choice((0.1, 0.8, 1.6)))
    a, b = (np.array(tint(COLOURS[c], setup.scene.style)) for c in (before, after))

    def level(t: float) -> float:
        return ramp(t, begin, begin + lasts)

    def of(t: float) -> tuple[float, float, float, float]:
        red, green, blue = (a + level(t) * (b - a)).tolist()
        return red, green, blue, 1.0

    setup.tints[bodies] = of
    turned = setup.thing(f"{after} {noun}")  # words for what it becomes; no body has this id
    setup.tells.append(
        lambda log: [replace(_change(log, level, "changes colour", 0.0, setup.seconds), things=(thing,), others=(turned,))]
    )


def appear(setup: Setup, spot: EventSpot) -> None:
    """A thing is there that was not there before."""
    _presence(setup, spot, True)


def vanish(setup: Setup, spot: EventSpot) -> None:
    """A thing is gone that was there before."""
    _presence(setup, spot, False)


def _presence(setup: Setup, spot: EventSpot, comes: bool) -> None:
    thing, body, _ = _figure(setup, spot, setup.colour())
    begin, lasts = float(setup.rng.uniform(0.9, 2.2)), float(setup.rng.choice((0.05, 0.4, 0.8)))

    def level(t: float) -> float:
        share = ramp(t, begin, begin + lasts)
        return share if comes else 1 - share

    setup.tints[body] = lambda t: (1.0, 1.0, 1.0, level(t))
    did = "appears" if comes else "vanishes"
    setup.tells.append(lambda log: [replace(_change(log, level, did, 0.0, setup.seconds), things=(thing,))])


def _figure(setup: Setup, spot: EventSpot, paint: str) -> tuple[int, int, str]:
    """A ball, a crate, a cone or a pillar that stands in a spot."""
    shape, noun, size = (
        ("ball", "ball", (0.7, 0.7, 0.7)),
        ("box", "cube", (0.65, 0.65, 0.65)),
        ("cone", "cone", (0.7, 0.7, 1.1)),
        ("rod", "pillar", (0.4, 0.4, 1.5)),
    )[int(setup.rng.integers(4))]
    u = float(setup.rng.uniform(-0.25, 0.25)) * spot.length
    thing, body = solid(
        setup, shape, size, spot.at(u, 0, size[2] / 2), float(setup.rng.uniform(0, 90)), None, noun, paint, "plain"
    )
    return thing, body, noun


def _change(log: MotionLog, level: object, did: str, low: float, high: float) -> Happening:
    """Begin and end of a level's real change within a stretch of time: more than a fiftieth of its way a frame."""
    assert callable(level)
    times = np.arange(len(log.poses)) / log.fps
    inside = (times >= low) & (times <= high)
    values = np.array([level(t) for t in times])
    far = abs(values - values[inside][0]) > 0.05
    near = abs(values - values[inside][-1]) > 0.05
    begins = np.nonzero(inside & far)[0]
    ends = np.nonzero(inside & near)[0]
    if not len(begins) or not len(ends):
        return Happening((), did, float(low), float(high))
    start, end = float(times[begins[0]]), float(times[min(ends[-1] + 1, len(times) - 1)])
    return Happening((), did, min(start, end), max(start, end))
