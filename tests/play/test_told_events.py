"""Taught events at play: what a place can do, what goes on with each chunk, and what is said of words that name none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast
from urllib.request import urlopen

import pytest

import micro
from dreamx.geometry import from_keys
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.play.told_events import event_note, possible_events
from dreamx.world import World
from fake_world import FakeWorld
from play_house import Player, open_house

FOG = TaughtEvent("fog", "The fog comes up", "Fog hangs in the air", "The fog lifts", 0.5, indoors=False)
LAMPS = TaughtEvent("lamps", "The lamps go on", "The lamps are on", "The lamps go out", 0.5, outdoors=False)
DOG = TaughtEvent("dog", "A dog runs by", seconds=0.5)


def world(*events: TaughtEvent) -> FakeWorld:
    made = FakeWorld(due=4)  # a quarter of a second
    made.taught = Taught((), (), True, events)
    return made


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("village", ["fog", "dog"]),
        ("workshop", ["lamps", "dog"]),
        ("my own", ["fog", "lamps", "dog"]),
        (None, ["fog", "lamps", "dog"]),
    ],
)
def test_what_can_happen_depends_on_the_sky(place: str | None, names: list[str]) -> None:
    here = world(FOG, LAMPS, DOG)
    here.place = place
    assert possible_events(cast(World, here)) == names
    here.taught = None
    assert possible_events(cast(World, here)) == []


def test_words_that_name_no_event_get_an_honest_note() -> None:
    here = world(FOG, LAMPS, DOG)
    here.place = "village"
    note = "This world was taught: fog, dog; for other words little may come of it."
    each = {"fog": "", "fog; the lamps go on.": "", "": "", "a cat": note, "fog; a cat": note}
    assert {said: event_note(cast(World, here), said) for said in each} == each
    here.note = "More."
    assert event_note(cast(World, here), "a cat") == f"{note} More."
    here.taught = Taught((), (), False)
    assert event_note(cast(World, here), "fog").startswith("This world was not taught that what is said happens")
    for taught in (None, Taught((), (), True)):
        here.taught = taught
        assert event_note(cast(World, here), "fog") == "More.", "as before"


def test_messages_say_what_can_happen_and_what_goes_on() -> None:
    with open_house(world(FOG, DOG)) as (_, port), Player(port) as player:
        with urlopen(f"http://127.0.0.1:{port}/api/world") as answer:
            assert json.loads(answer.read())["happenings"] == ["fog", "dog"]
        player.say(type="start", start="hill", seed=1)
        assert player.reply("started")["happenings"] == ["fog", "dog"]
        player.say(type="event", text="fog; a cat")
        made = until(player, lambda m: bool(m["event"]))
        since = made["seconds"]
        assert made["happenings"] == [{"name": "fog", "phase": "coming", "since": since}]
        assert made["note"] == "This world was taught: fog, dog; for other words little may come of it."
        made = until(player, lambda m: m["happenings"][0]["phase"] == "lasting")
        assert made["happenings"] == [{"name": "fog", "phase": "lasting", "since": since}]
        assert made["seconds"] == since + 0.5
        player.say(type="save")
        player.say(type="event", text="")
        until(player, lambda m: m["happenings"][0]["phase"] == "going")
        until(player, lambda m: m["happenings"] == [])
        player.say(type="restore")
        made = until(player, lambda m: m["frames"] == 1)
        assert made["happenings"] == [{"name": "fog", "phase": "lasting", "since": since}], "as it was then"


def until(player: Player, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next chunk of which that is true."""
    while not wanted(made := player.reply("made")):
        pass
    return made


def test_the_time_of_a_chunk_is_that_of_its_walk() -> None:
    for chunk, want in ((1, [1, 5, 9]), (3, [1, 9, 21])):
        walked = micro.world(chunk)
        walked.reset(micro.picture(), "a park")
        frames, found = 1, list[float]()
        for _ in range(3):
            found.append(walked.seconds_before(walked.chunk) * walked.fps)
            assert found[-1] == frames
            frames += len(walked.step(from_keys([""] * walked.frames_per_step)))
        assert found == want
