"""Long prompts are cut at a sentence and said to be; words that were never taught are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import micro
from dreamx.geometry.controls import Controls, from_keys
from dreamx.model.prompt import CutWarning, Taught, read_prompt, shorten, unknown, unknown_note
from dreamx.model.word_encoder import split
from dreamx.networks import read_happenings
from dreamx.recipes.event_steps import WEATHER
from dreamx.session import find
from dreamx.world import World

LONG = "A path runs between trees. Benches stand on the left, a pond lies on the right. Hills close the view, far away."


def test_a_prompt_that_fits_stays_as_it_is() -> None:
    for prompt in ("", "a park", " a  park\n", "夕方の光。", "🌳"):
        assert shorten(prompt, 8) == prompt
        reading = read_prompt(prompt, "", 8, None)
        assert (reading.text, reading.note) == (prompt.strip(), "")


@pytest.mark.parametrize(
    ("prompt", "most", "kept"),
    [
        (LONG, 24, "A path runs between trees. Benches stand on the left, a pond lies on the right."),
        (
            LONG,
            16,
            "A path runs between trees. Benches stand on the left, a pond lies on",
        ),  # one sentence alone is less than half
        (LONG, 6, "A path runs between trees."),
        ("3.5 metres of wall and more of it", 5, "3.5 metres of"),  # no sentence ends within a number
        ("one, two, three", 4, "one, two"),
        ("don't go", 2, "don'"),  # a word longer than all that is read
        ("夕方の光が差す。左側には池がある。", 10, "夕方の光が差す。"),
        ("夕方の光が差し込む古い並木道", 6, "夕方の光が差"),
        ("🌳👨\u200d👩\u200d👧 x", 4, "🌳"),  # a family is one sign of five
        ("e\u0301e\u0301", 3, "e\u0301"),
        ("a" * 5000, 1, "a" * 5000),
        ("a b", 0, ""),
    ],
)
def test_where_it_is_cut(prompt: str, most: int, kept: str) -> None:
    assert shorten(prompt, most) == kept
    assert len(split(kept)) <= most


def test_a_cut_is_said_in_words_and_as_a_warning() -> None:
    with pytest.warns(CutWarning, match="of a sentence"):
        reading = read_prompt(LONG, "", 24, None)
    want = "The prompt has 27 words and marks and this world reads 24: the first 19, to the end of a sentence, are used."
    assert reading.note == want
    with pytest.warns(CutWarning):
        assert "to the end of a word" in read_prompt(LONG, "", 16, None).note


def test_an_event_is_read_whole_and_the_prompt_makes_room() -> None:
    with pytest.warns(CutWarning):
        reading = read_prompt(LONG, "it starts to snow hard", 20, None)
    assert reading.text == "A path runs between trees. Benches stand on the left, a pond lies it starts to snow hard"
    assert reading.note == "Beside the event the first 15 of 27 words and marks of the prompt fit."
    with pytest.warns(CutWarning):
        reading = read_prompt("a park", LONG, 8, None)
    assert reading.text == "a park A path runs between trees."
    assert reading.note.startswith("The event has 27 words and marks and this world reads 8")


def test_what_was_never_taught_is_named() -> None:
    known = frozenset(("a", "park", "with", "trees", ".", ","))
    assert unknown("A park, with trees!", known) == []
    assert unknown("a zzzz park; a Spaceship 🚀, a zzzz", known) == ["zzzz", "spaceship", "🚀"]
    assert unknown("公園 it's", known) == ["公園", "it's"]
    assert unknown_note(["zzzz"]) == 'This world was not taught this word: "zzzz".'
    many = unknown_note([f"w{i}" for i in range(9)])
    assert many == 'This world was not taught these words: "w0", "w1", "w2", "w3", "w4", "w5" and 3 more.'
    assert read_prompt("a zzzz", "a rocket", 9, known).note == 'This world was not taught this word: "rocket".'


def test_a_world_reads_what_it_can_and_says_the_rest(tmp_path: Path) -> None:
    world = micro.world()
    long = " ".join(["A path runs between trees."] * 9)
    with pytest.warns(CutWarning):
        first = world.reset(micro.picture(), long)
    assert "54 words and marks and this world reads 24: the first 24" in world.note
    assert world.prompt == long, "the record keeps what was asked"
    assert torch.equal(first, world.reset(micro.picture(), shorten(long, 24)))
    assert world.note == ""
    with pytest.warns(CutWarning):
        world.reset(None, long)
        world.step(_still(world), "it snows")
    assert "Beside the event" in world.note
    world.save(tmp_path / "session")
    again = micro.world()
    with pytest.warns(CutWarning):
        again.load(tmp_path / "session")
    assert torch.equal(again.step(_still(again)), world.step(_still(world)))


def test_half_a_surrogate_pair_is_a_word(tmp_path: Path) -> None:
    micro.world().reset(None, "a \ud83c park")


def test_what_was_taught_is_kept_with_the_world(tmp_path: Path) -> None:
    world = micro.world()
    assert world.taught is None
    world.reset(None, "a zzzz")
    assert world.note == "", "nobody knows what it was taught"
    world.taught = Taught(("a", "park"), ("a", "sea"), False)
    world.export(tmp_path / "world")
    again = World.open(tmp_path / "world")
    assert again.taught == world.taught
    again.reset(micro.picture(), "a park by the sea")
    assert again.note == 'This world was not taught these words: "by", "the", "sea".'
    again.step(_still(again), "a spaceship")
    assert again.note == 'This world was not taught this word: "spaceship".'


def _still(world: World) -> Controls:
    return from_keys([""] * world.frames_per_step, world.config.speed)


def test_the_shipped_world_knows_the_words_of_its_gallery_and_no_others() -> None:
    folder = find("tiny")
    known = World.open("tiny").taught
    assert known is not None and known.events
    for file in (folder / "starts").glob("*.txt"):
        assert unknown(file.read_text(encoding="utf-8"), frozenset(known.words)) == [], file
    assert unknown("a spaceship in the park, zzzz", frozenset(known.drawn)) == ["spaceship", "zzzz"]
    for event in known.happenings:
        assert unknown(f"{event.begins} {event.lasts} {event.ends}", frozenset(known.words)) == [], event
    assert known.happenings == read_happenings(WEATHER)
