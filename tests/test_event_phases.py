"""Events that a world was taught: what is told of them, chunk by chunk, against timelines written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.chunk_request import ChunkRequest, guided_network
from dreamx.config import from_json, to_json
from dreamx.event_phases import EventState, next_events, refuse_untaught, split_words, told_words
from dreamx.geometry import from_keys
from dreamx.geometry.controls import Speed
from dreamx.memory import MemoryConfig
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.world import World

FOG = TaughtEvent("fog", "The fog comes up", "Fog hangs in the air", "The fog lifts", 0.5)
NIGHT = TaughtEvent("night", "Night falls", "It is night", "", 0.25)
FLASH = TaughtEvent("lightning", "Lightning flashes", seconds=0.6)
ALL = (FOG, NIGHT, FLASH)
CHUNK = 0.25  # seconds: fog comes in 2 chunks, night in 1, a flash takes 3


def timeline(said: dict[int, str], chunks: int, taught: tuple[TaughtEvent, ...] = ALL, seconds: float = CHUNK) -> list[str]:
    """What is told with chunks 1, 2, ..., if the words of ``said`` begin with those chunks."""
    now, found = EventState(), list[str]()
    for chunk in range(1, chunks + 1):
        now = next_events(now, said.get(chunk), taught, chunk, seconds)
        refuse_untaught(now, taught)
        found.append(told_words(now, taught))
    return found


COMES, HANGS, LIFTS = "The fog comes up", "Fog hangs in the air", "The fog lifts"


@pytest.mark.parametrize("words", ["fog", " FOG. ", "The fog comes up", "the  fog comes up.", "fog;fog; the fog comes up"])
def test_a_named_event_comes_lasts_and_goes(words: str) -> None:
    assert timeline({2: words, 6: ""}, 9) == ["", COMES, COMES, HANGS, HANGS, LIFTS, LIFTS, "", ""]


@pytest.mark.parametrize(
    ("said", "want"),
    [
        # left before it is there, and named again while it goes
        ({1: "fog", 2: "", 3: "fog"}, [COMES, LIFTS, COMES, COMES, HANGS]),
        # naming it again changes nothing
        ({1: "fog", 2: "fog", 4: "Fog"}, [COMES, COMES, HANGS, HANGS, HANGS]),
        # no words for its end: it is no longer told
        ({1: "night", 3: "x"}, ["Night falls", "It is night", "x", "x", "x"]),
        # nothing to last: over by itself, again when it is said again, and left when it is not
        ({1: "lightning"}, ["Lightning flashes"] * 3 + [""] * 2),
        ({1: "lightning", 4: "lightning"}, ["Lightning flashes"] * 5),
        ({1: "lightning", 2: "lightning"}, ["Lightning flashes"] * 3 + [""] * 2),
        ({1: "lightning", 2: ""}, ["Lightning flashes"] + [""] * 4),
        # several at once, one of them ends; and free words beside them
        ({1: "fog", 3: "night; fog", 4: "night"}, [COMES, COMES, f"{HANGS}. Night falls", f"{LIFTS}. It is night"] * 1
         + [f"{LIFTS}. It is night"]),
        ({1: "a dog runs by; fog; it  barks.", 3: "fog"}, [f"{COMES}. A dog runs by. It  barks"] * 2 + [HANGS] * 3),
        # free words alone are told as they are, whatever is in them
        ({1: "a dog; a cat. ", 3: "foggy"}, ["a dog; a cat. "] * 2 + ["foggy"] * 3),
    ],
)  # fmt: skip
def test_timelines(said: dict[int, str], want: list[str]) -> None:
    assert timeline(said, 5) == want


def test_seconds_are_rounded_up_to_chunks() -> None:
    three = replace(FOG, seconds=0.3)
    assert timeline({1: "fog"}, 6, (three,), 0.1) == [COMES] * 3 + [HANGS] * 3, "0.3 / 0.1 is 2.9999999999999996"
    assert timeline({1: "fog"}, 3, (three,), 0.25) == [COMES, COMES, HANGS]
    assert timeline({1: "fog"}, 3, (three,), 4.0) == [COMES, HANGS, HANGS]


def test_without_taught_events_words_are_told_as_they_are() -> None:
    assert timeline({1: "fog; night", 3: ""}, 4, ()) == ["fog; night", "fog; night", "", ""]
    assert split_words("fog", ()) == ("fog", ())


def test_when_it_began_is_kept() -> None:
    now = next_events(EventState(), "fog", ALL, 7, CHUNK)
    for chunk in range(8, 12):
        now = next_events(now, None, ALL, chunk, CHUNK)
    assert [(o.name, o.phase, o.began) for o in now.ongoing] == [("fog", "lasting", 7)]
    assert from_json(EventState, to_json(now)) == now
    with pytest.raises(ValueError, match="'fog' is lasting, and this world was not taught that"):
        refuse_untaught(now, (NIGHT,))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"name": ""}, "name must have 1 to 24 characters"),
        ({"name": "x" * 25}, "name must have 1 to 24"),
        ({"begins": " . "}, "begins must say something"),
        ({"begins": "a; b"}, "begins must be one line without ';'"),
        ({"lasts": "a\nb"}, "lasts must be one line"),
        ({"lasts": ""}, "ends is never told where lasts is empty"),
        ({"seconds": 0.0}, "seconds must be 0.1 or more"),
        ({"seconds": 61.0}, "seconds must be .*at most 60"),
        ({"indoors": False, "outdoors": False}, "could happen nowhere"),
        ({"name": "Night"}, "'Night' names both 'night' and"),
        ({"begins": "night falls."}, "names both 'night' and 'fog'"),
        ({"colour": "grey"}, "'colour' is unknown"),
        ({"begins": 3}, "begins: must be a string"),
    ],
)
def test_a_wrong_record_is_refused_by_its_field(bad: dict[str, object], said: str) -> None:
    data = to_json(Taught((), (), True, (NIGHT, FOG)))
    data["happenings"][1] |= bad
    with pytest.raises(ValueError, match=said):
        from_json(Taught, data)


def test_a_vocabulary_of_before_has_none_and_events_must_be_true_with_some() -> None:
    assert from_json(Taught, {"words": [], "drawn": [], "events": False}).happenings == ()
    with pytest.raises(ValueError, match="events is false"):
        Taught((), (), False, ALL)


# ---- in a world ---------------------------------------------------------------------------------------------------------

STEPS = {2: "fog", 6: "fog; a dog runs by", 8: "night", 11: ""}


def taught(chunk: int = 1, flush: int | None = None, memory: MemoryConfig | None = None) -> World:
    world = micro.world(chunk, memory=memory)
    # 4 frames a latent at 16 frames a second: fog comes in 2 chunks, whatever their length.
    world.config = replace(world.config, sampler=replace(world.config.sampler, flush=flush))
    world.taught = Taught((), (), True, (replace(FOG, seconds=0.5 * chunk), replace(NIGHT, seconds=0.25 * chunk)))
    return world


def walk(world: World, first: int, last: int, said: dict[int, str] = STEPS) -> torch.Tensor:
    return torch.cat([world.step(from_keys(["w"] * world.frames_per_step), said.get(i)) for i in range(first, last + 1)])


def spelled(chunk: int) -> dict[int, str]:
    """The same words, said one by one to a world that was taught no events."""
    return {
        2: COMES, 4: HANGS, 6: f"{HANGS}. A dog runs by", 8: f"{LIFTS}. Night falls", 9: f"{LIFTS}. It is night",
        10: "It is night", 11: "",
    }  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("flush", [None, 2])
def test_a_world_tells_what_its_events_are(chunk: int, flush: int | None) -> None:
    world, plain = taught(chunk, flush), taught(chunk, flush)
    plain.taught = None
    for w in (world, plain):
        w.reset(micro.picture(), "a red room", 5)
    assert torch.equal(walk(world, 1, 12), walk(plain, 1, 12, spelled(chunk)))
    assert world.event == "" and [a.event for a in world.actions] == [STEPS.get(i) for i in range(1, 13)]


def test_words_are_read_only_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    world, read = taught(), list[str]()
    world.reset(micro.picture(), "a red room", 5)
    forward = type(world.text).forward
    monkeypatch.setattr(type(world.text), "forward", lambda self, prompts: (read.extend(prompts), forward(self, prompts))[1])
    walk(world, 1, 7, {2: "fog", 6: "Fog"})
    assert read == ["a red room The fog comes up", "a red room Fog hangs in the air"]
    assert [(o.name, o.phase) for o in world.ongoing] == [("fog", "lasting")]


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("saved", [2, 3, 5, 9, 11])
def test_events_go_on_after_load_and_fork_bit_for_bit(chunk: int, saved: int, tmp_path: Path) -> None:
    world, again = taught(chunk, 2), taught(chunk, 2)
    world.reset(micro.picture(), "a red room", 5)
    walk(world, 1, saved)
    world.save(tmp_path / "a.session")
    fork = world.fork()
    want = walk(world, saved + 1, 13)
    again.load(tmp_path / "a.session")
    assert again.ongoing == fork.ongoing and again.event == fork.event
    assert torch.equal(walk(again, saved + 1, 13), want)
    assert torch.equal(walk(fork, saved + 1, 13), want)
    replayed = taught(chunk, 2)
    replayed.reset(micro.picture(), "a red room", 5)
    frames = torch.cat([replayed.step(a.controls, a.event) for a in world.actions])
    assert torch.equal(frames[-len(want) :], want)


def test_a_session_whose_event_is_not_taught_here_is_refused(tmp_path: Path) -> None:
    world = taught()
    world.reset(micro.picture(), "a red room", 5)
    walk(world, 1, 3)
    world.save(tmp_path / "a.session")
    world.taught = Taught((), (), True, (NIGHT,))
    with pytest.raises(ValueError, match="'fog' is coming, and this world was not taught that"):
        world.load(tmp_path / "a.session")
    assert [o.name for o in world.ongoing] == ["fog"], "and nothing changed"


def test_words_that_are_refused_leave_the_events_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    world.reset(micro.picture(), "a red room", 5)
    walk(world, 1, 3)
    now = world.ongoing
    with pytest.raises(ValueError, match="frames given"):
        world.step(from_keys(["w"] * 3), "night")
    assert world.ongoing == now


# ---- the cache is cut when other words are told --------------------------------------------------------------------------


def held(world: World) -> list[int]:
    assert world._cache.where is not None
    return world._cache.where.index[0].tolist()


def test_flush_leaves_sinks_and_the_newest_latents() -> None:
    world, plain = taught(flush=2), taught()
    for w in (world, plain):
        w.reset(micro.picture(), "a red room", 5)
    assert torch.equal(walk(world, 1, 5, {}), walk(plain, 1, 5, {})), "nothing was said"
    assert held(world) == held(plain) == [0, 1, 2, 3, 4, 5]
    walk(world, 6, 6, {6: "fog"})
    assert held(world) == [0, 4, 5, 6], "sink, the newest two, and the new one"
    walk(world, 7, 7, {})
    assert held(world) == [0, 4, 5, 6, 7], "the same words: nothing goes"
    walk(world, 8, 8, {})
    assert held(world) == [0, 6, 7, 8], "it lasts now, which other words say"
    walk(plain, 6, 8, {6: "fog"})
    assert held(plain) == [0, 2, 3, 4, 5, 6, 7, 8]


def test_a_flush_that_leaves_more_than_there_is_changes_nothing() -> None:
    world, plain = taught(flush=8), taught()
    for w in (world, plain):
        w.reset(micro.picture(), "a red room", 5)
    assert torch.equal(walk(world, 1, 12), walk(plain, 1, 12))


def test_what_is_told_is_pushed_away_from_the_same_without_it() -> None:
    """By the velocities of a network that hears: v + strength (v - v without the event)."""
    world = micro.world()
    torch.manual_seed(0)
    for p in world.dit.parameters():
        torch.nn.init.normal_(p, std=0.1)
    world.reset(torch.zeros(3, *world.size, dtype=torch.uint8), "a room")
    rain, quiet = (world.text([words]) for words in ("a room it rains", "a room"))
    frames = world._noise(world.camera.map(lambda x: x[None, None]), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        cache = world._cache.fork()
        told, mute = (world.dit(frames, text, cache) for text in (rain, quiet))
        assert not torch.allclose(told, mute, atol=1e-4)
        world.config = replace(world.config, event_guidance=0.5)
        request = ChunkRequest(world.dit, frames, rain, cache, world.config.sampler, torch.Generator(), strength=0.5)
        pushed = guided_network(request, world.dit, world._quiet("it rains"))(frames, rain, cache)
        torch.testing.assert_close(pushed, told + 0.5 * (told - mute), rtol=0, atol=1e-5)
        assert guided_network(request, world.dit, world._quiet("")) is world.dit
        world.config = replace(world.config, event_guidance=0.0)
        assert world._quiet("it rains") is None


def test_guidance_acts_while_something_is_told() -> None:
    keys = from_keys(["w"] * 4, Speed())

    def walked(strength: float, said: str | None) -> torch.Tensor:
        world = micro.world()
        torch.manual_seed(0)
        for p in world.dit.parameters():
            torch.nn.init.normal_(p, std=0.1)
        world.config = replace(world.config, event_guidance=strength)
        world.reset(torch.zeros(3, *world.size, dtype=torch.uint8), "a room")
        return torch.cat([world.step(keys), world.step(keys, said)])

    assert torch.equal(walked(0.5, None), walked(0.0, None))
    assert not torch.equal(walked(0.5, "it rains"), walked(0.0, "it rains"))
