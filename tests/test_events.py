"""Stories: what they refuse, their words, and that a clip keeps them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.events import STYLE_WORDS, Contact, Event, Story, prompt
from dreamx.geometry.camera import level

ROLL = Event("e1", "a red ball", "rolls", "on the left", 0.5, 2.0, ("e2",))
FALL = Event("e2", "a tower of blocks", "falls", "", 1.5, 2.5)
STORY = Story("A yard with a wall", "The light fades", ("the ball hits the tower",), (ROLL, FALL))


def test_a_story_in_words() -> None:
    assert prompt(STORY, "game") == (
        "Style: Game. A yard with a wall. The light fades. "
        "Events: (1) a red ball, on the left, rolls, from 0.5s to 2.0s; (2) a tower of blocks, falls, from 1.5s to 2.5s. "
        "Interactions: the ball hits the tower."
    )
    assert prompt(STORY, times=False, anchors=False).startswith(
        "A yard with a wall. The light fades. Events: (1) a red ball, rolls;"
    )
    assert prompt(Story("Nothing moves.")) == "Nothing moves."


def test_a_style_has_one_word_and_one_place_has_it() -> None:
    """A model that learned "Photorealistic" has never heard of "photoreal"."""
    said = [prompt(Story("A yard."), style) for style in (*STYLE_WORDS, "pencil", "")]
    assert said == [*(f"Style: {x}. A yard." for x in ("Photorealistic", "Game", "Stylised", "pencil")), "A yard."]
    root = Path(str(resources.files("dreamx")))
    assert [f.name for f in root.rglob("*.py") if "Photorealistic" in f.read_text(encoding="utf-8")] == ["events.py"]
    starts = [f.read_text(encoding="utf-8") for f in root.glob("worlds/*/starts/*.txt")]
    assert starts and all(any(s.startswith(f"Style: {x}.") for x in STYLE_WORDS.values()) for s in starts)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Event("e1", " ", "falls", "", 0, 1), "entity and predicate"),
        (lambda: Event("e1", "ball", "falls", "", 2, 1), "start and end"),
        (lambda: Event("e1", "ball", "falls", "", 0, float("nan")), "start and end"),
        (lambda: Story("yard", events=(FALL, FALL)), "ids must differ"),
        (lambda: Story("yard", events=(ROLL,)), "names 'e2'"),
    ],
)
def test_what_is_no_story(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_a_clip_keeps_its_story(tmp_path: Path) -> None:
    segments = torch.zeros(5, 6, 8, dtype=torch.int16)
    segments[2, 1, 3] = 2
    clip = Clip(
        torch.zeros(5, 3, 6, 8, dtype=torch.uint8),
        level().map(lambda x: x.expand(5, *x.shape)),
        torch.zeros(5, 8),
        None,
        16.0,
        "a yard",
        story=STORY,
        segments=segments,
        entities={2: "a red ball"},
        contacts=(Contact(3, 2, 1, 4.5),),
        subject=torch.arange(20.0).reshape(5, 4),
    )
    clip.save(tmp_path / "clip.safetensors")
    again = Clip.load(tmp_path / "clip.safetensors")
    assert (again.story, again.entities, again.contacts, again.depth) == (STORY, {2: "a red ball"}, clip.contacts, None)
    assert again.segments is not None and torch.equal(again.segments, segments)
    assert again.subject is not None and torch.equal(again.subject, clip.subject)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="segments must be"):
        Clip(clip.video, clip.camera, clip.actions, None, 16.0, "", segments=segments[1:])
