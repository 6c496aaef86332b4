"""A clip in a mirror and backwards: all that is known of it goes along, or there is no such variant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamx.clip import Clip
from dreamx.data.sim import phrases
from dreamx.data.sim.phrases import Ways
from dreamx.data.variants import mirrored, mirrored_words, reversed_in_time, variants
from dreamx.events import Contact, Event, Story
from dreamx.geometry.camera import Camera, relative_to, se3_inverse
from dreamx.geometry.controls import key_vector
from moving_clips import moving_clip, path

SWAP = str.maketrans("adjl", "dalj")


def mirror(clip: Clip) -> Clip:
    made = mirrored(clip)
    assert made is not None
    return made


def back_in_time(clip: Clip) -> Clip:
    made = reversed_in_time(clip)
    assert made is not None
    return made


def followed() -> Clip:
    """A person is followed, and a ball on the left rolls into a tower."""
    clip = moving_clip(0, 9)
    segments = torch.zeros(9, 32, 32, dtype=torch.int16)
    segments[:, :, :5] = 3
    subject = torch.tensor([[0.5, 0.0, 2.0, 30.0]]).repeat(9, 1)
    roll = Event("e1", "the ball on the left", "rolls to the right", "at the left", 0.1, 0.4, ("e2",))
    fall = Event("e2", "the tower", "topples", "", 0.3, 0.5)
    story = Story("To the left stands a tree.", "First the ball turns left.", ("the ball at the left hits it",), (roll, fall))
    things = {3: "ball on the left", 4: "tower"}
    return replace(clip, story=story, segments=segments, subject=subject, entities=things, contacts=(Contact(4, 3, 4, 2.0),))


def test_the_mirror_of_a_left_turn_is_a_right_turn() -> None:
    keys = ["wj", "j", "a", "wai", "d"]
    clip = mirror(moving_clip(0, 6))
    assert torch.equal(clip.actions[1:], key_vector("wl").expand(5, 8))
    start = path(keys)
    s = torch.tensor([-1.0, 1, 1, 1])
    by_hand = path([k.translate(SWAP) for k in keys])
    torch.testing.assert_close(s[:, None] * start.pose * s, by_hand.pose)
    torch.testing.assert_close(clip.camera.pose, path(["wl"] * 5).pose)
    assert clip.camera.lens[0].tolist() == pytest.approx([1.0, 1.0, 0.6, 0.5])
    assert clip.caption == "a door on the right, a window on the left"


def test_the_mirror_shows_points_where_the_mirrored_camera_sees_them() -> None:
    clip = moving_clip(0, 6)
    point = torch.tensor([0.7, -0.3, 2.0, 1.0])
    s = torch.tensor([-1.0, 1, 1, 1])

    def seen(camera: Camera, p: torch.Tensor) -> torch.Tensor:
        x, y, z, _ = (se3_inverse(camera.pose[-1]) @ p).tolist()
        fx, fy, cx, cy = camera.lens[-1].tolist()
        return torch.tensor([fx * x / z + cx, fy * y / z + cy])

    u, v = seen(clip.camera, point)
    torch.testing.assert_close(seen(mirror(clip).camera, s * point), torch.stack([1 - u, v]))


def test_variants_undo_themselves() -> None:
    clip = replace(moving_clip(0, 9), caption="A door is shut.")
    for change in (mirror, back_in_time):
        twice = change(change(clip))
        assert torch.equal(twice.video, clip.video)
        assert torch.equal(twice.actions, clip.actions)
        torch.testing.assert_close(twice.camera.pose, clip.camera.pose)
        assert twice.caption == clip.caption
    assert [name for name, _ in variants(clip, True, True)] == ["", "mirror", "reverse", "mirror reverse"]
    assert [name for name, _ in variants(clip, False, True)] == ["", "reverse"]


def test_backwards_a_walk_forward_is_a_walk_back() -> None:
    back = back_in_time(moving_clip(0, 9, "w"))
    assert torch.equal(back.actions[1:], key_vector("s").expand(8, 8))
    assert torch.equal(back.actions[0], torch.zeros(8))
    start = relative_to(back.camera, back.camera[0])
    torch.testing.assert_close(start.pose, relative_to(path(["s"] * 8), path([""])[0]).pose)


def test_the_mirror_turns_all_that_is_known_of_an_event() -> None:
    clip = followed()
    got = mirror(clip)
    assert got.segments is not None and clip.segments is not None and got.story is not None and got.subject is not None
    assert torch.equal(got.segments, clip.segments.flip(-1))
    assert got.subject[0].tolist() == [-0.5, 0.0, 2.0, -30.0]
    assert got.story.scene == "To the right stands a tree."
    assert got.story.evolution == "First the ball turns right."
    assert got.story.interactions == ("the ball at the right hits it",)
    roll = got.story.events[0]
    assert (roll.entity, roll.predicate, roll.anchor) == ("the ball on the right", "rolls to the left", "at the right")
    assert (roll.start, roll.end, roll.interacts) == (0.1, 0.4, ("e2",))
    assert got.entities == {3: "ball on the right", 4: "tower"}
    assert got.contacts == clip.contacts, "who touches whom, when and how hard is the same in a mirror"
    assert mirror(got).story == clip.story


def test_the_person_is_mirrored_where_the_mirrored_camera_sees_them() -> None:
    clip = followed()
    assert clip.subject is not None

    def aside(c: Clip) -> float:
        assert c.subject is not None
        return float((se3_inverse(c.camera.pose[0]) @ torch.cat([c.subject[0, :3], torch.ones(1)]))[0])

    assert aside(mirror(clip)) == pytest.approx(-aside(clip))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, story=Story("A hall.", events=(Event("e1", "the tower", "topples", "", 0, 0.5),))),
        lambda c: replace(c, story=Story("A hall.", interactions=("the ball hits the tower",))),
        lambda c: replace(c, story=Story("A hall.", "It grows dark.")),
        lambda c: replace(c, subject=torch.zeros(9, 4)),
        lambda c: replace(c, contacts=(Contact(4, 3, 4, 2.0),)),
        lambda c: replace(c, extra={"tag_kind": "4D"}),
    ],
)
def test_what_moves_is_not_reversed(change: object) -> None:
    clip = change(moving_clip(0, 9))  # pyright: ignore[reportCallIssue]
    assert reversed_in_time(clip) is None
    assert [name for name, _ in variants(clip, True, True)] == ["", "mirror"]


def test_backwards_nothing_is_said_of_what_the_first_view_showed() -> None:
    said = "Style: Game. A first-person walk through a park. Ahead, a bench. On the left, a tree. The sky is grey."
    clip = replace(moving_clip(0, 9), caption=said, story=Story(said), segments=torch.zeros(9, 32, 32, dtype=torch.int16))
    back = back_in_time(clip)
    assert back.caption == "Style: Game. A first-person walk through a park. The sky is grey."
    assert back.story == Story(back.caption) and back.segments is not None


@pytest.mark.parametrize(
    ("words", "mirrored_"),
    [
        ("A door on the Left, a window to the right.", "A door on the Right, a window to the left."),
        ("The camera pans left, then turns right.", "The camera pans right, then turns left."),
        ("The left-hand wall, the UPPER LEFT corner", "The right-hand wall, the UPPER RIGHT corner"),
        ("From left to right, leftmost first; rightwards", "From right to left, rightmost first; leftwards"),
        ("It stands left of the door. It spins clockwise.", "It stands right of the door. It spins counterclockwise."),
        ("It is right ahead, and nothing is left.", "It is right ahead, and nothing is left."),
        ("An upright leftover of civil rights", "An upright leftover of civil rights"),
        ("", ""),
        ("He left the room.", "He left the room."),
        ("The man left the room.", None),
        ("The right lamp", None),
        ("It rolls right behind the tree.", "It rolls right behind the tree."),
        ("It spins counter-clockwise.", None),
    ],
)
def test_words_for_sides_change_places_or_there_is_no_mirror(words: str, mirrored_: str | None) -> None:
    assert mirrored_words(words) == mirrored_
    if mirrored_ is not None:
        assert mirrored_words(mirrored_) == words
    assert (mirrored(replace(moving_clip(0, 9), caption=words)) is None) == (mirrored_ is None)


def test_all_that_the_simulator_says_has_a_mirror() -> None:
    tables = [t for t in vars(phrases).values() if isinstance(t, Ways | dict)]
    ways = [w for t in tables for w in (t.values() if isinstance(t, dict) else (t,)) if isinstance(w, Ways)]
    told = [way for w in ways for way in (*w.train, *w.held)]
    assert len(told) > 200
    for way in told:
        turned = mirrored_words(way)
        assert turned is not None and mirrored_words(turned) == way
    assert mirrored_words("{x} is right ahead") == "{x} is right ahead"
