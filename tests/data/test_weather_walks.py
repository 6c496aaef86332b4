"""Walks in weather: what comes when, what is said of it, and that it lies over the very pictures of the walk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from drawing import draws
from dreamx.clip import Clip
from dreamx.data.clip_list import twin_of
from dreamx.data.scene.scene import Scene, scene
from dreamx.data.sim.bodies import Weather
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig, clip_path
from dreamx.data.sim.take import SimulatedShot
from dreamx.data.sim.weather_walks import SECONDS, WEATHERS, forecast, share_at
from dreamx.events import going_on, told

SHOT = SimulatedShot(161, 16.0, 32, 32, 70.0)
PARK, ROOM = scene(3, "photoreal", "park"), scene(3, "photoreal", "room")
KIND = {kind.name: kind for kind in WEATHERS}


def test_weather_comes_for_two_seconds_lasts_and_goes_for_two() -> None:
    got = [share_at((1.0, 6.0), t) for t in (0.0, 1.0, 2.0, 3.0, 5.9, 7.0, 8.0, 9.0)]
    assert np.allclose(got, [0, 0, 0.5, 1, 1, 0.5, 0, 0])


@pytest.mark.parametrize("place", [PARK, ROOM], ids=["outdoors", "indoors"])
def test_words_follow_the_weather(place: Scene) -> None:
    seen: set[str] = set()
    for index in range(60):
        kinds, spans, events = forecast(place, index, SHOT)
        assert forecast(place, index, SHOT) == (kinds, spans, events)
        left = list(events)
        for kind, (begin, end) in zip(kinds, spans, strict=True):
            seen.add(kind.name)
            assert kind.indoors == place.indoors
            phases = []
            for ways, a, b in (
                (kind.comes, begin, begin + SECONDS),
                (kind.lasts, begin + SECONDS, end),
                (kind.goes, end, end + SECONDS),
            ):
                if max(a, 0) < min(b, 161 / 16):
                    event = left.pop(0)
                    assert (event.entity, event.predicate) in ways
                    assert (event.start, event.end) == (max(a, 0), min(b, 161 / 16))
                    phases.append(event)
            assert all(x.end == y.start for x, y in pairwise(phases))
        assert not left
    assert seen == {k.name for k in WEATHERS if k.indoors == place.indoors}


def test_nothing_is_said_before_and_after() -> None:
    _, spans, events = next(
        f for i in range(60) if len((f := forecast(PARK, i, SHOT))[1]) == 1 and f[1][0][0] > 1 and f[1][0][1] < 7
    )
    begin, end = spans[0]
    assert told(going_on(events, 0.0, begin - 0.5)) == ""
    assert told(going_on(events, begin + 0.5, begin + 0.75)) != ""
    assert told(going_on(events, end + SECONDS + 0.1, 10.0)) == ""


def test_weather_adds_up() -> None:
    night, rain, fog = (KIND[name] for name in ("night", "rain", "fog"))
    both = rain.after(night.after(Weather(), 1.0), 1.0)
    assert both.light < night.after(Weather(), 1.0).light  # darker than either
    assert max(max(c) for c in both.sky) <= 0.32, "rain does not brighten the sky of a night"
    assert fog.after(Weather(), 1.0).share == 0, "fog does not turn the sky"
    misty = fog.after(night.after(Weather(), 1.0), 0.5)
    assert np.allclose(misty.sky, night.sky)
    assert np.isclose(misty.fog, 0.06)
    for kind in WEATHERS:
        assert kind.after(Weather(), 0.0).light == (1, 1, 1)


@draws
def test_a_clip_is_its_walk_under_weather(tmp_path: Path) -> None:
    cfg = SimulateConfig(tmp_path, ("weather", "walk"), 2, 2, 161, 32, 32, first_seed=3, styles=("photoreal",), kinds=("park",))
    assert simulate(cfg) == 8
    plain, changed = 0, 0
    for seed in (3, 4):
        for index in (0, 1):
            file = clip_path(cfg, seed, "weather", index)
            clip, walk = Clip.load(file), Clip.load(clip_path(cfg, seed, "walk", index))
            assert twin_of(file) == clip_path(cfg, seed, "walk", index)
            assert torch.equal(clip.camera.pose, walk.camera.pose)
            assert clip.depth is not None and walk.depth is not None
            assert torch.equal(clip.depth, walk.depth)
            assert clip.story is not None and clip.story.events
            for frame, (a, b) in enumerate(zip(clip.video, walk.video, strict=True)):
                now = [e for e in clip.story.events if e.start - 0.1 <= frame / 16 <= e.end + 0.1]
                if now:
                    changed += not torch.equal(a, b)
                else:
                    plain += 1
                    assert torch.equal(a, b)
    assert plain > 20
    assert changed > 100
    before = file.read_bytes()
    file.unlink()
    assert simulate(cfg) == 8
    assert file.read_bytes() == before


def test_twins_by_name() -> None:
    assert twin_of(Path("a/0000003_events_01.safetensors")) == Path("a/0000003_still_01.safetensors")
    assert twin_of(Path("a/0000003_01.safetensors")) is None
