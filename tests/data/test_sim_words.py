"""What is said about simulated clips: true words, in many ways, some of which are never said to a model that trains."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamx.data.scene.scene import scene
from dreamx.data.sim import phrases
from dreamx.data.sim.event_builder import Happening
from dreamx.data.sim.narration import LONGEST, anchor, caption_of, describe, tell
from dreamx.data.sim.phrases import DID, OF_ITSELF, Ways, phrasing
from dreamx.geometry.camera import Camera, lens_from_fov

EVERY = {
    **DID,
    **{k: v for k, v in vars(phrases).items() if isinstance(v, Ways)},
    **{f"side {k}": v for k, v in phrases.SIDE.items()},
    **{f"deep {k}": v for k, v in phrases.DEEP.items()},
}
NAMES = {1: "red ball", 2: "blue block", 3: "blue block", 4: "person in a teal shirt"}
GROUPS = {(2, 3): "stack of blue blocks"}


def _story(rng: np.random.Generator, held_out: bool):
    place = scene(3, "game", "plaza")
    start = place.start(0)
    opening = describe(place, start, phrases.OPENING, "", rng, held_out)
    said = [
        Happening((1,), "rolls into", 0.5, 1.25, (2, 3)),
        Happening((2, 3), "falls over", 1.25, 2.5, (1,)),
        Happening((1, 2, 3), "knocks over", 1.25, 1.25, between=True),
        Happening((), "fog comes", 1.0, 3.0),
    ]
    return place, tell(place, opening, said, NAMES, GROUPS, {1: "on the left"}, 5.0, rng, held_out)


@pytest.mark.parametrize("what", sorted(EVERY))
def test_training_never_draws_what_is_held_out(what: str) -> None:
    ways = EVERY[what]
    assert len(ways.train) >= 3 and len(ways.held) >= 2 and not set(ways.train) & set(ways.held)
    rng = np.random.default_rng(0)
    drawn = {held: {phrasing(ways, rng, held) for _ in range(60)} for held in (False, True)}
    assert drawn[False] <= set(ways.train) and drawn[True] <= set(ways.held) and len(drawn[False]) > 1


def test_whole_captions_of_training_hold_no_held_out_phrase() -> None:
    def core(way: str) -> list[str]:
        return [part for part in re.split(r"\{\w+\}", way.lower()) if len(part.strip()) > 7]

    common = {part for ways in EVERY.values() for way in ways.train for part in core(way)}
    rare = {part for ways in EVERY.values() for way in ways.held for part in core(way)} - common
    assert len(rare) > 60
    seen = " ".join(caption_of(*_story(np.random.default_rng(n), False)) for n in range(60)).lower()
    assert [part for part in rare if part in seen] == []
    other = " ".join(caption_of(*_story(np.random.default_rng(n), True)) for n in range(10)).lower()
    assert any(part in other for part in rare), "the test would pass with words that are never said"


def test_a_story_says_who_when_and_with_whom() -> None:
    place, story = _story(np.random.default_rng(2), False)
    by_entity = {e.entity: e for e in story.events}
    ball, blocks = by_entity["the red ball"], by_entity["the stack of blue blocks"]
    assert (ball.start, ball.end, blocks.start, blocks.end) == (0.5, 1.25, 1.25, 2.5)
    assert ball.interacts == (blocks.id,) and blocks.interacts == (ball.id,)
    assert ball.anchor == "on the left" and "the fog" in by_entity
    assert len(story.interactions) == 1 and "red ball" in story.interactions[0]
    assert story.evolution.lower().index("red ball") < story.evolution.lower().index("fog"), "told in the order of time"
    assert "{" not in caption_of(place, story)


def test_words_vary_and_records_come_in_any_order() -> None:
    stories = [_story(np.random.default_rng(n), False)[1] for n in range(30)]
    assert len({s.evolution for s in stories}) > 25
    assert len({tuple(e.entity for e in s.events) for s in stories}) == 6


def test_a_prompt_fits_the_text_encoder() -> None:
    place = scene(3, "game", "plaza")
    many = [Happening((k % 4 + 1,), "pushes", 0.1 * k, 0.1 * k + 1, ((k + 1) % 4 + 1,)) for k in range(9)]
    story = tell(
        place, "A place.", many, NAMES, GROUPS, dict.fromkeys(NAMES, "on the left"), 5.0, np.random.default_rng(0), False
    )
    assert 0 < len(caption_of(place, story).split()) <= LONGEST


def test_an_anchor_is_the_side_of_the_picture() -> None:
    place = scene(3, "game", "plaza")
    eye = Camera(torch.eye(4), torch.tensor(lens_from_fov(70, 64, 64)))  # at the origin, towards the north
    for x, side in ((-2.0, "left"), (0.0, "middle"), (2.0, "right")):
        said = anchor(place, eye, np.array((x, 3.0, 0.0)), np.random.default_rng(1), False)
        assert any(said.startswith(way) for way in phrases.SIDE[side].train)


def test_every_way_to_happen_has_words() -> None:
    used: set[str] = set()
    for file in Path("src/dreamx/data/sim").glob("*.py"):
        used |= {w for line in re.findall(r"Happening\(.*?\)", file.read_text(), re.S) for w in re.findall(r'"([a-z ]+)"', line)}
    assert used and used <= set(DID)
    assert set(OF_ITSELF) <= set(DID)
